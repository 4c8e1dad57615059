#!/usr/bin/env python3
"""What upgrades change in the tables themselves, and values that no table wants. One PC is always later than the other."""

import concurrent.futures
import json
import threading
import time

import peewee
import sqlite_utils
from nodes import Clinic, main, wait
from playhouse.migrate import SqliteMigrator, migrate
from programs import equal, sound


def upgraded(node, *operations):
    """Runs peewee's migrations on a node's file."""
    database = peewee.SqliteDatabase(str(node.data / "clinic.db"), timeout=30)
    migrator = SqliteMigrator(database)
    with database.atomic("IMMEDIATE"):
        migrate(*(operation(migrator) for operation in operations))
    database.close()


def columns(clinic, check):
    """A column that the programs add on one PC after the other replicates, and nothing that was written is lost."""
    a, b = clinic.nodes
    column = peewee.TextField(null=True)
    added = [
        lambda migrator: migrator.add_column("patients", "nationalId", column),
        lambda migrator: migrator.add_column("patient_bills", "orNumber", column),
    ]
    upgraded(a, *added)
    a.sql("UPDATE patients SET nationalId = 'PH-1' WHERE id = 'p1'")
    a.sql("INSERT INTO patients(id, fullName, nationalId) VALUES('c1', 'Cora', 'PH-2')")
    wait("the row is there without the column", lambda: b.sql("SELECT fullName FROM patients WHERE id = 'c1'") == [("Cora",)])
    # The old version goes on with the rows that have a value of the new one.
    b.sql("UPDATE patients SET address = 'Luna' WHERE id IN ('p1', 'c1')")
    check(b.stop() == 0, "the node stops")
    b.start()
    upgraded(b, *added)
    expected = [("c1", "Luna", "PH-2"), ("p1", "Luna", "PH-1")]
    for node in clinic.nodes:
        wait(
            "the values of the column are on %s" % node.name,
            lambda: node.sql("SELECT id, address, nationalId FROM patients WHERE id IN ('c1', 'p1') ORDER BY id") == expected,
        )
    # Apart, both PCs give one invoice number; each bill keeps its other number.
    check(b.stop() == 0, "the node stops")
    for node, number in ((a, "A"), (b, "B")):
        node.sql(
            "INSERT INTO patient_bills(id, patientId, invoiceNumber, billDate, totalAmount, status, orNumber)"
            " VALUES(?, 'p1', 'INV-1', '2026-11-27', 1, 'Unpaid', ?)",
            "bill" + number,
            "OR-" + number,
        )
    b.start()
    for node in clinic.nodes:
        wait(
            "both bills are on %s" % node.name,
            lambda: node.sql("SELECT id, orNumber FROM patient_bills ORDER BY id") == [("billA", "OR-A"), ("billB", "OR-B")],
        )
    wait("all is settled", clinic.settled)
    check(equal(clinic), "the files are equal")


def full_text(clinic, check):
    """A full-text index with triggers, as the manual of FTS5 has it, finds what every PC wrote."""
    for node in clinic.nodes:
        database = sqlite_utils.Database(str(node.data / "clinic.db"))
        database["patients"].enable_fts(["fullName"], create_triggers=True)
        database.close()
    a, b = clinic.nodes

    def found(node, word):
        database = sqlite_utils.Database(str(node.data / "clinic.db"))
        keys = sorted(row["id"] for row in database["patients"].search(word))
        database.close()
        return keys

    b.sql("INSERT INTO patients(id, fullName) VALUES('f1', 'Dolores'), ('f2', 'Dolores'), ('f3', 'Emilio')")
    wait("rows of the other PC are found", lambda: found(a, "dolores") == ["f1", "f2"])
    b.sql("UPDATE patients SET fullName = 'Felipe' WHERE id = 'f1'")
    b.sql("DELETE FROM patients WHERE id = 'f2'")
    wait("the changed name is found", lambda: found(a, "felipe") == ["f1"])
    wait("the deleted row is not found", lambda: found(a, "dolores") == [])
    a.sql("UPDATE patients SET fullName = 'Gregoria' WHERE id = 'f3'")
    wait("the other PC finds it, too", lambda: found(b, "gregoria") == ["f3"] and found(b, "emilio") == [])
    wait("all is settled", clinic.settled)
    for node in clinic.nodes:
        node.sql("INSERT INTO patients_fts(patients_fts, rank) VALUES('integrity-check', 1)")
    check(equal(clinic), "the files are equal")


def own_unique(clinic, check):
    """Rows that an index of one PC alone refuses wait there, are named, and come back."""
    a, b = clinic.nodes
    database = sqlite_utils.Database(str(b.data / "clinic.db"))
    database["patients"].create_index(["email"], unique=True, index_name="my_email")
    database.close()
    a.sql("INSERT INTO patients(id, fullName, email) VALUES('u1', 'Ana', 'x@example.org'), ('u2', 'Ben', 'x@example.org')")
    wait("one of the rows is there", lambda: b.sql("SELECT count(*) FROM patients WHERE email = 'x@example.org'") == [(1,)])
    wait("status names the index", lambda: "my_email" in json.dumps(b.status()))
    check(b.stop() == 0, "the node stops")
    b.start()
    b.sql("DROP INDEX my_email")
    wait("both rows are there", lambda: b.sql("SELECT count(*) FROM patients WHERE email = 'x@example.org'") == [(2,)])
    wait("all is settled", clinic.settled)
    check(equal(clinic), "the files are equal")


def odd_counters(clinic, check):
    """A counter that is no whole number is the same on all PCs."""
    a, b = clinic.nodes
    values = {
        "service-urinalysis": "''",
        "service-fecalysis": "'abc'",
        "service-vaccination": "1.5",
        "service-ultrasound": "1e30",
    }
    for service, value in values.items():
        a.sql("UPDATE clinic_services SET selectionCount = %s WHERE id = '%s'" % (value, service))
    a.sql("INSERT INTO clinic_services(id, serviceName, selectionCount) VALUES('odd', 'Odd', x'00')")
    wait("the row is there", lambda: b.sql("SELECT 1 FROM clinic_services WHERE id = 'odd'") == [(1,)])
    wait("the counters are equal", lambda: clinic.settled() and equal(clinic))


def keystrokes(clinic, check):
    """Two people type into one field, saved at each keystroke, with `updatedAt`: one entry is left, with all that was lost."""
    a, b = clinic.nodes
    wait("all is settled", clinic.settled)
    before = [node.status()["conflicts"]["open"] for node in clinic.nodes]
    together = threading.Barrier(2)

    def type_text(node):
        for length in range(1, 26):
            together.wait(timeout=30)
            text = "%s writes %s" % (node.name, "x" * length)
            node.sql("UPDATE patients SET medicalHistory = ?, updatedAt = ? WHERE id = 'p1'", text, "%.6f" % time.time())

    with concurrent.futures.ThreadPoolExecutor() as people:
        for person in [people.submit(type_text, node) for node in clinic.nodes]:
            person.result()
    wait("all is settled", clinic.settled)
    check(equal(clinic), "the files are equal")
    lost = "SELECT count(DISTINCT value) FROM clinicsync_conflict WHERE recordId = 'p1' AND columnName = ?"
    check(a.sql(lost, "updatedAt")[0][0] > 0, "saves crossed")
    for node, open_before in zip(clinic.nodes, before):
        check(node.status()["conflicts"]["open"] == open_before + 1, "one entry is open on %s" % node.name)
        entries = [entry for entry in node.get("/v1/conflicts").json()["conflicts"] if entry["recordId"] == "p1"]
        check([entry["column"] for entry in entries] == ["medicalHistory"], "it is about what they typed")
        whole = node.get("/v1/conflicts/" + entries[0]["id"]).json()
        check(whole["count"] == node.sql(lost, "medicalHistory")[0][0], "it stands for each lost text")
        check(whole["count"] == 1 or len(whole["values"]) == whole["count"], "which can be read")
    a.command("conflicts", "resolve", "--all", "--keep", "current", "--yes", "--table", "patients", "--column", "medicalHistory")
    for node, open_before in zip(clinic.nodes, before):
        wait("it is settled on %s" % node.name, lambda: node.status()["conflicts"]["open"] == open_before)


STEPS = [columns, full_text, own_unique, odd_counters, keystrokes]


def run(program, check):
    with Clinic(program, ["first", "second"]) as clinic:
        clinic.nodes[0].sql("INSERT INTO patients(id, fullName) VALUES('p1', 'Ana')")
        wait("all is settled", clinic.settled)
        for step in STEPS:
            step(clinic, check)
        first = clinic.nodes[0]
        first.command("sync")
        for node in clinic.nodes:
            check(sound(node), "the file is sound")
            check(node.status()["damage"] == [], "nothing was damage: %s" % node.status()["damage"])
        check(first.stop() == 0, "the node stops")
        first.start()
        wait("all is settled after a restart", clinic.settled)
        check(equal(clinic), "the files are equal after a restart")


if __name__ == "__main__":
    main("test_changes", run)
