#!/usr/bin/env python3
"""Tests events over the WebSocket with a Python program: live, filtered, resumed after a kill of the node."""

import json
import threading
import time

from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from nodes import Clinic, main, wait

ROWS = 300


def opened(node, header=True, **options):
    if header:
        options["additional_headers"] = node.headers
    return connect("ws://%s/ws" % node.api, **options)


def say(ws, **message):
    ws.send(json.dumps(message))


def hear(ws, timeout=20):
    return json.loads(ws.recv(timeout=timeout))


def ended(ws):
    """Returns the code with which the node closes the socket before it sends a message."""
    try:
        return "sent " + ws.recv(timeout=20)
    except ConnectionClosed as closed:
        return closed.rcvd.code


def entering(node, check):
    """Tests the ways to send the token, and the close code without a token."""
    with opened(node) as ws:
        say(ws, type="ping")
        check(hear(ws) == {"type": "pong"}, "a ping is answered")
    with opened(node, header=False, subprotocols=["clinicsync.v1", "clinicsync.token." + node.token.strip()]) as ws:
        check(ws.subprotocol == "clinicsync.v1", "the subprotocol is the node's, never the one with the token")
        say(ws, type="ping")
        check(hear(ws) == {"type": "pong"}, "the token may come as a subprotocol")
    with opened(node, header=False) as ws:
        say(ws, type="auth", token=node.token.strip())
        say(ws, type="ping")
        check(hear(ws) == {"type": "pong"}, "the token may come as the first message")
    with opened(node, header=False) as ws:
        say(ws, type="auth", token="wrong")
        check(ended(ws) == 4401, "a wrong token closes the socket")
    with opened(node, header=False) as ws:
        started = time.monotonic()
        check(ended(ws) == 4401, "no token closes the socket")
        check(4 < time.monotonic() - started < 10, "after five seconds")
    try:
        opened(node, origin="http://evil.example")
        check(False, "a page of another origin is refused")
    except InvalidStatus as refused:
        check(refused.response.status_code == 403, "a page of another origin is refused")


def filtering(host, other, check):
    """Changes of another PC arrive, filtered as requested."""
    with opened(host) as billing, opened(host) as tables, opened(host) as user:
        say(billing, type="subscribe", categories=["billing"])
        say(tables, type="subscribe", tables=["patients"])
        say(user, type="subscribe", users=["u1"])
        start = hear(billing)["position"]
        for ws in (tables, user):
            check(hear(ws)["type"] == "subscribed", "subscribe is answered")
        other.sql("INSERT INTO users(id, username) VALUES('u1', 'ana'), ('u2', 'eva')")
        other.sql("INSERT INTO patients(id, fullName) VALUES('f1', 'Ana')")
        other.sql(
            "INSERT INTO payments(id, billId, patientId, patientName, referenceNumber, paymentDate, amountPaid, paymentMethod,"
            " receivedByUserId) VALUES('y1', 'b1', 'f1', 'Ana', 'r1', '2026-11-21', 100, 'cash', 'u1')"
        )
        event = hear(billing)
        check(event["position"] > start, "positions ascend")
        expected = {
            "type": "billing_change_immediate",
            "category": "billing",
            "table": "payments",
            "operation": "insert",
            "recordId": "y1",
            "source": "remote",
            "origin": other.status()["node"]["id"],
        }
        check({key: event.get(key) for key in expected} == expected, "a payment made elsewhere: %s" % event)
        check("amountPaid" in event["columns"], "the columns are named")
        check(event["transaction"].startswith(event["origin"] + ":"), "the transaction is named")
        event = hear(tables)
        check((event["table"], event["recordId"]) == ("patients", "f1"), "one table's changes: %s" % event)
        event = hear(user)
        check((event["table"], event["userId"]) == ("users", "u1"), "one user's events: %s" % event)
        say(user, type="unsubscribe")
        check(hear(user) == {"type": "unsubscribed"}, "nothing else came for the user")


class Follower(threading.Thread):
    """A program that keeps its last position and connects again whenever the node runs."""

    def __init__(self, node, last):
        super().__init__(daemon=True)
        self.node = node
        self.events = []
        self.first = None
        self.position = None
        self.last = last
        self.connections = 0
        self.is_subscribed = threading.Event()

    def run(self):
        while True:
            try:
                with opened(self.node) as ws:
                    request = {"type": "subscribe"}
                    if self.position is not None:
                        request["since"] = self.position
                    ws.send(json.dumps(request))
                    answer = hear(ws)
                    if self.position is None:
                        self.first = self.position = answer["position"]
                    self.connections += 1
                    self.is_subscribed.set()
                    while True:
                        event = hear(ws, timeout=60)
                        self.events.append(event)
                        self.position = event["position"]
                        if event.get("recordId") == self.last:
                            return
            except (OSError, ConnectionClosed, EOFError, InvalidStatus, TimeoutError):
                time.sleep(0.02)


def resuming(host, other, check):
    """The test kills the node repeatedly while programs write. The program misses no event and gets none twice."""
    follower = Follower(other, "k%d" % (ROWS - 1))
    follower.start()
    check(follower.is_subscribed.wait(20), "the program is subscribed")
    first = follower.first
    for row in range(ROWS):
        (host if row % 2 else other).sql("INSERT INTO patients(id, fullName) VALUES(?, 'Ana')", "k%d" % row)
        if row % 60 == 30:
            other.end()
            other.start()
    # The last row is made on the host. When its event comes, all other events have come.
    follower.join(timeout=60)
    check(not follower.is_alive(), "the last row is told")
    wait("all have the same", lambda: host.sql("SELECT count(*) FROM patients") == other.sql("SELECT count(*) FROM patients"))
    check(follower.connections >= 3, "the program came back: %d" % follower.connections)
    positions = [event["position"] for event in follower.events]
    check(positions == list(range(first + 1, first + 1 + len(positions))), "positions without gap or duplicate")
    check(not [event for event in follower.events if event["type"] == "resync_required"], "nothing was missed for good")
    records = [event["recordId"] for event in follower.events if event.get("table") == "patients"]
    check(len(records) == len(set(records)), "each row once")
    # Events of the other PC's rows may come after the last row's event.
    missing = {"k%d" % row for row in range(ROWS)} - set(records)
    with opened(other) as ws:
        say(ws, type="subscribe", since=follower.position, tables=["patients"])
        hear(ws)
        while missing:
            missing.remove(hear(ws)["recordId"])
    check(not missing, "every row was told")
    with opened(other) as ws:
        say(ws, type="subscribe", since=2**53 - 1)
        hear(ws)
        check(hear(ws)["type"] == "resync_required", "a position from nowhere needs a new look at everything")


def stopping(node, check):
    with opened(node) as ws:
        say(ws, type="subscribe")
        hear(ws)
        node.stop()
        try:
            while True:
                hear(ws)
        except ConnectionClosed as closed:
            check(closed.rcvd is not None and closed.rcvd.code == 1001, "a node that stops says so")


def run(program, check):
    with Clinic(program, ["front", "lab"]) as clinic:
        host, other = clinic.nodes
        entering(host, check)
        filtering(host, other, check)
        resuming(host, other, check)
        stopping(other, check)


if __name__ == "__main__":
    main("test_events", run)
