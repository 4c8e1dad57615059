#!/usr/bin/env python3
"""Four nodes on loopback, programs that write all the time, and a fault every ten seconds.

    Tests/faults/faults.py PROGRAM [--seconds 3600] [--seed N] [--every 10] [--rate 4] [--keep]

PROGRAM is a built clinic-node. The seed decides which faults come, when, where, and for how long; it is printed. At the end all
faults are healed. Then the files of all nodes must have the same rows, and every row that SQLite had committed must be there,
with its last value. The exit status is 0 when they do. Needs Python 3.9 and nothing else. Where the account may mount a
file system in a namespace of its own, the last PC has a small disk, which fills up as one of the faults.
"""

import argparse
import collections
import contextlib
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time

HEALING = 240
SMALL_DISK = 768 << 20
NAMES = ["Reception", "Doctor", "Cashier", "Lab"]
# Faults, each with its weight. `copies` are those that need a backup or a copy of earlier.
FAULTS = {"kill": 5, "stop": 2, "pause": 4, "lock": 2, "triggers": 3, "disk": 3, "restore": 3, "put back": 3, "old log": 1, "lost file": 1, "join": 3}


class Failure(Exception):
    """A check that failed."""


def wait(condition, seconds):
    """Waits until `condition` holds; returns whether it did."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.05)
    return True


def free_port():
    with contextlib.closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Node:
    """A PC: a node that is started again when it ends, and a program that writes its file."""

    def __init__(self, clinic, name, folder):
        self.clinic, self.name, self.data = clinic, name, folder / name
        self.log = clinic.folder / (name + ".log")
        self.listen = "127.0.0.1:%d" % free_port()
        self.process = None
        # Held by whoever stops or starts the node.
        self.owner = threading.Lock()
        # Held by the program while it has the file open: files are replaced when no program uses them.
        self.file = threading.Lock()
        self.has_small_disk = False
        self.ends = collections.Counter()

    @property
    def database(self):
        return self.data / "clinic.db"

    def command(self, *arguments, timeout=120):
        """Runs a command of the program; returns its exit status and what it prints."""
        command = [self.clinic.program, *arguments, "--data", str(self.data)]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=timeout)
        return done.returncode, done.stdout.strip() or done.stderr.strip()

    def must(self, *arguments):
        status, text = self.command(*arguments)
        if status != 0:
            raise Failure("%s: %s ends with %d: %s" % (self.name, arguments[0], status, text))
        return text

    def configure(self):
        (self.data / "node.json").write_text(json.dumps({"log": {"retention": "1m"}}))

    def start(self, seconds=60):
        """Starts the node; returns whether it got ready."""
        peers = [word for node in self.clinic.nodes if node is not self for word in ("--peer", node.listen)]
        with open(self.log, "ab") as log:
            mark = log.tell()
            self.process = subprocess.Popen(
                [self.clinic.program, "run", "--data", str(self.data), "--listen", self.listen, "--api", "127.0.0.1:0"]
                + ["--discovery", "off", *peers],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=log,
            )

        def is_ready():
            with open(self.log, "rb") as log:
                log.seek(mark)
                return b"\nready\n" in b"\n" + log.read() or self.process.poll() is not None

        wait(is_ready, seconds)
        return self.is_running

    @property
    def is_running(self):
        return self.process is not None and self.process.poll() is None

    def end(self, number):
        """Ends the process with a signal."""
        if not self.is_running:
            return
        self.process.send_signal(number)
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.clinic.problem("%s did not end within a minute of signal %d" % (self.name, number))
            self.process.kill()
            self.process.wait()

    def look_after(self):
        """Starts the node again when it has ended by itself, as a service manager does."""
        while not self.clinic.is_over.wait(1):
            if self.process is None or self.is_running or not self.owner.acquire(blocking=False):
                continue
            try:
                if self.process is not None and not self.is_running:
                    self.ends[self.process.returncode] += 1
                    self.start()
            finally:
                self.owner.release()

    def connect(self):
        # A file that is missing is not made: an empty one would be a program's.
        database = sqlite3.connect("file:%s?mode=rw" % self.database, uri=True, timeout=5, isolation_level=None)
        return contextlib.closing(database)

    def has(self, key):
        try:
            with self.connect() as database:
                return database.execute("SELECT 1 FROM patients WHERE id = ?", (key,)).fetchone() is not None
        except sqlite3.Error:
            return False

    def content(self):
        """The rows of all replicated tables of the clinic, with the class of each value."""
        with self.connect() as database:
            database.execute("BEGIN")
            names = database.execute("SELECT name FROM clinicsync_table WHERE substr(name, 1, 11) <> 'clinicsync_'")
            tables = {}
            for (name,) in names.fetchall():
                cursor = database.execute('SELECT * FROM "%s"' % name)
                columns = [column[0] for column in cursor.description]
                tables[name] = sorted(repr(sorted(zip(columns, row))) for row in cursor)
            return tables


class Program:
    """A program of the clinic on one PC. It remembers what SQLite has committed for it."""

    def __init__(self, node, seed):
        self.node, self.random, self.number = node, random.Random(seed), 0
        self.patients, self.deleted, self.bills = {}, set(), {}
        # Writes of which nobody knows whether they were committed.
        self.doubtful = set()
        self.maybe = collections.defaultdict(set)
        self.counted = self.perhaps_counted = 0
        self.refused = collections.Counter()

    def run(self):
        while not self.node.clinic.is_closing.wait(self.random.expovariate(self.node.clinic.rate)):
            with self.node.file:
                if self.node.process is not None:
                    self.write()

    def value(self):
        return "%s %d %016x" % (self.node.name, self.number, self.random.getrandbits(64))

    def key(self):
        self.number += 1
        return "%s-%d" % (self.node.name, self.number)

    def transaction(self, *statements):
        """Commits the statements; returns whether they are committed, or `None` when nobody knows."""
        try:
            with self.node.connect() as database:
                database.execute("BEGIN IMMEDIATE")
                try:
                    for statement, values in statements:
                        database.execute(statement, values)
                except sqlite3.Error:
                    with contextlib.suppress(sqlite3.Error):
                        database.execute("ROLLBACK")
                    raise
                try:
                    database.execute("COMMIT")
                except sqlite3.Error as error:
                    self.refused["at the commit: %s" % error] += 1
                    return None
                return True
        except sqlite3.Error as error:
            self.refused[str(error)] += 1
            return False

    def insert(self):
        key, value = self.key(), self.value()
        statement = "INSERT INTO patients(id, fullName, address) VALUES(?, ?, ?)"
        done = self.transaction((statement, (key, value, value)))
        if done:
            self.patients[key] = value
        elif done is None:
            self.doubtful.add(key)
        return key if done else None

    def write(self):
        kind = self.random.random()
        own = [key for key in list(self.patients)[-400:] if key not in self.doubtful]
        if kind < 0.45 or not own:
            self.insert()
        elif kind < 0.65:
            key, value = self.random.choice(own), self.value()
            done = self.transaction(("UPDATE patients SET address = ? WHERE id = ?", (value, key)))
            if done:
                self.patients[key] = value
                self.maybe.pop(key, None)
            elif done is None:
                self.maybe[key].add(value)
        elif kind < 0.72:
            key = self.random.choice(own)
            if key not in self.bills:
                done = self.transaction(("DELETE FROM patients WHERE id = ?", (key,)))
                if done:
                    del self.patients[key]
                    self.deleted.add(key)
                elif done is None:
                    self.doubtful.add(key)
        elif kind < 0.84:
            self.bill(self.random.choice(own))
        elif kind < 0.92:
            # All PCs write these rows: who wins is not said, only that it is the same everywhere.
            shared = "shared-%d" % self.random.randrange(5)
            statement = "INSERT INTO patients(id, contactNumber) VALUES(?1, ?2) ON CONFLICT DO UPDATE SET contactNumber = ?2"
            self.transaction((statement, (shared, self.value())))
        else:
            statement = "UPDATE clinic_services SET selectionCount = selectionCount + 1 WHERE id = ?"
            done = self.transaction((statement, (self.node.clinic.service,)))
            self.counted += done is True
            self.perhaps_counted += done is None

    def bill(self, patient):
        bill = self.key()
        done = self.transaction(
            (
                "INSERT INTO patient_bills(id, patientId, invoiceNumber, billDate, totalAmount, status) VALUES(?, ?, ?, '2026-11-28', 150, 'paid')",
                (bill, patient, bill),
            ),
            ("INSERT INTO bill_items(id, billId, description, unitPrice, itemTotal) VALUES(?, ?, 'Visit', 100, 100)", (bill + "-1", bill)),
            ("INSERT INTO bill_items(id, billId, description, unitPrice, itemTotal) VALUES(?, ?, 'Test', 50, 50)", (bill + "-2", bill)),
            (
                "INSERT INTO payments(id, billId, patientId, patientName, referenceNumber, paymentDate, amountPaid, paymentMethod, receivedByUserId)"
                " VALUES(?, ?, ?, 'x', ?, '2026-11-28', 150, 'cash', ?)",
                (bill, bill, patient, bill, self.node.clinic.user),
            ),
        )
        if done is not False:
            self.bills.setdefault(patient, []).append(bill if done else None)

    def drop_triggers(self):
        """Drops the node's triggers on a table, and writes rows before the node can put them back."""
        key, value = self.key(), self.value()
        try:
            with self.node.connect() as database:
                database.execute("BEGIN IMMEDIATE")
                names = database.execute(
                    "SELECT name FROM sqlite_schema WHERE type = 'trigger' AND tbl_name = 'patients' AND name LIKE 'clinicsync_%'"
                ).fetchall()
                for (name,) in names:
                    database.execute('DROP TRIGGER "%s"' % name)
                database.execute("INSERT INTO patients(id, fullName, address) VALUES(?, ?, ?)", (key, value, value))
                database.execute("COMMIT")
            self.patients[key] = value
        except sqlite3.Error as error:
            self.refused[str(error)] += 1
            return
        for _ in range(3):
            self.insert()

    def lost(self, rows, bills):
        """What is committed and missing in the rows of a file, in words."""
        for key, value in self.patients.items():
            if key in self.doubtful:
                continue
            if key not in rows:
                yield "the row %s is missing" % key
            elif rows[key] != value and rows[key] not in self.maybe[key]:
                yield "the row %s has %r and not %r" % (key, rows[key], value)
        for key in self.deleted:
            if key in rows:
                yield "the deleted row %s is back" % key
        for key in (bill for each in self.bills.values() for bill in each if bill):
            if bills.get(key) != (2, 1):
                yield "the bill %s has %s items and payments" % (key, bills.get(key))


class Clinic:
    """The PCs, what happens to them, and what is said about it."""

    def __init__(self, options, folder, small_disk):
        self.program, self.rate, self.seed = os.path.abspath(options.program), options.rate, options.seed
        self.seconds, self.every, self.folder, self.small_disk = options.seconds, options.every, folder, small_disk
        self.is_closing, self.is_over = threading.Event(), threading.Event()
        # Held by faults that lose a part of a PC: two at a time could lose what only two PCs have.
        self.loss = threading.Lock()
        self.problems, self.counts, self.backups, self.copies = [], collections.Counter(), [], {}
        self.nodes, self.programs, self.guests, self.guest = [], [], 0, None
        self.began = time.monotonic()

    def say(self, text):
        print("%5d s  %s" % (time.monotonic() - self.began, text), flush=True)

    def problem(self, text):
        self.problems.append(text)
        self.say("PROBLEM " + text)

    # The clinic

    def begin(self):
        for name in NAMES:
            node = Node(self, name, self.small_disk if self.small_disk and name == NAMES[-1] else self.folder)
            node.has_small_disk = node.data.parent == self.small_disk
            self.nodes.append(node)
        first = self.nodes[0]
        first.must("init", "--clinic", "Clinic of faults", "--name", first.name)
        first.configure()
        if not first.start():
            raise Failure("the first node does not start: %s" % first.log.read_text()[-2000:])
        with first.connect() as database:
            self.user = database.execute("SELECT id FROM users").fetchone()[0]
            self.service = database.execute("SELECT id FROM clinic_services ORDER BY id").fetchone()[0]
        for node in self.nodes[1:]:
            self.join(node, first)
            first.must("nodes", "grant", node.name)
        for number, node in enumerate(self.nodes):
            self.work(node, number)

    def join(self, node, inviter):
        code = inviter.must("invite")
        node.must("join", code, "--host", inviter.listen, "--name", node.name)
        node.configure()
        if not node.start():
            raise Failure("%s does not start: %s" % (node.name, node.log.read_text()[-2000:]))

    def work(self, node, number):
        """A program writes the file of a node, and somebody looks after the node."""
        program = Program(node, self.seed * 1000 + number)
        self.programs.append(program)
        for target in (program.run, node.look_after):
            threading.Thread(target=target, daemon=True).start()

    def keep_copies(self, node, by_command):
        """Keeps a backup of a node for later, or a copy of its file."""
        number = self.counts["copies"]
        self.counts["copies"] += 1
        target = self.folder / ("copy-%d.db" % number)
        if by_command:
            status, _ = node.command("backup", str(target))
            if status == 0:
                self.backups.append(target)
        else:
            # No program writes meanwhile: a row of the last moment would come twice from such a copy.
            with node.file, contextlib.suppress(sqlite3.Error), node.connect() as database:
                time.sleep(0.5)
                with contextlib.closing(sqlite3.connect(target)) as copy:
                    database.backup(copy)
                self.copies.setdefault(node.name, []).append(target)
        # The first ones stay: what they lack is no longer in the logs when the run is long.
        with self.loss:
            for files in (self.backups, self.copies.get(node.name, [])):
                while len(files) > 4:
                    files.pop(1).unlink()

    def is_elsewhere(self, node, key):
        """Whether all other PCs that run have a row, and at least two."""
        others = [other for other in self.nodes if other is not node and other.is_running and not other.owner.locked()]
        return len(others) > 1 and all(other.has(key) for other in others)

    # Faults

    def plan(self):
        """What happens, and when: the seed alone decides it."""
        draw = random.Random(self.seed)
        kinds = [kind for kind in FAULTS if kind != "disk" or self.small_disk]
        for at in range(self.every, self.seconds - self.every + 1, self.every):
            kind = draw.choices(kinds, [FAULTS[kind] for kind in kinds])[0]
            yield at, kind, draw.randrange(len(NAMES)), draw.random(), draw.random() < 0.5

    def disturb(self):
        threads = []
        start = time.monotonic()
        for at, kind, place, amount, choice in self.plan():
            time.sleep(max(0, start + at - time.monotonic()))
            thread = threading.Thread(target=self.fault, args=(kind, place, amount, choice), daemon=True)
            thread.start()
            threads.append(thread)
        time.sleep(max(0, start + self.seconds - time.monotonic()))
        for thread in threads:
            thread.join(300)
            if thread.is_alive():
                raise Failure("a fault does not end")

    def fault(self, kind, place, amount, choice):
        candidates = self.nodes[place:] + self.nodes[:place]
        if kind == "disk":
            candidates = [node for node in self.nodes if node.has_small_disk]
        node = next((node for node in candidates if node.owner.acquire(blocking=False)), None)
        if node is None:
            self.counts["none, because all PCs had one"] += 1
            return
        try:
            kind = self.happen(kind, node, amount, choice)
        except (Failure, OSError, subprocess.SubprocessError, sqlite3.Error) as error:
            self.problem("%s on %s: %s" % (kind, node.name, error))
        finally:
            if not node.is_running and node.process is not None:
                node.start()
            node.owner.release()
        self.counts[kind] += 1

    def happen(self, kind, node, amount, choice):
        """Carries out a fault, or another one where it is not possible; returns which."""
        if kind == "pause":
            self.say("%s pauses for %.1f s" % (node.name, 3 + 17 * amount))
            node.process.send_signal(signal.SIGSTOP)
            time.sleep(3 + 17 * amount)
            node.process.send_signal(signal.SIGCONT)
        elif kind == "lock":
            self.say("a program locks the file of %s for %.1f s" % (node.name, 3 + 6 * amount))
            with node.connect() as database:
                database.execute("BEGIN IMMEDIATE")
                time.sleep(3 + 6 * amount)
                database.execute("ROLLBACK")
        elif kind == "triggers":
            self.say("a program drops triggers on %s" % node.name)
            program = next(program for program in self.programs if program.node is node)
            with node.file:
                program.drop_triggers()
        elif kind == "disk":
            self.fill(node, 4 + 8 * amount)
        elif kind == "stop":
            self.say("%s stops for %.1f s" % (node.name, 5 * amount))
            node.end(signal.SIGTERM)
            time.sleep(5 * amount)
        elif kind == "join" and self.loss.acquire(blocking=False):
            try:
                self.receive_guest(node)
            finally:
                self.loss.release()
        elif kind in ("restore", "put back", "old log", "lost file") and self.loss.acquire(blocking=False):
            try:
                return self.lose(kind, node, amount, choice)
            finally:
                self.loss.release()
        else:
            self.kill(node, 8 * amount)
            return "kill"
        return kind

    def kill(self, node, seconds):
        self.say("%s is killed, and off for %.1f s" % (node.name, seconds))
        node.end(signal.SIGKILL)
        time.sleep(seconds)

    def fill(self, node, seconds):
        self.say("the disk of %s is full for %.1f s" % (node.name, seconds))
        filler = self.small_disk / "filler"
        with open(filler, "wb") as file:
            for size in (1 << 20, 4096):
                with contextlib.suppress(OSError):
                    while True:
                        os.write(file.fileno(), b"\0" * size)
        time.sleep(seconds)
        filler.unlink()

    def lose(self, kind, node, amount, choice):
        """A PC loses a part of what it had: its file comes from a backup or a copy, or is gone."""
        program = next(program for program in self.programs if program.node is node)
        backup = self.backups[int(amount * len(self.backups))] if self.backups else None
        copies = self.copies.get(node.name, [])
        if kind == "restore" and backup:
            with node.file:
                key = program.insert()
                self.say("%s is restored from %s" % (node.name, backup.name))
                node.end(signal.SIGTERM if choice else signal.SIGKILL)
                # The former file stays beside the new one: what only it has must not be lost.
                node.must("restore", str(backup))
                node.start()
                self.catch_up(node, key)
        elif kind == "lost file" or (kind in ("put back", "old log") and copies):
            with node.file:
                # Nobody can save what is in this file alone. So all that is here must be on other PCs.
                key = program.insert()
                if key is None or not wait(lambda: self.is_elsewhere(node, key), 20):
                    self.kill(node, 8 * amount)
                    return "kill"
                node.end(signal.SIGTERM if choice else signal.SIGKILL)
                if kind == "lost file":
                    self.say("%s loses its file" % node.name)
                    node.database.unlink()
                else:
                    copy = copies[int(amount * len(copies))]
                    self.say("%s is put back to %s%s" % (node.name, copy.name, ", beside its log" if kind == "old log" else ""))
                    shutil.copy(copy, node.database)
                if kind != "old log":
                    for suffix in ("-wal", "-shm"):
                        pathlib.Path(str(node.database) + suffix).unlink(missing_ok=True)
                node.start()
                self.catch_up(node, key)
        else:
            self.kill(node, 8 * amount)
            return "kill"
        for former in node.data.glob("clinic.db*.set-aside-*"):
            former.unlink()
        return kind

    def catch_up(self, node, key):
        """Waits until a PC has again what it wrote last.

        A program that deletes a row before that has not seen the row's last value. Then the row stays, as it does when two PCs
        edit and delete it.
        """
        if key and not wait(lambda: node.has(key), 120):
            self.problem("%s lacks what it wrote last" % node.name)

    def receive_guest(self, inviter):
        """A new PC joins; the one before it leaves the clinic, when the others have all that it wrote."""
        if self.guest is not None:
            program, guest = self.programs[-1], self.guest
            with guest.owner, guest.file:
                key = program.insert()
                if key is None or not wait(lambda: self.is_elsewhere(guest, key), 20):
                    return
                self.say("%s leaves the clinic" % guest.name)
                guest.end(signal.SIGTERM)
                guest.process = None
                inviter.must("nodes", "revoke", guest.name)
                shutil.rmtree(guest.data)
                self.guest = None
        self.guests += 1
        guest = Node(self, "Guest%d" % self.guests, self.folder)
        self.say("%s joins with the help of %s" % (guest.name, inviter.name))
        self.join(guest, inviter)
        self.guest = guest
        self.work(guest, 100 + self.guests)

    # The end

    def run(self):
        self.begin()
        self.say("%d PCs write" % len(self.nodes))
        copier = threading.Thread(target=self.copy_often, daemon=True)
        copier.start()
        self.disturb()
        self.is_closing.set()
        copier.join(300)
        self.say("no faults any more")
        self.check()

    def copy_often(self):
        draw = random.Random(self.seed + 1)
        while not self.is_closing.wait(min(20, self.seconds / 8)):
            node = draw.choice(self.nodes)
            if node.is_running and node.owner.acquire(blocking=False):
                try:
                    self.keep_copies(node, draw.random() < 0.5)
                finally:
                    node.owner.release()

    def check(self):
        nodes = self.nodes + ([self.guest] if self.guest else [])
        end = time.monotonic() + HEALING
        while True:
            status, text = self.nodes[0].command("sync", "--timeout", "60s", timeout=180)
            if status == 0 and self.differing([node.content() for node in nodes]) is None:
                break
            if time.monotonic() > end:
                differing = self.differing([node.content() for node in nodes])
                raise Failure("sync says %s; %s differs" % (text.splitlines()[:1], differing))
            time.sleep(1)
        for node in nodes:
            with node.connect() as database:
                found = database.execute("PRAGMA integrity_check").fetchall() + database.execute("PRAGMA foreign_key_check").fetchall()
            if found != [("ok",)]:
                raise Failure("the file of %s is damaged: %s" % (node.name, found[:3]))
        with nodes[0].connect() as database:
            rows = dict(database.execute("SELECT id, address FROM patients"))
            bills = {
                key: (items, payments)
                for key, items, payments in database.execute(
                    "SELECT id, (SELECT count(*) FROM bill_items WHERE billId = b.id),"
                    " (SELECT count(*) FROM payments WHERE billId = b.id) FROM patient_bills b"
                )
            }
            pruned = database.execute("SELECT sum(floor) FROM clinicsync_origin").fetchone()[0]
            count = database.execute("SELECT selectionCount FROM clinic_services WHERE id = ?", (self.service,)).fetchone()[0]
        lost = [text for program in self.programs for text in program.lost(rows, bills)]
        if lost:
            raise Failure("%d committed writes are lost: %s" % (len(lost), "; ".join(lost[:5])))
        counted = sum(program.counted for program in self.programs)
        if not counted <= count <= counted + sum(program.perhaps_counted for program in self.programs):
            raise Failure("the counter has %d and not %d" % (count, counted))
        if self.problems:
            raise Failure("; ".join(self.problems[:5]))
        content = nodes[0].content()
        written = sum(program.number for program in self.programs)
        faults = sorted((kind, number) for kind, number in self.counts.items() if kind != "copies")
        ends = sum((node.ends for node in nodes), collections.Counter())
        self.say("faults: %s" % ", ".join("%s %d" % fault for fault in faults))
        self.say("nodes that ended by themselves and were started again: %d" % sum(ends.values()))
        refused = sum(sum(program.refused.values()) for program in self.programs)
        self.say("%d new rows written, and %d writes refused by SQLite; %d batches pruned from the log" % (written, refused, pruned))
        self.say("%d files are equal: %d tables, %d rows" % (len(nodes), len(content), sum(map(len, content.values()))))
        self.say("no committed row is lost; seed %d" % self.seed)

    @staticmethod
    def differing(contents):
        """The first table that is not the same everywhere, with rows that are not; `None` when there is none."""
        for name, rows in contents[0].items():
            for other in contents[1:]:
                if other.get(name) != rows:
                    odd = set(rows).symmetric_difference(other.get(name, []))
                    return "%s (%d rows, such as %s)" % (name, len(odd), sorted(odd)[:1])
        return None

    def close(self):
        self.is_closing.set()
        self.is_over.set()
        for node in self.nodes + ([self.guest] if self.guest else []):
            if node.is_running:
                node.process.kill()
                node.process.wait()


def may_mount():
    probe = ["unshare", "-m", "mount", "-t", "tmpfs", "none", "/mnt"]
    return shutil.which("unshare") is not None and subprocess.run(probe, capture_output=True).returncode == 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("program")
    parser.add_argument("--seconds", type=int, default=3600)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    parser.add_argument("--every", type=int, default=10, help="seconds from one fault to the next")
    parser.add_argument("--rate", type=float, default=4, help="transactions a second on each PC")
    parser.add_argument("--keep", action="store_true", help="keep the folder when it fails")
    options = parser.parse_args()
    if os.environ.get("CLINIC_FAULTS_INSIDE") is None and may_mount():
        # What is mounted inside goes with the last process inside.
        os.environ["CLINIC_FAULTS_INSIDE"] = "1"
        inside = ["unshare", "-m", sys.executable, __file__, options.program]
        inside += ["--seconds", str(options.seconds), "--seed", str(options.seed)]
        inside += ["--every", str(options.every), "--rate", str(options.rate)]
        os.execvp("unshare", inside + (["--keep"] if options.keep else []))
    folder = pathlib.Path(tempfile.mkdtemp(prefix="clinic-faults-"))
    small_disk = None
    if os.environ.get("CLINIC_FAULTS_INSIDE") is not None:
        small_disk = folder / "disk"
        small_disk.mkdir()
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=%d" % SMALL_DISK, "none", str(small_disk)], check=True)
    print("seed %d, %d seconds%s" % (options.seed, options.seconds, "" if small_disk else ", no small disk"), flush=True)
    clinic = Clinic(options, folder, small_disk)
    try:
        clinic.run()
        failed = False
    except Failure as failure:
        failed = True
        print("FAILED, seed %d: %s" % (options.seed, failure), flush=True)
    finally:
        clinic.close()
    if failed:
        for node in clinic.nodes + ([clinic.guest] if clinic.guest else []):
            print("--- the end of the log of %s\n%s" % (node.name, node.log.read_text()[-1500:]))
    if small_disk:
        if failed and options.keep:
            shutil.copytree(small_disk, folder / "disk-kept")
        subprocess.run(["umount", str(small_disk)], check=False)
    if failed and options.keep:
        print("kept in %s" % folder)
    else:
        shutil.rmtree(folder, ignore_errors=True)
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
