"""PCs on a LAN: network namespaces joined by a bridge, with a clinic node in each.

Needs root, iproute2 and Python 3.9. Everything it makes is named after this process and removed at the end.
"""

import json
import os
import pathlib
import re
import shutil
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time

DEADLINE = 60


class Failure(Exception):
    """A check that did not hold."""


def check(condition, sentence):
    if not condition:
        raise Failure(sentence)
    print("ok    " + sentence, flush=True)


def wait(sentence, condition, deadline=DEADLINE):
    """Waits until condition() holds and returns how long that took, in seconds."""
    start = time.monotonic()
    while time.monotonic() - start < deadline:
        if condition():
            took = time.monotonic() - start
            print("ok    %s (%.2f s)" % (sentence, took), flush=True)
            return took
        time.sleep(0.02)
    raise Failure("waited %d s in vain: %s" % (deadline, sentence))


def can_make_namespaces():
    """Whether this machine lets us make network namespaces."""
    if os.geteuid() != 0 or shutil.which("ip") is None:
        return False
    name = "cs%d-probe" % os.getpid()
    if subprocess.run(["ip", "netns", "add", name], capture_output=True).returncode != 0:
        return False
    made = subprocess.run(
        ["ip", "-n", name, "link", "add", "x0", "type", "veth", "peer", "name", "x1"], capture_output=True
    )
    subprocess.run(["ip", "netns", "del", name], capture_output=True)
    return made.returncode == 0


class Sniffer(threading.Thread):
    """Keeps every frame that crosses a port of the switch; the bridge itself sees only what is meant for it."""

    def __init__(self, namespace, interface):
        super().__init__(daemon=True)
        self.program = (
            "import socket,sys\n"
            "s=socket.socket(socket.AF_PACKET,socket.SOCK_RAW,socket.htons(3))\n"
            "s.bind((%r,0))\n"
            "sys.stdout.buffer.write(b'!');sys.stdout.buffer.flush()\n"
            "while True:\n"
            "    sys.stdout.buffer.write(s.recv(65535));sys.stdout.buffer.flush()\n" % interface
        )
        self.process = subprocess.Popen(
            ["ip", "netns", "exec", namespace, sys.executable, "-c", self.program], stdout=subprocess.PIPE
        )
        self.seen = bytearray()
        self.process.stdout.read(1)
        self.start()

    def run(self):
        while True:
            data = self.process.stdout.read1(1 << 20)
            if not data:
                return
            self.seen += data

    def stop(self):
        self.process.terminate()
        self.process.wait()
        self.join()
        return bytes(self.seen)


class PC:
    """One PC: a namespace with its own address and loopback, and the files of one node."""

    def __init__(self, lab, number):
        self.lab = lab
        self.number = number
        self.namespace = "%s-%d" % (lab.name, number)
        self.address = "10.77.0.%d" % number
        self.data = lab.folder / ("pc%d" % number)
        self.process = None
        self.log = lab.folder / ("pc%d.log" % number)

    def execute(self, *command, **options):
        """Runs a command on this PC."""
        options.setdefault("timeout", DEADLINE)
        return subprocess.run(
            ["ip", "netns", "exec", self.namespace, *map(str, command)], capture_output=True, text=True, **options
        )

    def node(self, command, *arguments, status=0):
        """Runs a command of clinic-node and returns its standard output."""
        result = self.execute(self.lab.program, *command.split(), "--data", self.data, *arguments)
        if result.returncode != status:
            raise Failure(
                "pc%d: %s ended with %d instead of %d: %s"
                % (self.number, command, result.returncode, status, result.stderr.strip())
            )
        return result.stdout if status == 0 else result.stderr

    def status(self):
        return json.loads(self.node("status", "--json"))

    def start(self, *arguments):
        log = open(self.log, "ab")
        self.process = subprocess.Popen(
            ["ip", "netns", "exec", self.namespace, str(self.lab.program), "run", "--data", str(self.data)]
            + ["--log-level", "trace", *arguments],
            stdout=log,
            stderr=log,
        )
        begin = self.log.stat().st_size
        self.wait_for_log("ready", begin=0 if begin == 0 else begin)

    def wait_for_log(self, line, begin=0):
        def is_there():
            if self.process.poll() is not None:
                raise Failure("pc%d ended: %s" % (self.number, self.log.read_text()[-2000:]))
            return re.search("^%s$" % line, self.log.read_text()[begin:], re.MULTILINE)

        wait("pc%d says %s" % (self.number, line), is_there)

    def stop(self):
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            self.process.wait(DEADLINE)

    def sql(self, statement, *parameters):
        """Runs SQL as a program on the PC would: with a plain connection to the file."""
        connection = sqlite3.connect(str(self.data / "clinic.db"), timeout=30)
        try:
            with connection:
                return connection.execute(statement, parameters).fetchall()
        finally:
            connection.close()

    def digest(self):
        return json.loads(self.node("digest", "--json"))["digest"]


class Lab:
    """The LAN. Use as a context manager."""

    def __init__(self, program, pcs):
        self.program = pathlib.Path(program).resolve()
        self.name = "cs%d" % os.getpid()
        self.count = pcs

    def __enter__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="clinicsync-lan-"))
        self.switch = self.name + "-sw"
        self.ip("netns", "add", self.switch)
        self.ip("-n", self.switch, "link", "add", "br0", "type", "bridge")
        self.ip("-n", self.switch, "link", "set", "br0", "up")
        self.pcs = []
        for number in range(1, self.count + 1):
            pc = PC(self, number)
            self.pcs.append(pc)
            port = "p%d" % number
            self.ip("netns", "add", pc.namespace)
            self.ip("link", "add", "eth0", "netns", pc.namespace, "type", "veth", "peer", "name", port, "netns", self.switch)
            self.ip("-n", self.switch, "link", "set", port, "master", "br0", "up")
            self.ip("-n", pc.namespace, "addr", "add", pc.address + "/24", "dev", "eth0")
            self.ip("-n", pc.namespace, "link", "set", "eth0", "up")
            self.ip("-n", pc.namespace, "link", "set", "lo", "up")
        return self

    def __exit__(self, kind, error, trace):
        for pc in self.pcs:
            if pc.process is not None and pc.process.poll() is None:
                pc.process.kill()
                pc.process.wait()
        for namespace in [pc.namespace for pc in self.pcs] + [self.switch]:
            subprocess.run(["ip", "netns", "del", namespace], capture_output=True)
        if error is None:
            shutil.rmtree(self.folder)
        else:
            print("The nodes' files and logs are kept in " + str(self.folder), flush=True)

    @staticmethod
    def ip(*arguments):
        result = subprocess.run(["ip", *arguments], capture_output=True, text=True)
        if result.returncode != 0:
            raise Failure("ip %s: %s" % (" ".join(arguments), result.stderr.strip()))


def main(scenario, pcs):
    """Runs scenario(lab) with the program named on the command line; skips where there are no namespaces."""
    if len(sys.argv) != 2:
        sys.exit("usage: %s PATH-OF-CLINIC-NODE" % sys.argv[0])
    if not can_make_namespaces():
        print("skipped: this machine lets nobody make network namespaces (root and iproute2 are needed)")
        return
    try:
        with Lab(sys.argv[1], pcs) as lab:
            scenario(lab)
    except Failure as failure:
        print("FAIL  " + str(failure))
        sys.exit(1)
    print("passed")
