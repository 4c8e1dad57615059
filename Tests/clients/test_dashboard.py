#!/usr/bin/env python3
"""The dashboard in a real browser: live changes, conflicts, a restart of the node, phones, keyboards.

With CLINICSYNC_SCREENSHOT=FILE it takes a picture of the page, filled with made-up data. Skipped without Chromium.
"""

import os
import sys
import time

import requests

import browser
from nodes import Clinic, main, wait


def opens(page, node, check):
    link = node.command("dashboard", "--print").strip()
    page.open(link)
    page.wait("the verdict is shown", "/equal with 1 of 1 PC/i.test(document.getElementById('verdict').textContent)")
    check(page.run("document.getElementById('verdict').className") == "good", "the verdict has its colour")
    page.wait("both PCs are listed", "document.querySelectorAll('#nodes tr').length === 2")
    check(page.run("location.pathname") == "/", "the link leads to the page, and is not in the address any more")
    check(page.run("document.cookie") == "", "scripts cannot read the cookie")
    check(requests.get(link, timeout=30).status_code == 401, "the link works once")
    check("This PC is host" in page.run("document.getElementById('summary').textContent"), "it says who is host")
    check(page.run("document.querySelectorAll('#tables tr').length") == 13, "it lists the thirteen tables")
    page.wait("events are live", "document.getElementById('live').textContent === 'connected'")
    check(page.handshakes == [101], "they come over the WebSocket, by the cookie")


def shows_changes(page, node, other, check):
    for name, writer in [("here", node), ("there", other)]:
        record = "live-" + name
        writer.sql("INSERT INTO patients(id, fullName) VALUES(?, 'Live')", record)
        took = page.wait("the change is shown", "[...document.querySelectorAll('#events li')].some(e => e.textContent.includes('%s'))" % record, deadline=2)
        check(took < 2, "a commit %s is shown within 2 s" % name)
    count = node.sql("SELECT count(*) FROM patients")[0][0]
    rows = "document.querySelector('#tables tr[data-table=patients] td').textContent === '%d'" % count
    page.wait("the rows are counted", rows, deadline=3)


def compares(page, check):
    page.run("document.getElementById('sync').click()")
    check(page.run("document.getElementById('sync').disabled"), "the button rests while it works")
    page.wait("all is compared", "/equal/i.test(document.getElementById('sync-message').textContent) && !document.getElementById('sync').disabled")
    marks = page.run("[...document.querySelectorAll('#tables tr')].filter(r => r.lastChild.textContent.startsWith('equal')).length")
    check(marks == 13, "every table is marked equal")


def resolves(page, clinic, check):
    node, other = clinic.nodes
    markup = "<img src=x onerror=\"document.title='owned'\"> & \"Earlier\""
    clinic.conflict(winner=node, loser=other, other=markup)
    page.wait("the conflict is shown", "document.querySelectorAll('#conflicts article').length === 1")
    text = page.run("document.querySelector('#conflicts article').textContent")
    check("Later" in text and markup in text, "both values are shown, markup as the text that it is")
    check(page.run("document.querySelectorAll('#conflicts img').length") == 0, "nothing in a value becomes part of the page")
    names = page.run("[...document.querySelectorAll('#conflicts button')].map(b => b.textContent)")
    check(names == ["Keep this", "Use this instead"], "there are two buttons")
    page.run("document.querySelector('#conflicts button[data-keep=other]').click()")
    page.wait("the conflict is gone", "document.querySelectorAll('#conflicts article').length === 0")
    wait("the other value is on both PCs", lambda: all(n.sql("SELECT fullName FROM patients WHERE id = 'p1'") == [(markup,)] for n in clinic.nodes))
    check(page.run("document.title") != "owned", "no script of a value ran")
    # A program changes the row before the click: the page must not overwrite a value that the person has not seen.
    clinic.conflict(winner=node, loser=other, column="address", current="Here", other="There")
    page.wait("the next is shown", "document.querySelectorAll('#conflicts article').length === 1")
    node.sql("UPDATE patients SET address = 'Elsewhere' WHERE id = 'p1'")
    page.run("document.querySelector('#conflicts button[data-keep=other]').click()")
    page.wait("it is said", "document.getElementById('conflicts-message').textContent.includes('changed since')")
    check(node.sql("SELECT address FROM patients WHERE id = 'p1'") == [("Elsewhere",)], "what nobody saw is not overwritten")
    page.wait("it is shown anew", "document.querySelector('#conflicts article').textContent.includes('Elsewhere')")
    page.run("document.querySelector('#conflicts button[data-keep=current]').click()")
    page.wait("no conflict is left", "document.querySelectorAll('#conflicts article').length === 0")


def ends_sessions(page, clinic, check):
    node, other = clinic.nodes
    node.command("users", "add", "maria", "--role", "doctor", text="correct horse battery\n")
    wait("the user is everywhere", lambda: other.sql("SELECT 1 FROM users WHERE username = 'maria'"))
    login = {"username": "maria", "password": "correct horse battery", "deviceName": "Room 2"}
    wait("maria is logged in", lambda: other.post("/v1/sessions", json=login).status_code == 201)
    page.wait("the session is listed", "document.querySelector('#sessions tr')?.textContent.includes('Room 2')")
    page.run("document.querySelector('#sessions button').click()")
    page.wait("the session is gone", "document.querySelectorAll('#sessions tr').length === 0")
    wait("it has ended on its PC", lambda: other.get("/v1/sessions").json()["sessions"] == [])
    check(page.run("document.getElementById('sessions-message').textContent") == "The session of maria is ended.", "it says so")


def survives(page, node, check):
    node.stop()
    page.wait("it says that the node is away", "!document.getElementById('banner').hidden && document.getElementById('banner').textContent.includes('does not answer')")
    node.sql("INSERT INTO patients(id, fullName) VALUES('while-away', 'Away')")
    node.start()
    page.wait("it is back by itself", "document.getElementById('banner').hidden && document.getElementById('live').textContent === 'connected'")
    page.wait("what was written meanwhile is shown", "[...document.querySelectorAll('#events li')].some(e => e.textContent.includes('while-away'))")
    node.sql("INSERT INTO patients(id, fullName) VALUES('after-restart', 'Back')")
    page.wait("changes are live again", "[...document.querySelectorAll('#events li')].some(e => e.textContent.includes('after-restart'))")
    check(page.run("document.querySelectorAll('#nodes tr').length") == 2, "the same page goes on")


def fits(page, check):
    for width in [360, 768, 1280]:
        page.size(width, 740)
        check(page.run("document.documentElement.scrollWidth <= innerWidth"), "nothing sticks out at %d px" % width)
    page.size(360, 740)
    small = "[...document.querySelectorAll('button')].filter(b => b.offsetParent && b.getBoundingClientRect().height < 36).length"
    check(page.run(small) == 0, "buttons are large enough for fingers")
    colour = "getComputedStyle(document.body).backgroundColor"
    colours = []
    for scheme in ["light", "dark"]:
        page.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
        colours.append(page.run(colour))
        page.wait("new events have faded", "document.getAnimations().length === 0")
        check(page.run(CONTRAST) >= 4.5, "text can be read in %s mode" % scheme)
    check(colours[0] != colours[1], "dark mode is dark")
    page.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "light"}])
    page.size(1280, 900)


# The smallest contrast between texts and their background. Source: WCAG 2.2, success criterion 1.4.3.
CONTRAST = """(() => {
  const parse = text => text.match(/[\\d.]+/g).map(Number);
  const light = rgb => {
    const [r, g, b] = rgb.slice(0, 3).map(v => v / 255).map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const back = e => { for (; e; e = e.parentElement) { const c = parse(getComputedStyle(e).backgroundColor); if (c.length < 4 || c[3] > 0.99) return c; } return [255, 255, 255]; };
  const texts = [...document.querySelectorAll('h1, h2, p, th, td, caption, button, li time')].filter(e => e.offsetParent && e.textContent.trim() && !e.disabled);
  return Math.min(...texts.map(e => { const [a, b] = [light(parse(getComputedStyle(e).color)), light(back(e))]; return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05); }));
})()"""


def is_usable(page, node, check):
    """Checks the needs of keyboards and screen readers, on a page that was loaded again with only the cookie."""
    page.open(node.url + "/")
    page.wait("both PCs are listed", "document.querySelectorAll('#nodes tr').length === 2")
    check(page.run("document.documentElement.lang") == "en", "the language is named")
    for landmark in ["header", "main", "footer", "h1", "[role=alert]", "[role=log]", "[role=status]"]:
        check(page.run("document.querySelector('%s') !== null" % landmark), "there is %s" % landmark)
    check(page.run("[...document.querySelectorAll('table')].every(t => t.caption && t.caption.textContent)"), "tables have captions")
    check(page.run("[...document.querySelectorAll('th')].every(t => t.scope)"), "headings of tables say what they head")
    check(page.run("[...document.querySelectorAll('section')].every(s => document.getElementById(s.getAttribute('aria-labelledby')))"), "sections are named")
    seen = []
    for _ in range(12):
        page.key("Tab", 9)
        seen.append(page.run("document.activeElement.id || document.activeElement.className"))
        if seen[-1] == "sync":
            check(page.run("getComputedStyle(document.activeElement).outlineStyle") == "solid", "the focus is seen")
            break
    check(seen[0] == "skip" and seen[-1] == "sync", "the keyboard reaches everything: %s" % seen)


NO_SOCKET = """window.WebSocket = class extends EventTarget {
  constructor() { super(); setTimeout(() => this.dispatchEvent(new Event('close')), 10); }
  send() {}
  close() {}
};"""


def falls_back(page, node, check):
    """Where a proxy blocks WebSockets, the page uses the stream of lines."""
    script = page.call("Page.addScriptToEvaluateOnNewDocument", source=NO_SOCKET)["identifier"]
    count = len(page.handshakes)
    page.open(node.url + "/")
    page.wait("events are live", "document.getElementById('live').textContent === 'connected'")
    node.sql("INSERT INTO patients(id, fullName) VALUES('by-stream', 'Stream')")
    page.wait("the change is shown", "[...document.querySelectorAll('#events li')].some(e => e.textContent.includes('by-stream'))", deadline=2)
    check(len(page.handshakes) == count, "there was no WebSocket")
    page.call("Page.removeScriptToEvaluateOnNewDocument", identifier=script)
    page.open(node.url + "/")
    page.wait("events are live", "document.getElementById('live').textContent === 'connected'")


def is_quiet(page, check):
    bad = [
        (source, text, url)
        for source, text, url in page.console
        # Requests that fail while the node is stopped.
        if not (source == "network" and "ERR_" in text)
        # A refusal that the page shows to the person.
        and not (source == "network" and "409" in text)
        and "WebSocket connection to" not in text
    ]
    check(not bad, "the console is quiet: %s" % bad)
    check(not any("Content Security Policy" in text for _, text, _ in page.console), "the policy was kept")


def picture(page, clinic, path):
    """Fills the page for the screenshot."""
    node, other = clinic.nodes
    node.command("seed", "--patients", "120", "--force")
    wait("all is settled", clinic.settled)
    clinic.conflict(winner=node, loser=other, column="contactNumber", current="0917 555 0142", other="0917 555 0124", record="p7")
    page.size(1060, 800)
    page.run("document.getElementById('events').replaceChildren()")
    for number, name in enumerate(["Ana Cruz", "Ben Reyes", "Carla Santos"]):
        (node if number % 2 else other).sql("INSERT INTO patients(fullName) VALUES(?)", name)
    page.run("document.getElementById('sync').click()")
    page.wait("all is compared", "/equal/i.test(document.getElementById('sync-message').textContent)")
    page.wait("the conflict is shown", "document.querySelectorAll('#conflicts article').length === 1")
    page.wait("there is something to plot", "fetch('/v1/latency').then(r => r.json()).then(l => l.samples.length >= 9)", deadline=120)
    page.run("refreshLatency()")
    page.run("scrollTo(0, 0)")
    time.sleep(1.6)  # the marks of new events fade
    page.picture(path)
    size = os.path.getsize(path)
    assert size <= 150_000, "the picture has %d bytes" % size


def run(program, check):
    executable = browser.program()
    if executable is None:
        print("test_dashboard: skipped, there is no chromium in the search path")
        sys.exit(0)
    with Clinic(program, ["front-desk", "doctor"]) as clinic, browser.Browser(executable) as page:
        node, other = clinic.nodes
        page.size(1280, 900)
        opens(page, node, check)
        shows_changes(page, node, other, check)
        compares(page, check)
        resolves(page, clinic, check)
        ends_sessions(page, clinic, check)
        survives(page, node, check)
        fits(page, check)
        is_usable(page, node, check)
        falls_back(page, node, check)
        is_quiet(page, check)
        if os.environ.get("CLINICSYNC_SCREENSHOT"):
            picture(page, clinic, os.environ["CLINICSYNC_SCREENSHOT"])


if __name__ == "__main__":
    main("test_dashboard", run)
