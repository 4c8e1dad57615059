"""PCs on a LAN: network namespaces joined by a bridge, with a clinic node in each.

Needs root, iproute2 and Python 3.9; what a scenario needs beyond that it says itself (main's argument `tools`).
Everything it makes is named after this process and removed at the end, what it starts is ended by its process id.
"""

import ctypes
import http.client
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

DBUS_CONFIGURATION = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>system</type>
  <listen>unix:path=/run/dbus/system_bus_socket</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/><allow own="*"/><allow send_type="method_call"/>
    <allow send_destination="*" eavesdrop="true"/><allow receive_sender="*"/>
  </policy>
</busconfig>
"""

AVAHI_CONFIGURATION = """[server]
host-name=%s
use-ipv4=yes
use-ipv6=yes
enable-dbus=yes
[wide-area]
enable-wide-area=no
[publish]
publish-hinfo=no
publish-workstation=no
"""

# Switches off the offloads of the kernel: with them a relay in user space would send unfinished frames.
PLAIN_FRAMES = """import array,fcntl,socket,struct,sys
s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM)
for command in (0x17,0x1f,0x25):  # ETHTOOL_STXCSUM, ETHTOOL_STSO, ETHTOOL_SGSO
    value=array.array('B',struct.pack('II',command,0))
    try: fcntl.ioctl(s,0x8946,struct.pack('16sP',sys.argv[1].encode(),value.buffer_info()[0]))
    except OSError as error: sys.exit('ethtool %x: %s'%(command,error))
"""

# Relays frames between two interfaces with a delay.
DELAY_RELAY = """import heapq,select,socket,sys,time
delay=float(sys.argv[1]);ends=[]
for name in sys.argv[2:4]:
    end=socket.socket(socket.AF_PACKET,socket.SOCK_RAW,socket.htons(3));end.bind((name,0));ends.append(end)
sys.stdout.write('!');sys.stdout.flush()
queue=[];count=0
while True:
    pause=max(0,queue[0][0]-time.monotonic()) if queue else None
    for end in select.select(ends,[],[],pause)[0]:
        frame,source=end.recvfrom(65535)
        if source[2]==4: continue  # our own, on its way out
        count+=1
        heapq.heappush(queue,(time.monotonic()+delay,count,ends[1-ends.index(end)],frame))
    while queue and queue[0][0]<=time.monotonic():
        _,_,end,frame=heapq.heappop(queue)
        try: end.send(frame)
        except OSError: pass  # the link is down
"""


class Failure(Exception):
    """A check that failed."""


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
    """Whether this machine allows network namespaces."""
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


def poll(condition, deadline=DEADLINE):
    """Waits until condition() holds, and prints nothing."""
    start = time.monotonic()
    while not condition():
        if time.monotonic() - start > deadline:
            raise Failure("something did not start within %d s" % deadline)
        time.sleep(0.02)


class Sniffer(threading.Thread):
    """Records every frame that crosses a port of the switch. The bridge itself sees only its own frames."""

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
        self.holder = None
        self.bus = None
        self.avahi = None

    def inside(self, *command):
        """The prefix that runs a command on this PC, with the PC's own /run if it has one."""
        if self.holder is None:
            return ["ip", "netns", "exec", self.namespace, *map(str, command)]
        return ["nsenter", "-t", str(self.holder.pid), "-m", "-n", "--", *map(str, command)]

    def execute(self, *command, **options):
        """Runs a command on this PC."""
        options.setdefault("timeout", DEADLINE)
        return subprocess.run(self.inside(*command), capture_output=True, text=True, **options)

    def begin(self, name, *command):
        """Starts a service on this PC, which runs until the test ends it."""
        with open(self.lab.folder / ("pc%d-%s.log" % (self.number, name)), "ab") as log:
            return subprocess.Popen(self.inside(*command), stdout=log, stderr=log, stdin=subprocess.DEVNULL)

    def start_bus(self):
        """Gives the PC a D-Bus of its own, in a /run of its own."""
        if self.holder is None:
            script = "mount -t tmpfs tmpfs /run && mkdir -p /run/dbus /run/avahi-daemon && echo ok && exec sleep infinity"
            self.holder = subprocess.Popen(
                ["ip", "netns", "exec", self.namespace, "unshare", "-m", "--propagation", "private", "sh", "-c", script],
                stdout=subprocess.PIPE,
            )
            if self.holder.stdout.readline() != b"ok\n":
                raise Failure("pc%d gets no /run of its own" % self.number)
        configuration = self.lab.folder / "dbus.conf"
        configuration.write_text(DBUS_CONFIGURATION)
        self.execute("rm", "-f", "/run/dbus/system_bus_socket")
        self.bus = self.begin("dbus", "dbus-daemon", "--config-file=%s" % configuration, "--nofork", "--nopidfile")
        poll(lambda: self.execute("test", "-S", "/run/dbus/system_bus_socket").returncode == 0)

    def start_avahi(self):
        configuration = self.lab.folder / ("avahi%d.conf" % self.number)
        configuration.write_text(AVAHI_CONFIGURATION % ("pc%d" % self.number))
        self.execute("rm", "-f", "/run/avahi-daemon/pid", "/run/avahi-daemon/socket")
        log = self.lab.folder / ("pc%d-avahi.log" % self.number)
        self.avahi_log = (log, log.stat().st_size if log.exists() else 0)
        self.avahi = self.begin("avahi", "avahi-daemon", "-f", configuration, "--no-drop-root", "--no-chroot")

    def wait_for_avahi(self):
        """Waits until the daemon has claimed its name. If the address changes meanwhile, the daemon may never get ready."""
        log, begin = self.avahi_log
        poll(lambda: "Server startup complete" in log.read_text()[begin:])

    def kill_avahi(self):
        self.avahi.kill()
        self.avahi.wait()

    def kill_bus(self):
        self.bus.kill()
        self.bus.wait()

    def kill(self):
        """Kills the PC, like a pulled plug."""
        self.process.kill()
        self.process.wait()

    def end_services(self):
        for process in (self.avahi, self.bus, self.holder):
            if process is not None and process.poll() is None:
                process.kill()
                process.wait()
        self.avahi = self.bus = self.holder = None

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

    def ask(self, path):
        """Asks the node's local API; None when it does not answer. Much quicker than a command."""
        try:
            connection = http.client.HTTPConnection("127.0.0.1", 7451, timeout=5)
            connection.sock = self.connect(7451)
            token = (self.data / "api.token").read_text().strip()
            connection.request("GET", path, headers={"Authorization": "Bearer " + token})
            with connection.getresponse() as response:
                return json.loads(response.read()) if response.status == 200 else None
        except (OSError, http.client.HTTPException):
            return None

    def connect(self, port):
        """Returns a socket of this process in the PC's network."""
        libc = ctypes.CDLL(None, use_errno=True)
        with open("/proc/thread-self/ns/net") as own, open("/run/netns/" + self.namespace) as there:
            if libc.setns(there.fileno(), 0x40000000) != 0:
                raise OSError(ctypes.get_errno(), "setns")
            try:
                return socket.create_connection(("127.0.0.1", port), timeout=5)
            finally:
                if libc.setns(own.fileno(), 0x40000000) != 0:
                    os.abort()

    def move(self, address):
        """Gives the PC another address, like a new lease."""
        self.lab.ip("-n", self.namespace, "addr", "del", self.address + "/24", "dev", "eth0")
        self.lab.ip("-n", self.namespace, "addr", "add", address + "/24", "dev", "eth0")
        self.address = address

    def start(self, *arguments):
        begin = self.log.stat().st_size if self.log.exists() else 0
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                self.inside(self.lab.program, "run", "--data", self.data, "--log-level", "trace", *arguments),
                stdout=log,
                stderr=log,
            )
        self.wait_for_log("ready", begin=begin)

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
        """Runs SQL like a program on the PC: with a plain connection to the file."""
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

    def __init__(self, program, pcs, avahi=False):
        self.program = pathlib.Path(program).resolve()
        self.name = "cs%d" % os.getpid()
        self.count = pcs
        self.avahi = avahi
        self.relays = []

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
            if self.avahi:
                pc.start_bus()
                pc.start_avahi()
        for pc in self.pcs if self.avahi else []:
            pc.wait_for_avahi()
        return self

    # Faults

    def pull(self, pc):
        """Pulls the PC's cable."""
        self.ip("-n", self.switch, "link", "set", "p%d" % pc.number, "down")

    def plug(self, pc):
        """Puts the cable back."""
        self.ip("-n", self.switch, "link", "set", "p%d" % pc.number, "up")

    def part(self, pcs):
        """Puts some PCs on a switch of their own. No link goes down."""
        if subprocess.run(["ip", "-n", self.switch, "link", "show", "br1"], capture_output=True).returncode != 0:
            self.ip("-n", self.switch, "link", "add", "br1", "type", "bridge")
            self.ip("-n", self.switch, "link", "set", "br1", "up")
        for pc in pcs:
            self.ip("-n", self.switch, "link", "set", "p%d" % pc.number, "master", "br1")

    def heal(self):
        """Puts all PCs on one switch."""
        for pc in self.pcs:
            self.ip("-n", self.switch, "link", "set", "p%d" % pc.number, "master", "br0")

    def lose(self, percent):
        """Makes the switch drop some of the frames; 0: none."""
        rules = "add table bridge lab\ndelete table bridge lab\n"
        if percent:
            rules += (
                "table bridge lab {\nchain forward {\ntype filter hook forward priority 0;\n"
                "numgen random mod 100 < %d counter drop\n}\n}\n" % percent
            )
        result = subprocess.run(
            ["ip", "netns", "exec", self.switch, "nft", "-f", "-"], input=rules, capture_output=True, text=True
        )
        if result.returncode != 0:
            raise Failure("nft: " + result.stderr.strip())

    def lost(self):
        """Returns the number of frames that the switch has dropped."""
        result = subprocess.run(
            ["ip", "netns", "exec", self.switch, "nft", "list", "table", "bridge", "lab"], capture_output=True, text=True
        )
        return int(re.search(r"counter packets (\d+)", result.stdout).group(1))

    def throttle(self, pc, rate):
        """Gives the PC a slow cable in both directions; None: a fast one."""
        for namespace, device in ((self.switch, "p%d" % pc.number), (pc.namespace, "eth0")):
            command = ["tc", "-n", namespace, "qdisc", "add" if rate else "del", "dev", device, "root"]
            if rate:
                command += ["tbf", "rate", rate, "burst", "16kb", "latency", "400ms"]
            result = subprocess.run(command, capture_output=True, text=True)
            if result.returncode != 0:
                raise Failure("tc: " + result.stderr.strip())

    def delay(self, pc, seconds):
        """Puts a relay into the PC's cable, which delays every frame in both directions. Returns the function that ends the relay."""
        for other in self.pcs:
            result = other.execute(sys.executable, "-c", PLAIN_FRAMES, "eth0")
            if result.returncode != 0:
                raise Failure("pc%d: %s" % (other.number, result.stderr.strip()))
        port, inner, outer = "p%d" % pc.number, "d%d" % pc.number, "e%d" % pc.number
        self.ip("-n", self.switch, "link", "add", inner, "type", "veth", "peer", "name", outer)
        self.ip("-n", self.switch, "link", "set", port, "nomaster")
        self.ip("-n", self.switch, "link", "set", outer, "master", "br0", "up")
        self.ip("-n", self.switch, "link", "set", inner, "up")
        self.ip("-n", self.switch, "link", "set", inner, "promisc", "on")
        self.ip("-n", self.switch, "link", "set", port, "promisc", "on")
        relay = subprocess.Popen(
            ["ip", "netns", "exec", self.switch, sys.executable, "-c", DELAY_RELAY, str(seconds), port, inner],
            stdout=subprocess.PIPE,
        )
        self.relays.append(relay)
        relay.stdout.read(1)

        def end():
            relay.kill()
            relay.wait()
            self.ip("-n", self.switch, "link", "del", inner)
            self.ip("-n", self.switch, "link", "set", port, "master", "br0")

        return end

    def __exit__(self, kind, error, trace):
        for pc in self.pcs:
            if pc.process is not None and pc.process.poll() is None:
                pc.process.kill()
                pc.process.wait()
            pc.end_services()
        for relay in self.relays:
            if relay.poll() is None:
                relay.kill()
                relay.wait()
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


def main(scenario, pcs, tools=(), avahi=False):
    """Runs scenario(lab) with the program on the command line. Skips the scenario where it cannot run.

    A scenario that takes the names of its steps gets what else is on the command line.
    """
    if len(sys.argv) < 2:
        sys.exit("usage: %s PATH-OF-CLINIC-NODE" % sys.argv[0])
    if not can_make_namespaces():
        print("skipped: this machine lets nobody make network namespaces (root and iproute2 are needed)")
        return
    missing = [tool for tool in tools if shutil.which(tool) is None]
    if missing:
        print("skipped: %s not installed (.ci/setup installs what is needed)" % " and ".join(missing))
        return
    try:
        with Lab(sys.argv[1], pcs, avahi) as lab:
            scenario(lab, *sys.argv[2:])
    except Failure as failure:
        print("FAIL  " + str(failure))
        sys.exit(1)
    print("passed")
