#!/usr/bin/env python3
"""Three PCs join by code and replicate over TLS; strangers get nothing; one PC is revoked and gets nothing more."""

import json
import socket
import sqlite3
import subprocess
import sys
import time

from lab import Failure, Sniffer, check, main, wait

PATIENT = "Zebediah Quillfeather"


def replicate(pcs):
    for pc in pcs:
        pc.sql("INSERT INTO patients (fullName) VALUES (?)", "%s %d" % (PATIENT, pc.number))
    wait("all copies are equal", lambda: len({pc.digest() for pc in pcs}) == 1)
    check(
        all(len(pc.sql("SELECT 1 FROM patients WHERE fullName LIKE ?", PATIENT + "%")) == len(pcs) for pc in pcs),
        "every PC has the patients of all",
    )


def join(lab):
    host, second, third = lab.pcs
    host.node("init", "--clinic", "Lab", "--name", "pc1")
    host.start()
    check(host.status()["role"] == "host", "the first PC is host, on all its addresses")
    code = host.node("invite", "--uses", "2").strip()
    wrong = code[:-1] + ("0" if code[-1] != "0" else "1")
    check("typing error" in second.node("join", wrong, status=64), "a mistyped code is refused before anything is sent")
    for pc in (second, third):
        pc.node("join", code, "--name", "pc%d" % pc.number)
        pc.start()
    check("used" in third.execute(lab.program, "join", code, "--data", lab.folder / "late").stderr, "a used code is refused")
    late = third.execute(lab.program, "join", code, "--data", lab.folder / "late")
    check(late.returncode == 2, "a used code ends with status 2")
    wait("both PCs are connected", lambda: host.status()["activeConnections"] == 2)
    return code


def strangers(lab):
    host, _, third = lab.pcs
    folder = lab.folder
    before = host.status()["security"]["refusedConnections"]
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"]
        + ["-subj", "/CN=stranger", "-keyout", folder / "key.pem", "-out", folder / "cert.pem"],
        check=True,
        capture_output=True,
    )
    request = "GET /clinicsync HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"
    connect = ["openssl", "s_client", "-connect", host.address + ":7450", "-quiet", "-tls1_3"]
    for name, arguments in [("no", []), ("a foreign", ["-key", folder / "key.pem", "-cert", folder / "cert.pem"])]:
        result = third.execute(*connect, *arguments, input=request)
        check(result.stdout == "", "openssl s_client with %s certificate gets not a byte" % name)
    for name, content in [("plain HTTP", request.encode()), ("garbage", bytes(range(256)) * 64)]:
        program = (
            "import socket,sys\ns=socket.create_connection((%r,7450));s.settimeout(20)\ns.sendall(%r)\n"
            "data=b''\ntry:\n  while True:\n    more=s.recv(4096)\n    if not more: break\n    data+=more\n"
            "except ConnectionError: pass\nsys.stdout.buffer.write(data.hex().encode())" % (host.address, content)
        )
        answer = bytes.fromhex(third.execute(sys.executable, "-c", program).stdout)
        # A TLS alert record (type 21) reveals only that this is TLS.
        check(answer == b"" or (answer[0] == 21 and len(answer) < 16), "%s gets no more than a TLS alert" % name)
    wait("strangers are counted", lambda: host.status()["security"]["refusedConnections"] >= before + 2)


def outsiders(lab):
    """An address outside of the private ranges, on the same cable."""
    host, _, third = lab.pcs
    lab.ip("-n", host.namespace, "addr", "add", "203.0.113.1/24", "dev", "eth0")
    lab.ip("-n", third.namespace, "addr", "add", "203.0.113.3/24", "dev", "eth0")
    program = (
        "import socket\ns=socket.create_connection(('203.0.113.1',7450));s.settimeout(20)\n"
        "try: print(len(s.recv(1)))\nexcept ConnectionError: print(0)"
    )
    check(third.execute(sys.executable, "-c", program).stdout.strip() == "0", "an address outside of the LAN is sent away")
    check("203.0.113.3" in host.log.read_text(), "and its address is logged")


def revoke(lab):
    host, second, third = lab.pcs
    begin = time.monotonic()
    host.node("nodes revoke", "pc3")
    wait("the revoked PC stops by itself", lambda: third.process.poll() is not None)
    took = time.monotonic() - begin
    check(third.process.returncode == 2, "with exit status 2")
    check("removed from the clinic" in third.log.read_text(), "and says why")
    check(took < 5, "revocation to the end of the revoked process took %.2f s" % took)
    host.sql("INSERT INTO patients (fullName) VALUES ('after the revocation')")
    # A thief breaks the rules: the test removes the file with the revocation.
    for name in ("revocations", "revocations.json", "revocations.bin"):
        (third.data / "identity" / name).unlink(missing_ok=True)
    third.log.write_text("")
    third.process = subprocess.Popen(
        ["ip", "netns", "exec", third.namespace, str(lab.program), "run", "--data", str(third.data)],
        stdout=open(third.log, "ab"),
        stderr=subprocess.STDOUT,
    )
    wait("a revoked PC that comes again is told again", lambda: third.process.poll() is not None)
    check(third.process.returncode == 2, "with exit status 2")
    wait("the others go on", lambda: host.digest() == second.digest())
    check(third.sql("SELECT 1 FROM patients WHERE fullName = 'after the revocation'") == [], "it got nothing new")
    roles = {node["name"]: node["role"] for node in json.loads(second.node("nodes", "--json"))["nodes"]}
    check(roles == {"pc1": "host", "pc2": "client", "pc3": "revoked"}, "nodes shows who is out")


def grant(lab):
    """The second PC gets the right to sign and invites the third PC again. The trust of all others stays."""
    host, second, third = lab.pcs
    check("right to sign" in second.node("invite", status=1), "a PC without the right cannot invite")
    host.node("nodes grant", "pc2")
    wait("the right arrives", lambda: second.status()["security"]["maySign"])
    code = second.node("invite").strip()
    subprocess.run(["rm", "-rf", str(third.data)], check=True)
    third.node("join", code, "--name", "pc3b")
    third.start()
    wait("the PC is back under a new identity", lambda: third.digest() == host.digest())


def secrets(lab, code, traffic):
    planted = [PATIENT, code, code.replace("-", "")]
    for pc in lab.pcs:
        planted.append((pc.data / "api.token").read_text().strip())
        planted += [line for line in (pc.data / "identity" / "node.key").read_text().splitlines() if "-" not in line]
    logs = {pc.number: pc.log.read_text() for pc in lab.pcs}
    check(all(len(text) > 0 for text in logs.values()), "there are logs")
    for text in planted:
        for number, log in logs.items():
            if text in log:
                raise Failure("the log of pc%d holds a secret or a patient" % number)
    print("ok    no log holds a secret or a patient")
    check(b"\x16\x03" in traffic, "the traffic was seen, and it is TLS")
    check(PATIENT.encode() not in traffic, "no patient's name crossed the cable readably")


def scenario(lab):
    sniffer = Sniffer(lab.switch, "p1")
    code = join(lab)
    replicate(lab.pcs)
    strangers(lab)
    outsiders(lab)
    replicated = lab.pcs
    revoke(lab)
    grant(lab)
    for pc in replicated:
        pc.stop()
    secrets(lab, code, sniffer.stop())


if __name__ == "__main__":
    main(scenario, pcs=3)
