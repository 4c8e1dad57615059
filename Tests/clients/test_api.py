#!/usr/bin/env python3
"""Compares the local API with its description in docs/openapi.yaml."""

import copy
import json
import pathlib
import socket

import jsonschema
import requests
import yaml

from nodes import Clinic, main, wait

DESCRIPTION = pathlib.Path(__file__).resolve().parent.parent.parent / "docs" / "openapi.yaml"


class Description:
    """docs/openapi.yaml, and the operations that have answered as described."""

    def __init__(self, check):
        self.check = check
        self.document = yaml.safe_load(DESCRIPTION.read_text())
        self.closed = self.close(copy.deepcopy(self.document))
        self.seen = set()
        schemas = self.document["components"]["schemas"]
        for schema in schemas.values():
            jsonschema.Draft202012Validator.check_schema(schema)

    @staticmethod
    def close(node):
        """Forbids keys that are not described, so that the test finds them."""
        if isinstance(node, dict):
            if "properties" in node and "additionalProperties" not in node:
                node["additionalProperties"] = False
            for child in node.values():
                Description.close(child)
        elif isinstance(node, list):
            for child in node:
                Description.close(child)
        return node

    def operations(self):
        for path, item in self.document["paths"].items():
            for method in item:
                yield method.upper(), path

    def resolve(self, node):
        while "$ref" in node:
            name = node["$ref"]
            node = self.closed
            for part in name.removeprefix("#/").split("/"):
                node = node[part]
        return node

    def accept(self, method, path, answer):
        """Checks an answer against the description of its operation."""
        operation = self.closed["paths"][path][method.lower()]
        status = str(answer.status_code)
        self.check(status in operation["responses"], "%s %s answers %s, which is not described" % (method, path, status))
        response = self.resolve(operation["responses"][status])
        content = response.get("content")
        kind = answer.headers.get("Content-Type", "").split(";")[0]
        if content is None:
            self.check(answer.text == "", "%s %s answers %s with a body" % (method, path, status))
        else:
            self.check(kind in content, "%s %s answers %s with %s" % (method, path, status, kind))
            if kind == "application/json":
                schema = {**content[kind]["schema"], "components": self.closed["components"]}
                jsonschema.validate(answer.json(), schema, cls=jsonschema.Draft202012Validator)
        # Another test opens the WebSocket. Here it is enough that the endpoint exists.
        if answer.ok or status in ("303", "426"):
            self.seen.add((method, path))
        return answer


def errors(node, description, check):
    """Tests refused clients and refused requests."""
    for method, path in description.operations():
        concrete = path.replace("{id}", "1").replace("{code}", "none")
        item = description.document["paths"][path][method.lower()]
        if item.get("security") == []:
            continue
        answer = requests.request(method, node.url + concrete, timeout=30)
        description.accept(method, path, answer)
        check(answer.status_code == 401, "%s %s without a token answers %d" % (method, path, answer.status_code))
    for header in ["Bearer", "Bearer wrong", "Basic " + node.token, node.token]:
        answer = requests.get(node.url + "/v1/status", headers={"Authorization": header}, timeout=30)
        check(answer.status_code == 401, "a wrong Authorization is refused")
    for host in ["evil.example", "127.0.0.1.evil.example", "192.168.0.1"]:
        answer = node.get("/v1/status", headers={"Host": host})
        check(answer.status_code == 421 and answer.json()["error"] == "wrong_host", "the host %s is refused" % host)
    for origin in ["http://evil.example", "null", "http://127.0.0.1:1", "https://" + node.api]:
        answer = node.get("/v1/status", headers={"Origin": origin})
        check(answer.status_code == 403 and answer.json()["error"] == "wrong_origin", "the origin %s is refused" % origin)
        check("Access-Control-Allow-Origin" not in answer.headers, "no page is told that it may read")
    large = node.post("/v1/conflicts/1/resolve", data=b"x" * 65_537, headers={"Content-Type": "application/json"})
    check(large.status_code == 413 and large.json()["error"] == "too_large", "a body above 64 KiB is refused")
    check(node.get("/v1/nothing").json()["error"] == "not_found", "an unknown address is named as such")
    check(requests.delete(node.url + "/v1/status", headers=node.headers, timeout=30).status_code in (404, 405), "no other method")


def reads(clinic, description, check):
    host, client = clinic.nodes
    for node in clinic.nodes:
        for path in ["/health", "/v1/health", "/v1/status", "/v1/digest", "/v1/nodes", "/v1/latency", "/v1/conflicts", "/metrics", "/ws"]:
            description.accept("GET", path, node.get(path))
    check(host.status()["role"] == "host" and client.status()["role"] == "client", "one is host")
    description.accept("GET", "/v1/digest", host.get("/v1/digest", params={"table": "patients"}))
    unknown = description.accept("GET", "/v1/digest", host.get("/v1/digest", params={"table": "nope"}))
    check(unknown.status_code == 400, "an unknown table is refused")
    text = host.get("/metrics").text
    check('clinicsync_role{role="host"} 1' in text, "metrics tell the role")
    check(host.name not in text and client.name not in text, "metrics tell no names")
    check(requests.get(host.url + "/health", timeout=30).text == "", "health says nothing")


def members(clinic, description, check):
    host, client = clinic.nodes
    renamed = host.post("/v1/nodes/rename", params={"node": client.name, "name": "another"})
    description.accept("POST", "/v1/nodes/rename", renamed)
    description.accept("POST", "/v1/nodes/rename", host.post("/v1/nodes/rename", params={"node": "another", "name": client.name}))
    description.accept("POST", "/v1/nodes/rename", host.post("/v1/nodes/rename"))
    wait("the name is back", lambda: any(n["name"] == client.name for n in host.get("/v1/nodes").json()["nodes"]))
    description.accept("POST", "/v1/nodes/grant", host.post("/v1/nodes/grant", params={"node": client.name}))
    description.accept("POST", "/v1/nodes/grant", host.post("/v1/nodes/grant", params={"node": "nobody"}))
    description.accept("POST", "/v1/nodes/revoke", host.post("/v1/nodes/revoke", params={"node": "nobody"}))
    description.accept("POST", "/v1/host/transfer", host.post("/v1/host/transfer", params={"node": client.name}))
    wait("the other is host", lambda: client.status()["role"] == "host")
    description.accept("POST", "/v1/host/transfer", client.post("/v1/host/transfer", params={"node": host.name}))
    description.accept("POST", "/v1/invitations", host.post("/v1/invitations", params={"uses": 2, "ttl": "5m"}))
    refused = description.accept("POST", "/v1/invitations", host.post("/v1/invitations", params={"uses": 0}))
    check(refused.json()["error"] == "usage", "no code for nobody")
    wait("the host is back", lambda: host.status()["role"] == "host" and host.status()["activeConnections"] == 1)


def sync(clinic, description, check):
    host = clinic.nodes[0]
    host.sql("INSERT INTO patients(id, fullName) VALUES('s1', 'Sync')")
    answer = description.accept("POST", "/v1/sync", host.post("/v1/sync", params={"timeout": "30s"}))
    check(answer.json()["result"] in ("equal", "repaired"), "all are proven equal")
    check(len(answer.json()["nodes"]) == 2, "both were asked")
    description.accept("POST", "/v1/sync", host.post("/v1/sync", params={"table": "patients"}))
    wrong = description.accept("POST", "/v1/sync", host.post("/v1/sync", params={"timeout": "soon"}))
    check(wrong.status_code == 400, "a time that is none is refused")


def conflicts(clinic, description, check):
    host, client = clinic.nodes
    clinic.conflict(winner=host, loser=client)
    listed = description.accept("GET", "/v1/conflicts", host.get("/v1/conflicts")).json()
    entry = listed["conflicts"][0]
    check(listed["open"] == 1 and entry["state"] == "open", "one is open")
    check((entry["table"], entry["recordId"], entry["column"]) == ("patients", "p1", "fullName"), "it names the place")
    check((entry["current"]["value"], entry["other"]["value"]) == ("Later", "Earlier"), "it has both values")
    check((entry["current"]["originName"], entry["other"]["originName"]) == (host.name, client.name), "it names both PCs")
    check("“Later” is shown now" in entry["sentence"], "it says so in a sentence")
    path = "/v1/conflicts/" + entry["id"]
    one = description.accept("GET", "/v1/conflicts/{id}", host.get(path)).json()
    check(one == entry, "one is as in the list")
    check(client.get(path).json()["id"] == entry["id"], "the other PC has it under the same id")
    short = description.accept("GET", "/v1/conflicts/{id}", host.get(path[:-26])).json()
    check(short == entry, "six characters of the id will do")
    description.accept("GET", "/v1/conflicts/{id}", host.get("/v1/conflicts/no-such"))
    description.accept("GET", "/v1/conflicts", host.get("/v1/conflicts", params={"state": "strange"}))
    resolve = "/v1/conflicts/{id}/resolve"
    for body, status in [
        ({"keep": "neither"}, 400), ({}, 400), ([], 400),
        ({"keep": "other", "expected": "Never shown"}, 409),
    ]:
        answer = description.accept("POST", resolve, host.post(path + "/resolve", json=body))
        check(answer.status_code == status, "%s is refused" % json.dumps(body))
    form = description.accept("POST", resolve, host.post(path + "/resolve", data={"keep": "other"}))
    check(form.status_code == 415, "a form is refused")
    missing = description.accept("POST", resolve, host.post("/v1/conflicts/0123456789/resolve", json={"keep": "other"}))
    check(missing.status_code == 404, "an unknown conflict is named as such")
    done = host.post(path + "/resolve", json={"keep": "other", "expected": "Later"})
    done = description.accept("POST", resolve, done).json()
    check((done["state"], done["kept"], done["current"]["value"]) == ("resolved", "other", "Earlier"), "it is resolved")
    wait("the other value is everywhere", lambda: client.sql("SELECT fullName FROM patients WHERE id = 'p1'") == [("Earlier",)])
    again = description.accept("POST", resolve, host.post(path + "/resolve", json={"keep": "current"}))
    check(again.status_code == 409, "it cannot be resolved twice")
    check(host.status()["conflicts"]["open"] == 0, "none is open")
    check(host.get("/v1/conflicts").json()["conflicts"] == [], "none is listed")
    all_of_them = description.accept("GET", "/v1/conflicts", host.get("/v1/conflicts", params={"state": "all"})).json()
    check(len(all_of_them["conflicts"]) == 1, "with state=all it is")
    wait("it is settled on the other PC", lambda: client.status()["conflicts"]["open"] == 0)
    there = client.get(path).json()
    check((there["kept"], there["resolvedBy"]) == ("other", host.name), "which knows what was kept, and where")
    why(host, client, description, check)
    clinic.conflict(winner=host, loser=client, record="p2")
    many(host, client, description, check)
    commands(client, check)


def many(host, client, description, check):
    """Tests decisions about all conflicts that fit: here one."""
    path = "/v1/conflicts/resolve"

    def decide(**body):
        return description.accept("POST", path, host.post(path, json={"keep": "current", **body}))

    check(decide(dryRun=True).json() == {"matching": 1, "resolved": 0, "left": [], "dryRun": True}, "it is counted")
    fitting = {"table": "patients", "column": "fullName", "kind": "value", "pc": client.name, "since": "2026-01-01T00:00:00.000Z"}
    check(decide(dryRun=True, **fitting).json()["matching"] == 1, "all filters fit it")
    for name, value in {"table": "users", "column": "email", "pc": host.name, "until": "2026-01-01T00:00:00.000Z"}.items():
        check(decide(**{name: value}).json()["matching"] == 0, "another %s does not" % name)
    check(decide(expected=2).status_code == 409, "another number than a person saw is refused")
    check(decide(tabel="users").status_code == 400, "a misspelt filter is refused")
    check(host.status()["conflicts"]["open"] == 1, "nothing was settled")


def why(host, client, description, check):
    """Tests who wrote each value."""
    told = description.accept("GET", "/v1/why", host.get("/v1/why", params={"path": "patients/p1/fullName"})).json()
    check((told["state"], [c["value"] for c in told["columns"]]) == ("shown", ["Earlier"]), "it names what is shown")
    check(told["columns"][0]["author"]["originName"] == host.name, "and who wrote it")
    description.accept("GET", "/v1/why", host.get("/v1/why", params={"path": "patients"}))
    gone = description.accept("GET", "/v1/why", host.get("/v1/why", params={"path": "patients/a/b"})).json()
    check((gone["state"], gone["recordId"], gone["columns"]) == ("unknown", "a/b", []), "what was never there is unknown")
    check("Earlier" in client.command("why", "patients/p1/fullName"), "the command says it, too")
    check(json.loads(client.command("why", "patients/p1", "--json"))["deleted"] is None, "nobody deleted it")
    client.command("why", "patients/never", status=1)
    client.command("why", "patients", status=64)


def commands(node, check):
    """Tests the same with commands, on the PC that lost."""
    entry = json.loads(node.command("conflicts", "--json"))["conflicts"][0]
    check(entry["id"] in node.command("conflicts"), "conflicts lists it for people")
    check("Earlier" in node.command("conflicts", "show", entry["id"]), "conflicts show has both values")
    node.command("conflicts", "resolve", entry["id"], "--keep", "neither", status=64)
    node.command("conflicts", "resolve", "../status", "--keep", "other", status=64)
    node.command("conflicts", "show", "471100", status=1)
    node.command("conflicts", "show", "4711", status=64)
    for arguments in (["--all", entry["id"]], [], [entry["id"], "--table", "users"], ["--all", "--since", "yesterday"]):
        node.command("conflicts", "resolve", *arguments, "--keep", "current", status=64)
    for arguments in (["--dry-run"], ["--table", "users"], ["--until", "1d"]):
        node.command("conflicts", "resolve", "--all", "--keep", "current", "--yes", *arguments)
        check(entry["id"] in node.command("conflicts"), "it is open")
    node.command("conflicts", "resolve", "--all", "--keep", "current", "--yes", "--column", "fullName", "--since", "1d")
    check(node.command("conflicts") == "", "none is left")
    check("resolved" in node.command("conflicts", "--all"), "conflicts --all lists what was resolved")


def events(node, description, check):
    """The stream of lines; the WebSocket has a test of its own."""
    wrong = description.accept("GET", "/v1/events", node.get("/v1/events", params={"category": "weather"}))
    check(wrong.status_code == 400, "an unknown category is refused")
    schema = {**description.document["components"]["schemas"]["Event"], "components": description.document["components"]}
    with node.get("/v1/events", params={"category": "patient"}, stream=True) as stream:
        description.accept("GET", "/v1/events", Streamed(stream))
        node.sql("INSERT INTO patients(id, fullName) VALUES('e1', 'Event')")
        line = json.loads(next(stream.iter_lines()))
    jsonschema.validate(line, schema, cls=jsonschema.Draft202012Validator)
    check((line["table"], line["operation"], line["recordId"]) == ("patients", "insert", "e1"), "the event names the row")


def sessions(clinic, description, check):
    """A user is logged in on one PC at a time."""
    host, client = clinic.nodes
    password = "correct horse battery"
    host.command("users", "add", "maria", "--role", "doctor", text=password + "\n")
    wait("the user is everywhere", lambda: client.sql("SELECT 1 FROM users WHERE username = 'maria'"))
    wait("all is settled", clinic.settled)

    def login(node, **more):
        body = {"username": "maria", "password": password, "deviceName": node.name + " screen", **more}
        return description.accept("POST", "/v1/sessions", node.post("/v1/sessions", json=body))

    first = login(host)
    check(first.status_code == 201 and first.json()["session"]["isActive"], "maria is logged in")
    wait("the session is everywhere", lambda: len(description.accept("GET", "/v1/sessions", client.get("/v1/sessions")).json()["sessions"]) == 1)
    refused = login(client)
    check(refused.status_code == 409 and refused.json()["error"] == "session_conflict", "not on two PCs at once")
    check(refused.json()["sessions"][0]["deviceName"] == host.name + " screen", "the other PC is named")
    forced = login(client, force=True)
    check(forced.status_code == 201, "unless it is forced")
    name = first.json()["session"]["id"]
    touched = "/v1/sessions/{id}/activity"
    wait("the first has ended", lambda: host.post("/v1/sessions/%s/activity" % name).status_code == 409)
    description.accept("POST", touched, host.post("/v1/sessions/%s/activity" % name))
    name = forced.json()["session"]["id"]
    check(description.accept("POST", touched, client.post("/v1/sessions/%s/activity" % name)).status_code == 204, "it lasts")
    description.accept("POST", touched, client.post("/v1/sessions/none/activity"))
    description.accept("GET", "/v1/sessions", host.get("/v1/sessions", params={"state": "all"}))
    description.accept("GET", "/v1/sessions", host.get("/v1/sessions", params={"state": "strange"}))
    description.accept("DELETE", "/v1/sessions/{id}", requests.delete(client.url + "/v1/sessions/none", headers=client.headers, timeout=30))
    ended = requests.delete(client.url + "/v1/sessions/" + name, headers=client.headers, timeout=30)
    check(description.accept("DELETE", "/v1/sessions/{id}", ended).status_code == 204, "maria is logged out")
    check(login(client).status_code == 201, "and may log in again")
    all_of_maria = requests.delete(host.url + "/v1/sessions", params={"user": "maria"}, headers=host.headers, timeout=30)
    check(description.accept("DELETE", "/v1/sessions", all_of_maria).json() == {"ended": 1}, "an administrator ends them all")
    description.accept("POST", "/v1/sessions/clean", host.post("/v1/sessions/clean", params={"olderThan": "0s"}))
    description.accept("POST", "/v1/sessions/clean", host.post("/v1/sessions/clean", params={"olderThan": "never"}))
    wrong = login(host, password="wrong password")
    check(wrong.status_code == 401 and wrong.json()["error"] == "wrong_password", "a wrong password is told from a wrong token")
    description.accept("POST", "/v1/sessions", host.post("/v1/sessions", json={"username": "maria"}))


def people(clinic, description, check):
    """Notices and measurements."""
    host, client = clinic.nodes
    made = description.accept("POST", "/v1/notices", host.post("/v1/notices", json={"text": "Closing at five"}))
    check(made.status_code == 201, "everybody is told")
    one = description.accept("POST", "/v1/notices", host.post("/v1/notices", json={"text": "Printer is back", "node": client.name}))
    check(one.status_code == 201, "one PC is told")
    for body in [{}, {"text": ""}, {"text": "x" * 1_001}, {"text": "bell \u0007"}, {"text": 5}]:
        refused = description.accept("POST", "/v1/notices", host.post("/v1/notices", json=body))
        check(refused.status_code == 400, "no notice: %s" % json.dumps(body)[:40])
    probe = description.accept("POST", "/v1/probe", host.post("/v1/probe", json={"timeout": "10s"})).json()
    check(probe["complete"] and [node["name"] for node in probe["nodes"]] == [client.name], "the other had the change")
    check(0 <= probe["nodes"][0]["milliseconds"] <= probe["nodes"][0]["roundTripMilliseconds"], "in a time that can be")
    description.accept("POST", "/v1/probe", host.post("/v1/probe", json={"timeout": "2h"}))


class Streamed:
    """An answer whose body is not read to its end."""

    def __init__(self, answer):
        self.status_code, self.ok, self.headers, self.text = answer.status_code, answer.ok, answer.headers, None


def dashboard(node, description, check):
    made = description.accept("POST", "/v1/dashboard-links", node.post("/v1/dashboard-links"))
    check(made.json()["expiresInSeconds"] == 60, "a link is good for a minute")
    link = made.json()["url"]
    check(link.startswith(node.url + "/dashboard/"), "the link leads here")
    closed = description.accept("GET", "/", requests.get(node.url + "/", timeout=30))
    check("clinic-node dashboard" in closed.text, "without a cookie the page says what to do")
    browser = requests.Session()
    opened = browser.get(link, allow_redirects=False, timeout=30)
    description.accept("GET", "/dashboard/{code}", opened)
    cookie = opened.headers["Set-Cookie"]
    check(all(part in cookie for part in ["HttpOnly", "SameSite=Strict", "Path=/", "Max-Age=43200"]), "the cookie is confined")
    again = description.accept("GET", "/dashboard/{code}", requests.get(link, timeout=30))
    check(again.status_code == 401 and "Set-Cookie" not in again.headers, "a link works once")
    page = description.accept("GET", "/", browser.get(node.url + "/", timeout=30))
    policy = page.headers["Content-Security-Policy"]
    check("default-src 'none'" in policy and "frame-ancestors 'none'" in policy and "unsafe" not in policy, "the policy is strict")
    check(page.headers["X-Content-Type-Options"] == "nosniff" and page.headers["Referrer-Policy"] == "no-referrer", "headers")
    check(len(page.content) < 60_000, "the page is small")
    same = {"Sec-Fetch-Site": "same-origin"}
    check(browser.get(node.url + "/v1/status", headers=same, timeout=30).status_code == 200, "the page may ask")
    for site in ["cross-site", "same-site", "none"]:
        answer = browser.get(node.url + "/v1/status", headers={"Sec-Fetch-Site": site}, timeout=30)
        check(answer.status_code == 401, "the cookie counts for nothing from elsewhere (%s)" % site)
    check(browser.post(node.url + "/v1/sync", headers=same, timeout=30).status_code == 401, "a change needs the mark")
    marked = {**same, "X-ClinicSync": "1"}
    check(browser.post(node.url + "/v1/sync", headers=marked, timeout=60).status_code == 200, "with the mark it may")
    check(browser.post(node.url + "/v1/dashboard-links", headers=marked, timeout=30).status_code == 401, "no links for cookies")
    check(node.command("dashboard", "--print").startswith(node.url + "/dashboard/"), "the command prints a link")


def rates(node, check):
    """Too many requests over one connection get 429, and later requests succeed."""
    request = b"GET /health HTTP/1.1\r\nHost: %s\r\n\r\n" % node.api.encode()
    with socket.create_connection(("127.0.0.1", int(node.api.split(":")[1])), timeout=30) as connection:
        connection.sendall(request * 4_000)
        received = b""
        while received.count(b"HTTP/1.1 ") < 4_000:
            received += connection.recv(1 << 20) or b"HTTP/1.1 " * 4_000
    check(b"HTTP/1.1 429" in received, "too many requests are refused")
    check(b"retry-after: 1" in received.lower(), "and told when to come back")
    wait("it goes on", lambda: requests.get(node.url + "/health", timeout=30).status_code == 200)


def origins(clinic, check):
    """A page of an origin that node.json names may send requests and read the answers."""
    node = clinic.nodes[1]
    page = "http://127.0.0.1:8080"
    node.stop()
    (node.data / "node.json").write_text(json.dumps({"api.allowedOrigins": [page]}))
    node.start()
    asked = {"Origin": page, "Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
    preflight = requests.options(node.url + "/v1/sync", headers=asked, timeout=30)
    check(preflight.status_code == 204 and preflight.headers["Access-Control-Allow-Origin"] == page, "a browser may ask first")
    answer = node.get("/v1/status", headers={"Origin": page})
    check(answer.headers["Access-Control-Allow-Origin"] == page, "the page may read")
    check("Access-Control-Allow-Credentials" not in answer.headers, "cookies are not for it")
    check(node.get("/v1/status", headers={"Origin": "http://127.0.0.1:8081"}).status_code == 403, "others may not")


def run(program, check):
    description = Description(check)
    with Clinic(program, ["front-desk", "doctor"]) as clinic:
        wait("all is settled", clinic.settled)
        errors(clinic.nodes[0], description, check)
        reads(clinic, description, check)
        members(clinic, description, check)
        sync(clinic, description, check)
        conflicts(clinic, description, check)
        sessions(clinic, description, check)
        people(clinic, description, check)
        description.accept("POST", "/v1/backup", clinic.nodes[0].post("/v1/backup"))
        events(clinic.nodes[0], description, check)
        dashboard(clinic.nodes[0], description, check)
        origins(clinic, check)
        rates(clinic.nodes[0], check)
        revoked = clinic.nodes[0].post("/v1/nodes/revoke", params={"node": clinic.nodes[1].name})
        description.accept("POST", "/v1/nodes/revoke", revoked)
    missing = sorted(set(description.operations()) - description.seen)
    check(not missing, "described, but never seen to succeed: %s" % missing)


if __name__ == "__main__":
    main("test_api", run)
