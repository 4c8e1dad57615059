#!/usr/bin/env python3
"""sqlite-utils, as people use it in a terminal, on the file of a running node."""

import csv
import json
import pathlib
import subprocess
import sys

from nodes import Clinic, main, wait
from programs import equal, sound

SQLITE_UTILS = pathlib.Path(sys.executable).with_name("sqlite-utils")


def run(program, check):
    with Clinic(program, ["reception", "doctor"]) as clinic:
        reception, doctor = clinic.nodes

        def utils(command, *arguments, text=None):
            result = subprocess.run(
                [SQLITE_UTILS, command, str(reception.data / "clinic.db"), *arguments],
                input=text,
                capture_output=True,
                text=True,
                timeout=60,
            )
            assert result.returncode == 0, "%s: %s" % (command, result.stdout + result.stderr)
            return result.stdout

        def arrives(what, sql, expected):
            wait(what, lambda: doctor.sql(sql) == expected)

        # Import, upsert and replacement of rows.
        people = [{"id": "p%d" % i, "fullName": "Niña %d" % i, "contactNumber": " 0917-%04d " % i} for i in range(300)]
        utils("insert", "patients", "-", "--batch-size", "100", text=json.dumps(people))
        utils("upsert", "patients", "-", "--pk", "id", "--csv", text="id,address\np1,Mabini\np2,Rizal\n")
        utils("insert", "patients", "-", "--pk", "id", "--replace", text='{"id": "p3", "fullName": "Replaced"}')
        arrives("the import", "SELECT count(*), count(address), count(contactNumber) FROM patients", [(300, 2, 299)])
        # A replacement of the whole row takes the values that it does not name.
        arrives("the replacement", "SELECT fullName, contactNumber FROM patients WHERE id = 'p3'", [("Replaced", None)])

        utils("convert", "patients", "contactNumber", "value and value.strip().replace('-', '')")
        arrives("the conversion", "SELECT count(*) FROM patients WHERE contactNumber LIKE '%-%' OR contactNumber LIKE '% %'", [(0,)])

        # `transform` makes a new table, here with another order of columns and without a foreign key.
        utils("transform", "patients", "--column-order", "id", "--column-order", "email")
        utils("transform", "patient_bills", "--drop-foreign-key", "createdByUserId")
        doctor.sql("UPDATE patients SET email = 'p4@example.org' WHERE id = 'p4'")
        wait("a row of the other PC", lambda: reception.sql("SELECT email FROM patients WHERE id = 'p4'") == [("p4@example.org",)])
        utils("insert", "patients", "-", text='{"id": "p300", "fullName": "After"}')
        arrives("a row after the transformation", "SELECT fullName FROM patients WHERE id = 'p300'", [("After",)])

        # Tables and indexes of the program's own stay on its PC.
        utils("insert", "settings", "-", "--pk", "name", text='{"name": "printer", "value": "second floor"}')
        utils("create-index", "patients", "contactNumber")
        utils("create-view", "with_address", "SELECT id FROM patients WHERE address IS NOT NULL")
        # A full-text index that the program builds now and then; triggers would keep it.
        utils("enable-fts", "patients", "fullName")
        found = json.loads(utils("search", "patients", "Replaced"))
        check([row["id"] for row in found] == ["p3"], "the full-text index finds the row")
        for command in ("analyze", "vacuum"):
            utils(command)
        utils("query", "DELETE FROM patients WHERE id = 'p5'")
        arrives("the deletion", "SELECT count(*) FROM patients WHERE id = 'p5'", [(0,)])
        wait("all is settled", clinic.settled)

        rows = list(csv.DictReader(utils("rows", "patients", "--csv").splitlines()))
        check(len(rows) == 300, "the export has all rows")
        check(doctor.sql("SELECT name FROM sqlite_master WHERE name IN ('settings', 'with_address')") == [], "the program's own stays")
        check(equal(clinic), "the files are equal")
        reception.command("sync")
        check(reception.stop() == 0, "the node stops")
        reception.start()
        doctor.sql("UPDATE patients SET address = 'Luna' WHERE id = 'p6'")
        wait("a row after the restart", lambda: reception.sql("SELECT address FROM patients WHERE id = 'p6'") == [("Luna",)])
        wait("all is settled after the restart", clinic.settled)
        check(equal(clinic), "the files are equal after the restart")
        for node in clinic.nodes:
            check(sound(node), "the file is sound")
            check(node.status()["conflicts"]["open"] == 0, "nothing was a conflict: %s" % node.status()["conflicts"])
            check(node.status()["damage"] == [], "nothing was damage: %s" % node.status()["damage"])


if __name__ == "__main__":
    main("test_sqlite_utils", run)
