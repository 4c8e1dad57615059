"""Clinic nodes for the client tests: real processes on loopback, in a folder that is removed at the end."""

import contextlib
import json
import pathlib
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time

import requests

DEADLINE = 30


def wait(what, condition, deadline=DEADLINE):
    """Waits until `condition` returns a true value, and returns this value."""
    end = time.monotonic() + deadline
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > end:
            raise AssertionError("not within %g s: %s" % (deadline, what))
        time.sleep(0.02)


def free_port():
    with contextlib.closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Node:
    """A node with fixed ports, so that a test can stop and start it."""

    def __init__(self, program, folder, name):
        self.program = program
        self.name = name
        self.data = folder / name
        self.listen = "127.0.0.1:%d" % free_port()
        self.api = "127.0.0.1:%d" % free_port()
        self.process = None
        self.log = folder / (name + ".log")

    @property
    def url(self):
        return "http://" + self.api

    @property
    def token(self):
        return (self.data / "api.token").read_text()

    @property
    def headers(self):
        return {"Authorization": "Bearer " + self.token}

    def command(self, *arguments, status=0, text=None):
        """Runs a command of the program on this node and returns what it prints."""
        result = subprocess.run(
            [self.program, *arguments, "--data", str(self.data)],
            input=text or "",
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert result.returncode == status, "%s: %d %s" % (arguments, result.returncode, result.stderr)
        return result.stdout

    def start(self):
        with open(self.log, "a") as log:
            mark = log.tell()
            self.process = subprocess.Popen(
                [self.program, "run", "--data", str(self.data), "--listen", self.listen, "--api", self.api]
                + ["--discovery", "off"],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
            )
        wait("%s is ready" % self.name, lambda: self.is_ready(mark))
        return self

    def is_ready(self, mark):
        text = self.log.read_text()[mark:]
        assert self.process.poll() is None, "%s ended: %s" % (self.name, text)
        return "ready" in text.splitlines()

    def stop(self):
        """Stops the node like systemd, and returns its exit status."""
        if self.process is None:
            return None
        process, self.process = self.process, None
        process.send_signal(signal.SIGTERM)
        return process.wait(timeout=DEADLINE)

    def end(self):
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def sql(self, statement, *values):
        """Runs a transaction on the file, like a clinic's program."""
        with contextlib.closing(sqlite3.connect(self.data / "clinic.db", timeout=30)) as database:
            with database:
                return database.execute(statement, values).fetchall()

    def get(self, path, **options):
        return requests.get(self.url + path, headers={**self.headers, **options.pop("headers", {})}, timeout=30, **options)

    def post(self, path, **options):
        return requests.post(self.url + path, headers={**self.headers, **options.pop("headers", {})}, timeout=60, **options)

    def status(self):
        return self.get("/v1/status").json()


class Clinic:
    """Nodes of one clinic; the first node made the clinic."""

    def __init__(self, program, names):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="clinic-clients-"))
        self.nodes = [Node(program, self.folder, name) for name in names]

    def __enter__(self):
        try:
            first = self.nodes[0]
            first.command("init", "--clinic", "Clinic of the test", "--name", first.name)
            first.start()
            for node in self.nodes[1:]:
                code = first.command("invite").strip()
                node.command("join", code, "--host", first.listen, "--name", node.name)
                node.start()
            wait("all are connected", lambda: first.status()["activeConnections"] == len(self.nodes) - 1)
            return self
        except BaseException:
            self.__exit__(*sys.exc_info())
            raise

    def __exit__(self, kind, error, trace):
        for node in self.nodes:
            node.end()
            if kind is not None and node.log.exists():
                print("--- log of %s\n%s" % (node.name, node.log.read_text()[-4000:]), file=sys.stderr)
        shutil.rmtree(self.folder)

    def settled(self):
        """Waits until all nodes are equal and the host has everything."""
        digests = {json.dumps(node.get("/v1/digest").json()["digest"]) for node in self.nodes}
        return len(digests) == 1 and all(node.status()["pendingChanges"] == 0 for node in self.nodes)

    def conflict(self, winner, loser, column="fullName", current="Later", other="Earlier", record="p1"):
        """Makes a conflict: both nodes write one column of a row of patients while they are apart. `winner` writes last."""
        winner.sql("INSERT OR IGNORE INTO patients(id, fullName) VALUES(?, 'Ana')", record)
        wait("the row is everywhere", lambda: all(node.sql("SELECT 1 FROM patients WHERE id = ?", record) for node in self.nodes))
        wait("all is settled", self.settled)
        before = winner.status()["conflicts"]["open"]
        loser.stop()
        loser.sql("UPDATE patients SET %s = ? WHERE id = ?" % column, other, record)
        time.sleep(0.05)  # the clock of marks has milliseconds
        winner.sql("UPDATE patients SET %s = ? WHERE id = ?" % column, current, record)
        loser.start()
        wait("the conflict is in the journal", lambda: winner.status()["conflicts"]["open"] == before + 1)
        wait("both have the winner", lambda: self.settled() and loser.sql("SELECT %s FROM patients WHERE id = ?" % column, record) == [(current,)])


class Checks:
    """Counts and prints the checks."""

    def __init__(self):
        self.count = 0

    def __call__(self, holds, what):
        assert holds, what
        self.count += 1


def main(name, run):
    """Runs a test with the program on the command line. The exit status is the result."""
    if len(sys.argv) < 2:
        sys.exit("usage: %s PROGRAM" % name)
    check = Checks()
    started = time.monotonic()
    run(sys.argv[1], check)
    print("%s: %d checks passed in %.1f s" % (name, check.count, time.monotonic() - started))
