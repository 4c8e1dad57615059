#!/usr/bin/env python3
"""Tests the programs in docs/examples against a real node."""

import functools
import http.server
import json
import pathlib
import queue
import subprocess
import sys
import threading

import browser
from nodes import Clinic, main, wait

EXAMPLES = pathlib.Path(__file__).resolve().parent.parent.parent / "docs" / "examples"


class Lines:
    """Yields the lines that a program prints."""

    def __init__(self, *command):
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        self.lines = queue.Queue()
        threading.Thread(target=lambda: [self.lines.put(line.strip()) for line in self.process.stdout], daemon=True).start()

    def until(self, text):
        while True:
            line = self.lines.get(timeout=20)
            if text in line:
                return line

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()


def refresh(node, other, check):
    with Lines(sys.executable, str(EXAMPLES / "refresh.py"), str(node.data)) as program:
        check(program.until("patients;").startswith("0 patients"), "refresh.py reads the file")
        # The program subscribes a moment after the first reading: write until it notices.
        other.sql("INSERT INTO patients(id, fullName) VALUES('r0', 'Ana')")
        wait("it arrived", lambda: node.sql("SELECT 1 FROM patients"))
        for number in range(1, 200):
            other.sql("INSERT INTO patients(id, fullName) VALUES(?, 'Ben')", "r%d" % number)
            try:
                program.lines.get(timeout=0.2)
                break
            except queue.Empty:
                continue
        other.sql("INSERT INTO patients(id, fullName) VALUES('last', 'Zoe')")
        program.until("changed: patients last")
        check("Zoe" in program.until("patients;"), "refresh.py shows a change of another PC")
        node.stop()
        node.sql("INSERT INTO patients(id, fullName) VALUES('away', 'Zzz')")
        node.start()
        program.until("changed: patients away")
        check("Zzz" in program.until("patients;"), "refresh.py goes on after a restart and misses nothing")


def page(clinic, check):
    executable = browser.program()
    if executable is None:
        print("test_examples: page.html is skipped, there is no chromium in the search path")
        return
    node, other = clinic.nodes

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(EXAMPLES)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    origin = "http://127.0.0.1:%d" % server.server_port
    address = "%s/page.html#node=%s&token=%s" % (origin, node.url, node.token)
    try:
        with browser.Browser(executable) as tab:
            tab.open(address)
            tab.wait("it is refused", "document.getElementById('state').textContent.includes('does not answer')")
            check(tab.run("document.getElementById('patients').textContent") == "–", "a page of a foreign origin gets nothing")
            node.stop()
            (node.data / "node.json").write_text(json.dumps({"api.allowedOrigins": [origin]}))
            node.start()
            tab.wait("it is let in", "document.getElementById('state').textContent.includes('%s')" % node.name)
            check("token" not in tab.run("location.href"), "the token is out of the address bar")
            for number in range(200):
                other.sql("INSERT INTO patients(id, fullName) VALUES(?, 'Web')", "w%d" % number)
                if tab.run("new Promise(d => setTimeout(() => d(document.querySelectorAll('#changes li').length > 0), 200))"):
                    break
            count = other.sql("SELECT count(*) FROM patients")[0][0]
            tab.wait("page.html shows the change", "document.getElementById('patients').textContent === '%d'" % count)
            check(True, "page.html follows the node")
    finally:
        server.shutdown()


def run(program, check):
    with Clinic(program, ["front-desk", "doctor"]) as clinic:
        wait("all is settled", clinic.settled)
        refresh(clinic.nodes[0], clinic.nodes[1], check)
        page(clinic, check)


if __name__ == "__main__":
    main("test_examples", run)
