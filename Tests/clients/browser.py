"""A headless Chromium, driven by the DevTools protocol over its WebSocket."""

import base64
import json
import os
import pathlib
import shutil
import subprocess
import tempfile
import time

import requests
import websockets.sync.client

DEADLINE = 20


def program():
    """Returns the path of Chromium, or None."""
    for name in ["chromium", "chromium-browser", "google-chrome"]:
        found = shutil.which(name)
        # On Ubuntu `chromium-browser` without its snap is a script that only prints a message.
        if found and subprocess.run([found, "--version"], capture_output=True, timeout=60).returncode == 0:
            return found
    return None


class Browser:
    """One page. Records the messages of the developer's console."""

    def __init__(self, executable):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="clinic-browser-"))
        self.process = subprocess.Popen(
            [executable, "--headless=new", "--remote-debugging-port=0", "--user-data-dir=%s" % self.folder]
            + ["--disable-gpu", "--no-first-run", "--disable-extensions", "--disable-background-networking"]
            + ["--disable-dev-shm-usage", "--disable-component-update", "--hide-scrollbars", "--lang=en-GB"]
            + (["--no-sandbox"] if os.geteuid() == 0 else [])
            + ["about:blank"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={**os.environ, "LANG": "C.UTF-8", "TZ": "UTC"},
        )
        self.number = 0
        self.console = []
        self.handshakes = []
        self.socket = None

    def __enter__(self):
        port_file = self.folder / "DevToolsActivePort"
        end = time.monotonic() + 60
        while not (port_file.exists() and port_file.read_text().count("\n") >= 1):
            assert self.process.poll() is None and time.monotonic() < end, "the browser does not start"
            time.sleep(0.05)
        port = port_file.read_text().splitlines()[0]
        pages = requests.get("http://127.0.0.1:%s/json/list" % port, timeout=30).json()
        url = next(page["webSocketDebuggerUrl"] for page in pages if page["type"] == "page")
        self.socket = websockets.sync.client.connect(url, max_size=64 << 20, compression=None)
        for domain in ["Runtime", "Log", "Page", "Network"]:
            self.call(domain + ".enable")
        return self

    def __exit__(self, *_):
        if self.socket:
            self.socket.close()
        self.process.terminate()
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)

    def call(self, method, **parameters):
        self.number += 1
        self.socket.send(json.dumps({"id": self.number, "method": method, "params": parameters}))
        end = time.monotonic() + DEADLINE
        while True:
            message = json.loads(self.socket.recv(timeout=max(0.1, end - time.monotonic())))
            if message.get("id") == self.number:
                assert "error" not in message, "%s: %s" % (method, message.get("error"))
                return message["result"]
            self.note(message)

    def note(self, message):
        kind, content = message.get("method"), message.get("params", {})
        if kind == "Runtime.exceptionThrown":
            details = content["exceptionDetails"]
            self.console.append(("exception", details.get("exception", {}).get("description", details["text"]), ""))
        elif kind == "Runtime.consoleAPICalled" and content["type"] in ("error", "warning", "assert"):
            self.console.append(("console", " ".join(str(a.get("value", "")) for a in content["args"]), ""))
        elif kind == "Log.entryAdded" and content["entry"]["level"] in ("error", "warning"):
            entry = content["entry"]
            self.console.append((entry["source"], entry["text"], entry.get("url", "")))
        elif kind == "Network.webSocketHandshakeResponseReceived":
            self.handshakes.append(content["response"]["status"])

    def run(self, expression):
        """Returns the value of an expression in the page; waits for promises."""
        result = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        assert "exceptionDetails" not in result, "%s: %s" % (expression, result["exceptionDetails"])
        return result["result"].get("value")

    def wait(self, what, expression, deadline=DEADLINE):
        """Waits until an expression is true in the page, and returns the time this took."""
        started = time.monotonic()
        while not self.run(expression):
            assert time.monotonic() - started < deadline, "not within %g s: %s\n%s" % (
                deadline, what, self.run("document.body.innerText"))
            time.sleep(0.02)
        return time.monotonic() - started

    def open(self, url):
        self.call("Page.navigate", url=url)
        self.wait("the page is loaded", "document.readyState === 'complete'")

    def size(self, width, height, scale=1):
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=scale, mobile=width < 600)

    def key(self, name, code):
        for kind in ["rawKeyDown", "keyUp"]:
            self.call("Input.dispatchKeyEvent", type=kind, key=name, code=name, windowsVirtualKeyCode=code)

    def picture(self, path):
        data = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=False)["data"]
        pathlib.Path(path).write_bytes(base64.b64decode(data))
