#!/usr/bin/env python3
"""Four PCs, each with its own avahi-daemon, find each other without an address and always have a host.

Steps can be named on the command line to run only those, in the order of STEPS; `begin` always runs.
"""

import json
import re
import signal
import time

from lab import Failure, check, main, wait

FOUND = re.compile(r"peer\.id=(\S+).*A node was found on the LAN")
UNAVAILABLE = "Nodes cannot be looked for on the LAN"
# The product's promises, and the time that polling from outside adds.
FAILOVER = 3.0
MEASURING = 0.5


# Questions to the nodes


def members(lab):
    """The ids of the nodes by PC, read from their files."""
    return {pc.number: json.loads((pc.data / "identity" / "identity.json").read_text())["nodeID"] for pc in lab.pcs}


def found(pc, begin=0):
    """Returns the nodes that the PC has found on the LAN, according to its log from a place on."""
    return set(FOUND.findall(pc.log.read_text()[begin:]))


def mark(pc):
    return len(pc.log.read_text())


def find_one_another(lab, pcs, begin):
    ids = members(lab)
    for pc in pcs:
        others = {ids[other.number] for other in lab.pcs if other is not pc}
        wait("pc%d finds the other PCs" % pc.number, lambda: found(pc, begin[pc.number]) >= others, 15)


def view(pcs):
    """Returns the number of the host: the only PC that says it is host and that all others follow, else None."""
    statuses = [(pc, pc.ask("/v1/status")) for pc in pcs]
    if any(status is None for _, status in statuses):
        return None
    hosts = [(pc, status) for pc, status in statuses if status["role"] == "host"]
    if len(hosts) != 1:
        return None
    host, own = hosts[0]
    for _, status in statuses:
        if status["host"] is None or status["host"]["id"] != own["node"]["id"] or status["term"] != own["term"]:
            return None
    return host


def round_trip(host, pc):
    """Milliseconds, as the host has measured them."""
    name = "pc%d" % pc.number
    peers = (host.ask("/v1/status") or {"peers": []})["peers"]
    return max([peer["roundTripMilliseconds"] or 0 for peer in peers if peer["name"] == name], default=0)


def one_host(sentence, pcs, deadline=30.0):
    took = wait(sentence, lambda: view(pcs) is not None, deadline)
    return view(pcs), took


def write(pc, text):
    pc.sql("INSERT INTO patients (fullName) VALUES (?)", text)


def has(pc, text):
    return bool(pc.sql("SELECT 1 FROM patients WHERE fullName = ?", text))


def stream(pcs, text):
    """The writes of each PC arrive at all the others."""
    for pc in pcs:
        write(pc, "%s %d" % (text, pc.number))
    wait(
        "what %d PCs write is on all of them" % len(pcs),
        lambda: all(has(pc, "%s %d" % (text, other.number)) for pc in pcs for other in pcs),
    )


def equal(pcs):
    wait("all copies are equal", lambda: len({json.dumps(pc.ask("/v1/digest")) for pc in pcs}) == 1)


# The steps


def begin(lab):
    first = lab.pcs[0]
    first.node("init", "--clinic", "Lab", "--name", "pc1")
    first.start()
    code = first.node("invite", "--uses", "3").strip()
    # The code holds an address that no PC has any more.
    first.move("10.77.0.101")
    for pc in lab.pcs[1:]:
        start = time.monotonic()
        pc.node("join", code, "--name", "pc%d" % pc.number)
        print("ok    pc%d joins without an address (%.2f s)" % (pc.number, time.monotonic() - start), flush=True)
        pc.start()
    find_one_another(lab, lab.pcs, {pc.number: 0 for pc in lab.pcs})
    ids = members(lab)
    check(all(ids[pc.number] not in found(pc) for pc in lab.pcs), "no PC finds itself")
    wait(
        "the list of members has the first PC's new address",
        lambda: first.sql("SELECT 1 FROM clinicsync_node WHERE name = 'pc1' AND address LIKE '10.77.0.101:7450%'"),
    )


def avahi_restart(lab):
    pc = lab.pcs[2]
    begin = mark(pc)
    pc.kill_avahi()
    wait("pc3 says that it cannot look for others", lambda: UNAVAILABLE in pc.log.read_text()[begin:])
    pc.start_avahi()
    find_one_another(lab, [pc], {pc.number: begin})
    check(pc.log.read_text()[begin:].count(UNAVAILABLE) == 1, "it said so once")


def no_bus(lab):
    pc = lab.pcs[3]
    begin = mark(pc)
    pc.kill_avahi()
    pc.kill_bus()
    wait("pc4 goes on without D-Bus", lambda: UNAVAILABLE in pc.log.read_text()[begin:])
    pc.stop()
    second = mark(pc)
    pc.start()
    wait("a node that starts without D-Bus says so", lambda: UNAVAILABLE in pc.log.read_text()[second:])
    third = mark(pc)
    pc.start_bus()
    pc.start_avahi()
    find_one_another(lab, [pc], {pc.number: third})
    check(pc.log.read_text()[second:].count(UNAVAILABLE) == 1, "it said so once")


def link_down(lab):
    pc = lab.pcs[1]
    begin = mark(pc)
    lab.ip("-n", pc.namespace, "link", "set", "eth0", "down")
    wait("pc2 hears nobody without its network card", lambda: "announced on the LAN no more" in pc.log.read_text()[begin:])
    lab.ip("-n", pc.namespace, "link", "set", "eth0", "up")
    find_one_another(lab, [pc], {pc.number: begin})


def all_connected(lab):
    one_host("all four PCs have one host", lab.pcs)
    stream(lab.pcs, "connected")
    equal(lab.pcs)


def host_killed(lab):
    host, _ = one_host("there is one host", lab.pcs)
    others = [pc for pc in lab.pcs if pc is not host]
    begin = {pc.number: mark(pc) for pc in lab.pcs}
    host.kill()
    _, took = one_host("another PC is host for all that are left", others)
    check(took <= FAILOVER + MEASURING, "the change of host took %.2f s" % took)
    stream(others, "without the first host")
    now = view(others)
    announced = r"election\.term=%d .*peer\.id=%s .*found on the LAN" % (now.ask("/v1/status")["term"], members(lab)[now.number])
    watcher = next(pc for pc in others if pc is not now)
    wait("the new host is announced", lambda: re.search(announced, watcher.log.read_text()[begin[watcher.number] :]), 15)
    host.start()
    one_host("the old host comes back", lab.pcs)
    equal(lab.pcs)


def host_stopped(lab):
    host, _ = one_host("there is one host", lab.pcs)
    others = [pc for pc in lab.pcs if pc is not host]
    start = time.monotonic()
    host.process.terminate()
    one_host("another PC takes over from one that is stopped", others)
    took = time.monotonic() - start
    host.stop()
    check(took <= 0.5 + MEASURING, "the hand-over took %.2f s" % took)
    host.start()
    one_host("the stopped PC comes back", lab.pcs)


def host_paused(lab):
    """Suspends and resumes a node, like the lid of a laptop."""
    host, _ = one_host("there is one host", lab.pcs)
    others = [pc for pc in lab.pcs if pc is not host]
    host.process.send_signal(signal.SIGSTOP)
    try:
        _, took = one_host("another PC is host while that one sleeps", others)
        check(took <= FAILOVER + MEASURING, "the change of host took %.2f s" % took)
        stream(others, "while one sleeps")
    finally:
        host.process.send_signal(signal.SIGCONT)
    now, _ = one_host("there is one host when it wakes", lab.pcs)
    check(now is not host, "and it is not the one that slept")
    equal(lab.pcs)


def cable_pulled(lab):
    host, _ = one_host("there is one host", lab.pcs)
    others = [pc for pc in lab.pcs if pc is not host]
    lab.pull(host)
    _, took = one_host("the others have another host", others)
    check(took <= FAILOVER + MEASURING, "the change of host took %.2f s" % took)
    write(host, "written without a cable")
    write(others[0], "written meanwhile")
    lab.plug(host)
    _, took = one_host("there is one host again", lab.pcs)
    check(took <= FAILOVER + MEASURING, "healing took %.2f s" % took)
    wait("what was written without a cable is everywhere", lambda: all(has(pc, "written without a cable") for pc in lab.pcs))
    equal(lab.pcs)


def partition(lab):
    left, right = lab.pcs[:2], lab.pcs[2:]
    lab.part(right)
    one_host("one half has a host", left)
    one_host("the other half has a host", right)
    stream(left, "left")
    stream(right, "right")
    lab.heal()
    _, took = one_host("there is one host again", lab.pcs)
    check(took <= FAILOVER + MEASURING, "healing took %.2f s" % took)
    wait("each half has what the other wrote", lambda: has(left[0], "right 4") and has(right[0], "left 1"))
    equal(lab.pcs)


def loss(lab):
    lab.lose(10)
    try:
        stream(lab.pcs, "with every tenth packet lost")
        check(lab.lost() > 0, "the switch lost packets: %d" % lab.lost())
    finally:
        lab.lose(0)
    one_host("there is one host", lab.pcs)
    equal(lab.pcs)


def slow(lab):
    host, _ = one_host("there is one host", lab.pcs)
    pc = next(pc for pc in lab.pcs if pc is not host)
    lab.throttle(pc, "1mbit")
    try:
        host.sql(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000)"
            " INSERT INTO patients (fullName) SELECT 'slow ' || i FROM n"
        )
        took = wait("3000 patients cross a slow cable", lambda: has(pc, "slow 3000"))
        check(took > 1, "which takes its time")
        check(view(lab.pcs) is host, "and the host is the same")
    finally:
        lab.throttle(pc, None)
    equal(lab.pcs)


def delay(lab):
    host, _ = one_host("there is one host", lab.pcs)
    pc = next(pc for pc in lab.pcs if pc is not host)
    end = lab.delay(pc, 0.08)
    try:
        stream(lab.pcs, "delayed")
        wait("the delay is seen", lambda: round_trip(host, pc) >= 150)
        check(view(lab.pcs) is host, "and the host is the same")
    finally:
        end()
    one_host("there is one host", lab.pcs)
    equal(lab.pcs)


def nobody_announces(lab):
    """Without any avahi-daemon the PCs use the addresses that they know."""
    for pc in lab.pcs:
        pc.kill_avahi()
    host, _ = one_host("there is one host", lab.pcs)
    others = [pc for pc in lab.pcs if pc is not host]
    host.kill()
    _, took = one_host("another PC is host without avahi-daemon", others)
    check(took <= FAILOVER + MEASURING, "the change of host took %.2f s" % took)
    host.start()
    one_host("the old host comes back by the addresses it knows", lab.pcs)
    equal(lab.pcs)
    for pc in lab.pcs:
        pc.start_avahi()
    for pc in lab.pcs:
        pc.wait_for_avahi()


def all_moved(lab):
    """After a weekend every PC has another PC's old address."""
    begin = {pc.number: mark(pc) for pc in lab.pcs}
    addresses = [pc.address for pc in lab.pcs]
    for pc in lab.pcs:
        pc.stop()
    for pc, address in zip(lab.pcs, addresses[1:] + addresses[:1]):
        pc.move(address)
        # No node has asked for these addresses since.
        lab.ip("-n", pc.namespace, "neigh", "flush", "dev", "eth0")
    for pc in lab.pcs:
        pc.start()
    find_one_another(lab, lab.pcs, begin)
    one_host("all PCs have one host though every remembered address is another's", lab.pcs)
    stream(lab.pcs, "moved")


def link_local(lab):
    """A switch alone: no DHCP, no IPv4, no router."""
    begin = {pc.number: mark(pc) for pc in lab.pcs}
    for pc in lab.pcs:
        pc.stop()
        lab.ip("-n", pc.namespace, "addr", "del", pc.address + "/24", "dev", "eth0")
    for pc in lab.pcs:
        pc.start("--listen", "[::]:7450")
    find_one_another(lab, lab.pcs, begin)
    check("peer.address=[fe80::" in lab.pcs[0].log.read_text()[begin[1] :], "by addresses that name an interface")
    one_host("all PCs have one host without IPv4", lab.pcs)
    stream(lab.pcs, "link-local")
    for pc in lab.pcs:
        pc.stop()
        lab.ip("-n", pc.namespace, "addr", "add", pc.address + "/24", "dev", "eth0")
        pc.start()
    one_host("there is one host with IPv4 again", lab.pcs)


def end(lab):
    equal(lab.pcs)
    rows = {str(pc.sql("SELECT * FROM patients ORDER BY id")) for pc in lab.pcs}
    check(len(rows) == 1, "all files hold the same patients")


def copied_disk(lab):
    """This step is the last, because no list has the copy."""
    first, fourth = lab.pcs[0], lab.pcs[3]
    fourth.stop()
    first.execute("cp", "-a", first.data, lab.folder / "copy")
    original, fourth.data = fourth.data, lab.folder / "copy"
    begin = mark(fourth)
    try:
        fourth.start()
        wait(
            "a copied disk is noticed by its name",
            lambda: "Another PC on the LAN announces itself as this node" in fourth.log.read_text()[begin:],
        )
    finally:
        fourth.stop()
        fourth.data = original


# Steps that need only discovery come first.
STEPS = [
    avahi_restart, no_bus, link_down,
    all_connected, host_killed, host_stopped, host_paused, cable_pulled, partition, loss, slow, delay, nobody_announces, all_moved,
    link_local, end, copied_disk,
]  # fmt: skip


def scenario(lab, *names):
    unknown = set(names) - {step.__name__ for step in STEPS}
    if unknown:
        raise Failure("no such step: " + " ".join(sorted(unknown)))
    start = time.monotonic()
    for step in [begin] + [step for step in STEPS if not names or step.__name__ in names]:
        print("----  " + step.__name__, flush=True)
        step(lab)
    print("%.0f s" % (time.monotonic() - start))


if __name__ == "__main__":
    tools = ["avahi-daemon", "dbus-daemon", "nft", "tc", "nsenter", "unshare"]
    main(scenario, pcs=4, tools=tools, avahi=True)
