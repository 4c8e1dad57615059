#!/usr/bin/env python3
"""Writes the manual pages of a clinic-node: one for the program, and one for each of its commands.

Usage: packaging/manual.py PROGRAM VERSION FOLDER

The text is what the commands say of themselves (--experimental-dump-help), so pages and program cannot differ.
"""

import json
import pathlib
import subprocess
import sys

SECTION = "1"


def roff(text):
    """Text as a line of roff: no word of it is a request or an escape."""
    lines = []
    for line in text.strip().splitlines():
        line = line.replace("\\", "\\e").replace("-", "\\-").rstrip()
        lines.append("\\&" + line if line[:1] in (".", "'") else line)
    return "\n".join(lines)


def shown(items):
    return [item for item in items or [] if item.get("shouldDisplay", True)]


def spelled(name):
    return ("-" if name["kind"] == "short" else "--") + name["name"]


def value(argument):
    return argument.get("valueName", "value").upper() if argument["kind"] == "positional" else argument.get("valueName", "value")


def usage(argument):
    """An argument in the synopsis."""
    if argument["kind"] == "positional":
        text = "\\fI%s\\fR" % roff(value(argument))
    else:
        text = "\\fB%s\\fR" % roff(spelled(argument["preferredName"]))
        if argument["kind"] == "option":
            text += " \\fI%s\\fR" % roff(value(argument))
    if argument.get("isRepeating"):
        text += " ..."
    return "[%s]" % text if argument.get("isOptional") else text


def explain(argument):
    """An argument with what it does."""
    if argument["kind"] == "positional":
        head = "\\fI%s\\fR" % roff(value(argument))
    else:
        head = ", ".join("\\fB%s\\fR" % roff(spelled(name)) for name in argument["names"])
        if argument["kind"] == "option":
            head += " \\fI%s\\fR" % roff(value(argument))
    text = argument.get("abstract", "")
    if argument.get("defaultValue") and argument["kind"] != "flag":
        text += " Default: %s." % argument["defaultValue"]
    return [".TP", head, roff(text) or "\\&"]


def arguments_of(command):
    return [entry for entry in shown(command.get("arguments")) if (entry.get("preferredName") or {}).get("name") != "help"]


def describe(command, path):
    """The sections of a command: what it does, its arguments, its own commands."""
    lines = []
    if command.get("discussion"):
        lines += [".PP", roff(command["discussion"])]
    arguments = arguments_of(command)
    for argument in arguments:
        lines += explain(argument)
    for inner in shown(command.get("subcommands")):
        if inner["commandName"] != "help":
            name = path + " " + inner["commandName"]
            lines += ['.SS "%s"' % roff(name), synopsis(inner, name), ".PP", roff(inner.get("abstract", ""))]
            lines += describe(inner, name)
    return lines


def synopsis(command, path):
    return " ".join(["\\fB%s\\fR" % roff(path)] + [usage(argument) for argument in arguments_of(command)])


def page(name, abstract, version, sections):
    lines = ['.TH "%s" %s "" "clinic\\-node %s" "ClinicSync"' % (roff(name).upper(), SECTION, roff(version))]
    lines += [".SH NAME", "%s \\- %s" % (roff(name), roff(abstract.rstrip(".")))]
    for title, content in sections:
        lines += ['.SH "%s"' % title] + content
    return "\n".join(lines) + "\n"


FILES = [
    ("/var/lib/clinic\\-node/clinic.db", "The database, which programs open. Accounts of the group clinic may write it."),
    ("/var/lib/clinic\\-node/identity", "The keys of this PC."),
    ("/var/lib/clinic\\-node/node.json", "The settings. clinic\\-node config check shows them."),
]


def pages(tool, version):
    """Name and text of each page."""
    top = tool["command"]
    commands = [command for command in shown(top["subcommands"]) if command["commandName"] != "help"]
    listed = []
    for command in commands:
        name = "clinic-node-" + command["commandName"]
        listed += [".TP", "\\fB%s\\fR(%s)" % (roff(name), SECTION), roff(command.get("abstract", ""))]
    files = [line for path, text in FILES for line in (".TP", "\\fI%s\\fR" % path, text)]
    sections = [
        ("SYNOPSIS", ["\\fBclinic\\-node\\fR \\fIcommand\\fR [\\fIoption\\fR ...]"]),
        ("DESCRIPTION", [roff(top.get("abstract", "")), ".PP", roff(top.get("discussion", ""))]),
        ("COMMANDS", listed),
        ("FILES", files),
    ]
    yield "clinic-node", page("clinic-node", top["abstract"], version, sections)
    for command in commands:
        path = "clinic-node " + command["commandName"]
        name = path.replace(" ", "-")
        sections = [
            ("SYNOPSIS", [synopsis(command, path)]),
            ("DESCRIPTION", [roff(command.get("abstract", ""))] + describe(command, path)),
            ("SEE ALSO", ["\\fBclinic\\-node\\fR(%s)" % SECTION]),
        ]
        yield name, page(name, command["abstract"], version, sections)


def main():
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    program, version, folder = sys.argv[1], sys.argv[2], pathlib.Path(sys.argv[3])
    dump = subprocess.run([program, "--experimental-dump-help"], check=True, capture_output=True, text=True).stdout
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in pages(json.loads(dump), version):
        (folder / ("%s.%s" % (name, SECTION))).write_text(text)


main()
