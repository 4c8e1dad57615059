#!/usr/bin/env python3
"""Many nodes on loopback, each a process: what the host and its clients cost, and what bursts and the loss of the host do.

    Tests/many/many.py PROGRAM NODES [--plan rest,probe,commit,failover] [--at-once K] [--members FOLDER] [--json FILE] [--keep]

PROGRAM is a built clinic-node; only a release build gives figures. The first node is the host, the others are started K at a time
(0: all at once). The plan is a list of steps, taken in this order:

    rest      processor and memory of host and clients while nothing happens
    probe     five measurements of clinic-node probe
    commit    a row of one client, twenty times, until every other file has it
    storm     every node writes a row in the same instant
    pause     the host is stopped for five seconds
    starve    every node is stopped and continued in turn, ten seconds long
    failover  the host is killed; a row of a client until every other file has it, and until all are connected again

After each step one host must have all others connected again within --patience seconds. Joining costs about 0.2 s of a processor
for each node; --members keeps the clinic's directories in a folder, and later runs take copies of it. The exit status is 0 when every
step ended well. Needs Linux, Python 3.9 and nothing else, and about 35 MB of memory for each node.
"""

import argparse
import collections
import concurrent.futures
import contextlib
import ctypes
import json
import os
import pathlib
import shutil
import signal
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

STEPS = ["rest", "probe", "commit", "storm", "pause", "starve", "failover"]
TICKS = os.sysconf("SC_CLK_TCK")
PARENT_DEATH = 1  # PR_SET_PDEATHSIG
LIBC = ctypes.CDLL(None)


class Failure(Exception):
    """A step that did not end well."""


def die_with_parent():
    """In a new process: it ends when this script ends, however that happens."""
    LIBC.prctl(PARENT_DEATH, signal.SIGKILL)


def wait(condition, seconds, pause=0.05):
    """Waits until `condition` returns something; returns that, or the last empty result."""
    end = time.monotonic() + seconds
    while True:
        result = condition()
        if result or time.monotonic() > end:
            return result
        time.sleep(pause)


def free_ports(count):
    """Ports of loopback that nobody uses, outside the range that the system gives to outgoing connections."""
    low, high = map(int, pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split())
    candidates = list(range(10_000, low)) + list(range(high + 1, 65_000))
    start = os.getpid() * 251 % max(len(candidates), 1)
    ports = []
    for port in candidates[start:] + candidates[:start]:
        with contextlib.closing(socket.socket()) as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        ports.append(port)
        if len(ports) == count:
            return ports
    raise Failure("there are not enough free ports")


def median(values):
    return statistics.median(values) if values else None


def milliseconds(seconds):
    return None if seconds is None else round(seconds * 1000)


class Node:
    """A PC of the clinic."""

    def __init__(self, clinic, name, port):
        self.clinic, self.name, self.port = clinic, name, port
        self.data = clinic.folder / name
        self.log = clinic.folder / (name + ".log")
        self.process = None

    def command(self, *arguments, timeout=120, text=None):
        done = subprocess.run(
            [self.clinic.program, *arguments, "--data", str(self.data)], input=text, capture_output=True, text=True, timeout=timeout
        )
        if done.returncode != 0:
            raise Failure("%s: %s ends with %d: %s" % (self.name, arguments[0], done.returncode, done.stderr.strip()[-300:]))
        return done.stdout.strip()

    def start(self, peer):
        # A former run's address must not be taken for this one's.
        (self.data / "run" / "api.json").unlink(missing_ok=True)
        peers = ["--peer", "127.0.0.1:%d" % peer.port] if peer is not self else []
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [self.clinic.program, "run", "--data", str(self.data), "--listen", "127.0.0.1:%d" % self.port]
                + ["--api", "127.0.0.1:0", "--discovery", "off", *peers],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                preexec_fn=die_with_parent,
            )

    @property
    def is_ready(self):
        if self.process.poll() is not None:
            raise Failure("%s ended: %s" % (self.name, self.log.read_text()[-300:]))
        return (self.data / "run" / "api.json").exists()

    def signal(self, number):
        if self.process and self.process.poll() is None:
            self.process.send_signal(number)

    @property
    def is_running(self):
        return self.process is not None and self.process.poll() is None

    def status(self, timeout=5):
        """The status from the local API; `None` when the node does not answer in time."""
        try:
            place = json.loads((self.data / "run" / "api.json").read_text())
            token = (self.data / "api.token").read_text().strip()
            request = urllib.request.Request(
                "http://%s:%s/v1/status" % (place["host"], place["port"]), headers={"Authorization": "Bearer " + token}
            )
            with urllib.request.urlopen(request, timeout=timeout) as answer:
                return json.load(answer)
        except (OSError, ValueError, urllib.error.URLError):
            return None

    def processor(self):
        """Seconds of a processor that the process has used."""
        fields = pathlib.Path("/proc/%d/stat" % self.process.pid).read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / TICKS

    def switches(self):
        """How often the process's threads have waited for something."""
        total = 0
        for task in pathlib.Path("/proc/%d/task" % self.process.pid).iterdir():
            with contextlib.suppress(OSError):
                for line in (task / "status").read_text().splitlines():
                    if line.startswith("voluntary_ctxt_switches"):
                        total += int(line.split()[1])
        return total

    def memory(self):
        """Kilobytes: those in memory, and those that no file backs."""
        values = {}
        for line in pathlib.Path("/proc/%d/smaps_rollup" % self.process.pid).read_text().splitlines()[1:]:
            values[line.split(":")[0]] = int(line.split()[1])
        return values["Rss"], values["Anonymous"]

    def write(self, row):
        with contextlib.closing(sqlite3.connect(self.data / "clinic.db", timeout=60, isolation_level=None)) as file:
            file.execute("INSERT INTO patients (id, fullName) VALUES (?, 'Many')", (row,))


class Files:
    """The files of nodes, open for reading."""

    def __init__(self, nodes):
        self.files = [sqlite3.connect("file:%s?mode=ro" % (n.data / "clinic.db"), uri=True, timeout=5) for n in nodes]

    def arrivals(self, rows, seconds):
        """Waits until every file has the rows; returns how long half and all of the files took (`None`: not in time)."""
        start, left, half = time.monotonic(), collections.deque(self.files), None
        count = len(rows)
        places = ",".join("?" * count)
        while left and time.monotonic() - start < seconds:
            for _ in range(len(left)):
                file = left.popleft()
                found = file.execute("SELECT count(*) FROM patients WHERE id IN (%s)" % places, rows).fetchone()[0]
                if found < count:
                    left.append(file)
                if half is None and len(left) * 2 <= len(self.files):
                    half = time.monotonic() - start
            time.sleep(0.001)
        return half, None if left else time.monotonic() - start

    def close(self):
        for file in self.files:
            file.close()


class Clinic:
    """The nodes, and what is known of them."""

    def __init__(self, arguments, folder):
        self.program = str(pathlib.Path(arguments.program).resolve())
        self.arguments, self.folder = arguments, folder
        self.results = collections.OrderedDict(nodes=arguments.nodes)
        self.rows = 0

    # Making the members

    def make(self):
        # A clinic with more members than nodes would dial those that are missing.
        members = self.arguments.members
        kept = pathlib.Path(members).resolve() / str(self.arguments.nodes) if members else None
        start = time.monotonic()
        if kept and (kept / "ports.json").exists():
            ports = json.loads((kept / "ports.json").read_text())
            self.nodes = [Node(self, "n%d" % i, port) for i, port in enumerate(ports)]
            for node in self.nodes:
                shutil.copytree(kept / node.name, node.data, symlinks=True)
            self.report("members", {"copied": len(ports), "seconds": round(time.monotonic() - start, 1)})
            return
        self.nodes = [Node(self, "n%d" % i, port) for i, port in enumerate(free_ports(self.arguments.nodes))]
        host = self.nodes[0]
        host.command("init", "--clinic", "Many", "--name", host.name, text="Secret-pass-1\nSecret-pass-1\n")
        host.start(host)
        if not wait(lambda: host.is_ready, 60):
            raise Failure("the host is not ready")
        code = host.command("invite", "--uses", str(len(self.nodes)), "--ttl", "2h")
        place = "127.0.0.1:%d" % host.port

        def join(node):
            node.command("join", code, "--host", place, "--name", node.name, timeout=300)

        # The host lets two from one address join at a time.
        with concurrent.futures.ThreadPoolExecutor(2) as pool:
            list(pool.map(join, self.nodes[1:]))
        host.signal(signal.SIGTERM)
        host.process.wait(60)
        if kept:
            kept.mkdir(parents=True)
            for node in self.nodes:
                shutil.copytree(node.data, kept / node.name, symlinks=True)
            (kept / "ports.json").write_text(json.dumps([node.port for node in self.nodes]))
        self.report("members", {"joined": len(self.nodes) - 1, "seconds": round(time.monotonic() - start, 1)})

    # Looking at the clinic

    @property
    def running(self):
        return [node for node in self.nodes if node.is_running]

    def host(self):
        """The node that says that it is host and has all others connected, with its status; `None` while there is none."""
        others = len(self.running) - 1
        if not self.believed.is_running:
            self.believed = self.running[0]
        status = self.believed.status()
        if status is None:
            return None
        if status["role"] == "host":
            return (self.believed, status) if status["activeConnections"] >= others else None
        named = (status.get("host") or {}).get("id")
        self.believed = next((n for n in self.running if self.ids.get(n.name) == named), None) or self.after(self.believed)
        return None

    def after(self, node):
        running = self.running
        return running[(running.index(node) + 1) % len(running)]

    def settled(self, since, what):
        """Waits until one host has all others connected; returns how long that took since `since`, and the term."""
        end, seen, found = time.monotonic() + self.arguments.patience, None, None
        while not found and time.monotonic() < end:
            now, host = time.monotonic(), self.host()
            same = host and seen and (host[0], host[1]["term"]) == (seen[1][0], seen[1][1]["term"])
            # A host that was stopped a moment ago still counts connections that are gone.
            found = seen if same and now - seen[0] >= 1 else None
            seen = seen if same else host and (now, host)
            time.sleep(0.2)
        if not found:
            status = self.believed.status() or {}
            raise Failure(
                "%s: %s after %d s: %s connections, term %s"
                % (what, self.believed.name, self.arguments.patience, status.get("activeConnections"), status.get("term"))
            )
        at, (self.believed, status) = found
        return max(at - since, 0), status["term"]

    def report(self, step, values):
        self.results[step] = values
        print("%-9s" % step + "  ".join("%s %s" % (name.replace("_", " "), value) for name, value in values.items()), flush=True)

    def row(self):
        self.rows += 1
        return "many-%d-%d" % (os.getpid(), self.rows)

    # Steps

    def start(self):
        first = self.nodes[0]
        self.believed = first
        first.start(first)
        if not wait(lambda: first.is_ready, 60):
            raise Failure("the host is not ready")
        self.ids = {}
        begin = time.monotonic()
        at_once = self.arguments.at_once or len(self.nodes)
        waiting = collections.deque(self.nodes[1:])
        starting = []
        while waiting or starting:
            starting = [node for node in starting if not node.is_ready]
            while waiting and len(starting) < at_once:
                starting.append(waiting.popleft())
                starting[-1].start(first)
            time.sleep(0.02)
        started = time.monotonic() - begin
        seconds, term = self.settled(begin, "start")
        status = self.believed.status() or {}
        self.ids = {peer["name"]: peer["id"] for peer in status.get("peers", [])}
        self.ids[self.believed.name] = (status.get("node") or {}).get("id")
        self.report("start", {"started_s": round(started, 1), "connected_s": round(seconds, 1), "term": term})

    def sample(self):
        nodes = self.running
        before = [(node.processor(), node.switches()) for node in nodes]
        start = time.monotonic()
        time.sleep(self.arguments.window)
        took = time.monotonic() - start
        return {
            node.name: (100 * (node.processor() - processor) / took, (node.switches() - switches) / took)
            for node, (processor, switches) in zip(nodes, before)
        }

    def rest(self):
        """Looks until the clients need about as much twice in a row: then nothing of the start is left."""
        last = None
        for windows in range(1, self.arguments.windows + 1):
            sample = self.sample()
            clients = sum(value for name, (value, _) in sample.items() if name != self.believed.name)
            if last is not None and clients > 0.8 * last:
                break
            last = clients
        host = sample.pop(self.believed.name)
        shares = sorted(value for value, _ in sample.values())
        memory = {node.name: node.memory() for node in self.running}
        resident, anonymous = memory.pop(self.believed.name)
        # What a client needs is what a node needs that has one connection.
        client = median([value for _, value in memory.values()])
        values = {
            "host_percent": round(host[0], 2),
            "client_percent_mean": round(statistics.mean(shares), 3),
            "client_percent_max": round(shares[-1], 2),
            "host_switches_s": round(host[1]),
            "client_switches_s": round(median([value for _, value in sample.values()]), 1),
            "host_MB": round(resident / 1024, 1),
            "host_kB_a_client": round((anonymous - client) / max(len(sample) - 1, 1)),
            "client_MB": round(median([value for value, _ in memory.values()]) / 1024, 1),
            "client_anonymous_MB": round(client / 1024, 1),
            "windows": windows,
        }
        self.report("rest", values)

    def probe(self):
        terms = self.believed.status()["term"]
        begin = time.monotonic()
        before, rounds = self.believed.processor(), []
        for _ in range(5):
            try:
                answer = json.loads(self.believed.command("probe", "--json", timeout=60))
            except (Failure, ValueError, subprocess.TimeoutExpired):
                continue
            trips = sorted(node["roundTripMilliseconds"] for node in answer["nodes"])
            rounds.append((len(trips), median(trips), trips[-1] if trips else None, len(answer["missing"])))
        used = self.believed.processor() - before
        seconds, term = self.settled(begin, "probe")
        self.report(
            "probe",
            {
                "answers": [r[0] for r in rounds],
                "missing": [r[3] for r in rounds],
                "median_ms": [round(r[1] or 0) for r in rounds],
                "slowest_ms": [round(r[2] or 0) for r in rounds],
                "host_s": round(used, 2),
                "terms": term - terms,
            },
        )

    def commit(self):
        writer = next(node for node in self.running if node is not self.believed)
        files = Files([node for node in self.running if node is not writer])
        halves, wholes = [], []
        try:
            for _ in range(20):
                row = self.row()
                writer.write(row)
                half, whole = files.arrivals([row], 10)
                halves.append(half)
                wholes.append(whole)
        finally:
            files.close()
        late = wholes.count(None)
        self.report(
            "commit",
            {
                "half_ms": milliseconds(median([h for h in halves if h is not None])),
                "all_ms": milliseconds(median([w for w in wholes if w is not None])),
                "slowest_ms": milliseconds(max([w for w in wholes if w is not None], default=None)),
                "late": late,
            },
        )
        if late:
            raise Failure("commit: %d rows did not reach every file within ten seconds" % late)

    def after_burst(self, step, begin, term_before, rows=()):
        arrived = None
        if rows:
            files = Files(self.running)
            try:
                _, arrived = files.arrivals(list(rows), self.arguments.patience)
            finally:
                files.close()
            if arrived is None:
                raise Failure("%s: not every file has every row" % step)
        seconds, term = self.settled(begin, step)
        self.report(step, {"rows_s": None if arrived is None else round(arrived, 2), "well_s": round(seconds, 2), "terms": term - term_before})

    def storm(self):
        term = self.believed.status()["term"]
        rows = {node.name: self.row() for node in self.running}
        begin = time.monotonic()
        with concurrent.futures.ThreadPoolExecutor(32) as pool:
            list(pool.map(lambda node: node.write(rows[node.name]), self.running))
        self.after_burst("storm", begin, term, rows.values())

    def pause(self):
        term = self.believed.status()["term"]
        self.believed.signal(signal.SIGSTOP)
        try:
            time.sleep(5)
        finally:
            self.believed.signal(signal.SIGCONT)
        self.after_burst("pause", time.monotonic(), term)

    def starve(self):
        term = self.believed.status()["term"]
        end = time.monotonic() + 10
        while time.monotonic() < end:
            for node in self.running:
                node.signal(signal.SIGSTOP)
            time.sleep(0.95)
            for node in self.running:
                node.signal(signal.SIGCONT)
            time.sleep(0.05)
        self.after_burst("starve", time.monotonic(), term)

    def failover(self):
        term = self.believed.status()["term"]
        killed = self.believed
        writer = next(node for node in self.running if node is not killed)
        files = Files([node for node in self.running if node not in (killed, writer)])
        try:
            begin = time.monotonic()
            killed.process.kill()
            killed.process.wait()
            row = self.row()
            writer.write(row)
            half, whole = files.arrivals([row], self.arguments.patience)
        finally:
            files.close()
        seconds, now = self.settled(begin, "failover")
        self.report(
            "failover",
            {"half_ms": milliseconds(half), "all_ms": milliseconds(whole), "well_s": round(seconds, 2), "terms": now - term},
        )
        if whole is None:
            raise Failure("failover: the row did not reach every file")

    def end(self):
        """Ends every process that was started, by its id."""
        for node in getattr(self, "nodes", []):
            if node.is_running:
                node.process.kill()
        for node in getattr(self, "nodes", []):
            if node.process:
                node.process.wait()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("program")
    parser.add_argument("nodes", type=int)
    parser.add_argument("--plan", default="rest,probe,commit,failover")
    parser.add_argument("--at-once", type=int, default=8, metavar="K")
    parser.add_argument("--members", metavar="FOLDER")
    parser.add_argument("--window", type=float, default=10, help="seconds of one look at the processors")
    parser.add_argument("--windows", type=int, default=8, help="such looks at most")
    parser.add_argument("--patience", type=float, default=120, help="seconds until all are connected again")
    parser.add_argument("--json", metavar="FILE")
    parser.add_argument("--keep", action="store_true")
    arguments = parser.parse_args()
    plan = [step for step in arguments.plan.split(",") if step]
    if unknown := set(plan) - set(STEPS):
        parser.error("unknown steps: " + ", ".join(sorted(unknown)))
    if arguments.nodes < 3:
        parser.error("three nodes at least")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    folder = pathlib.Path(tempfile.mkdtemp(prefix="many"))
    clinic = Clinic(arguments, folder)
    failure = None
    try:
        clinic.make()
        if plan:
            clinic.start()
        for step in STEPS:
            if step in plan:
                getattr(clinic, step)()
    except Failure as error:
        failure = str(error)
        print("failed: " + failure, flush=True)
    finally:
        clinic.end()
        if arguments.keep:
            print("kept in %s" % folder)
        else:
            shutil.rmtree(folder, ignore_errors=True)
    clinic.results["failure"] = failure
    if arguments.json:
        pathlib.Path(arguments.json).write_text(json.dumps(clinic.results, indent=2) + "\n")
    return 1 if failure else 0


if __name__ == "__main__":
    sys.exit(main())
