#!/usr/bin/env python3
"""A clinic's screen in a hundred lines: reads the SQLite file, refreshes after each change, logs in.

    python3 refresh.py DIRECTORY [--user NAME]

DIRECTORY is the directory of the node on this PC. With --user the program asks for the password, logs in, and exits when
the session ends. It needs only Python 3.9.
"""

import argparse
import getpass
import json
import pathlib
import socket
import sqlite3
import sys
import time
import urllib.error
import urllib.request


class Node:
    """The node of this PC, through its local API."""

    def __init__(self, directory):
        self.directory = pathlib.Path(directory)

    def open(self, path, body=None, timeout=30):
        # Read the file each time: after a restart the port may be different.
        place = json.loads((self.directory / "run" / "api.json").read_text())
        token = (self.directory / "api.token").read_text().strip()
        request = urllib.request.Request(
            "http://%s:%d%s" % (place["host"], place["port"], path),
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": "Bearer " + token, "Content-Type": "application/json"},
        )
        return urllib.request.urlopen(request, timeout=timeout)

    def events(self, since):
        """Yields events of patients and of users after a position, until the node stops."""
        path = "/v1/events?category=patient&category=user" + ("" if since is None else "&since=%d" % since)
        # Wait without a limit: an idle clinic sends no event for hours.
        with self.open(path, timeout=None) as stream:
            for line in stream:
                yield json.loads(line)


def login(node, user):
    """Returns the id of a new session. Asks what to do if the user is logged in on another PC."""
    password = getpass.getpass("Password of %s: " % user) if sys.stdin.isatty() else sys.stdin.readline().rstrip("\n")
    body = {"username": user, "password": password, "deviceName": socket.gethostname(), "force": False}
    while True:
        try:
            with node.open("/v1/sessions", body) as answer:
                return json.load(answer)["session"]["id"]
        except urllib.error.HTTPError as error:
            problem = json.load(error)
            if error.code != 409 or body["force"] or not sys.stdin.isatty():
                sys.exit(problem.get("message", "The login was refused."))
            for session in problem.get("sessions", []):
                print("%s is logged in on %s." % (user, session.get("deviceName", "another PC")))
            if input("End that session? [y/N] ").lower() != "y":
                sys.exit(2)
            body["force"] = True


def show(node):
    """Reads the tables like any SQLite program."""
    database = sqlite3.connect((node.directory / "clinic.db").resolve().as_uri() + "?mode=ro", uri=True, timeout=5)
    try:
        count, newest = database.execute("SELECT count(*), max(fullName) FROM patients").fetchone()
    finally:
        database.close()
    print("%d patients; the last by name is %s" % (count, newest), flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("directory")
    parser.add_argument("--user")
    arguments = parser.parse_args()
    node = Node(arguments.directory)
    session = login(node, arguments.user) if arguments.user else None
    position = None
    show(node)
    while True:
        try:
            for event in node.events(position):
                position = event["position"]
                if event["type"] == "session_ended" and event.get("recordId") == session:
                    sys.exit("Logged out: %s" % event.get("reason", "the session was ended"))
                # resync_required: events are missing, so read everything again. show() always reads everything.
                if event.get("category") == "patient" or event["type"] == "resync_required":
                    print("changed: %s %s" % (event.get("table", "everything"), event.get("recordId", "")), flush=True)
                    show(node)
        except (OSError, ValueError):
            pass  # The node restarts. Programs can read and write the file meanwhile.
        time.sleep(1)


if __name__ == "__main__":
    try:
        main()
    except KeyboardInterrupt:
        pass
