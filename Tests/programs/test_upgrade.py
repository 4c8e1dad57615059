#!/usr/bin/env python3
"""A clinic's program is upgraded on each PC at another time, while the other PCs work. Each PC has other programs."""

import clinic_peewee
import clinic_sqlalchemy
from nodes import Clinic, main, wait
from programs import Process, equal, sound


class Desk:
    """A PC with its programs, of which the first one upgrades the file."""

    def __init__(self, node, *programs):
        self.node = node
        self.programs = programs

    def visits(self, day):
        """Each program receives a patient. Returns the patients' names."""
        names = ["%s Niño %d" % (program.name, day) for program in self.programs]
        for program, name in zip(self.programs, names):
            program.visit(name)
        return names


def active(node):
    """The programs that know a user as logged in."""
    return [session["deviceId"] for session in node.get("/v1/sessions").json()["sessions"]]


def run(program, check):
    with Clinic(program, ["reception", "doctor", "laboratory"]) as clinic:
        reception, doctor, laboratory = clinic.nodes
        reception.sql("INSERT INTO users(id, username, role) VALUES('u1', 'ana', 'admin')")
        wait("the user is everywhere", lambda: all(node.sql("SELECT 1 FROM users WHERE id = 'u1'") for node in clinic.nodes))

        def file(node):
            return node.data / "clinic.db"

        desks = [
            Desk(reception, clinic_sqlalchemy.Program(file(reception)), clinic_peewee.Program(file(reception))),
            Desk(doctor, Process("perl", file(doctor))),
            Desk(laboratory, Process("php", file(laboratory)), Process("node", file(laboratory))),
        ]
        names = []

        def work(day):
            for desk in desks:
                names.extend(desk.visits(day))

        def everywhere():
            return all(node.sql("SELECT count(*) FROM patients") == [(len(names),)] for node in clinic.nodes)

        work(1)
        wait("the first day's patients are everywhere", everywhere)

        # Each language has its own forms of times and of "false": a session begins and ends everywhere.
        for each in (desks[1].programs[0], *desks[2].programs):
            each.login()
            for node in clinic.nodes:
                wait("%s has the login of %s" % (node.name, each.name), lambda: active(node) == [each.name])
            each.logout()
            for node in clinic.nodes:
                wait("%s has the logout of %s" % (node.name, each.name), lambda: active(node) == [])
        for node in clinic.nodes:
            for session in node.get("/v1/sessions", params={"state": "all"}).json()["sessions"]:
                check(session.get("endReason") is None, "the program ended the session, not a rule: %s" % session)
                check(session["loginTime"].startswith("20"), "people read when it began: %s" % session)

        # The reception upgrades while all nodes run, and the others go on with the old version.
        desks[0].programs[0].upgrade()
        work(2)
        wait("the second day's patients are everywhere", everywhere)

        # The doctor's PC upgrades while its node does not run, and works on without it.
        check(doctor.stop() == 0, "the node stops")
        desks[1].programs[0].upgrade()
        work(3)
        doctor.start()
        wait("the third day's patients are everywhere", everywhere)

        # The laboratory upgrades in the middle of its work.
        names.extend(desks[2].visits(4))
        desks[2].programs[0].upgrade()
        names.extend(desks[2].visits(5))
        work(6)
        wait("all patients are everywhere", everywhere)
        # Each PC's upgrade came before patients of the old version elsewhere: the last one to run makes all clean.
        desks[0].programs[1].upgrade()
        wait("all is settled", clinic.settled)

        visits = len(names)
        for node in clinic.nodes:
            check(node.sql("SELECT count(*) FROM bill_items") == [(2 * visits,)], "each bill has its items")
            check(node.sql("SELECT count(*), sum(amountPaid) FROM payments") == [(visits, 300.5 * visits)], "all payments are there")
            counted = node.sql("SELECT selectionCount FROM clinic_services WHERE id = 'service-urinalysis'")
            check(counted == [(visits,)], "all increments count")
            check(node.sql("SELECT DISTINCT contactNumber FROM patients") == [("091755501",)], "all numbers are clean")
            check(node.sql("SELECT count(*) FROM active_patient_queue") == [(visits,)], "all wait")
            check(sound(node), "the file is sound")
            status = node.status()
            check(status["conflicts"]["open"] == 0, "no upgrade is a conflict: %s" % status["conflicts"])
            check(status["damage"] == [], "no upgrade is damage: %s" % status["damage"])
        check(equal(clinic), "the files are equal")
        for desk in desks:
            for each in desk.programs:
                check(each.names() == sorted(names), "%s reads what all wrote" % each.name)
                each.close()
        reception.command("sync")
        for node in (reception, laboratory):
            check(node.stop() == 0, "the node stops")
            node.start()
        wait("all is settled after a restart", clinic.settled)
        check(equal(clinic), "the files are equal after a restart")


if __name__ == "__main__":
    main("test_upgrade", run)
