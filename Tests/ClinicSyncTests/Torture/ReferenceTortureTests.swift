import Testing

@Suite("Torture: references to rows that were deleted elsewhere")
struct ReferenceTortureTests {
    private static let patient = "INSERT INTO patient(id, name) VALUES ('p', 'Ana')"
    private static let family = """
        INSERT INTO patient(id, name) VALUES ('p', 'Ana'); INSERT INTO bill(id, patientId, info) VALUES ('b', 'p', 'old')
        """

    static let revivals: [Scenario] = [
        Scenario(
            "a parent is deleted and gets a child",
            start: Self.patient,
            .enforces(.a, "DELETE FROM patient"),
            .enforces(.b, "INSERT INTO bill(id, patientId, info) VALUES ('b', 'p', 'new')")
        )
        .shows("SELECT name || info FROM patient JOIN bill ON patient.id = patientId", "Ananew")
        .journal("revived patient/p*"),
        Scenario(
            "a parent gets a child and is deleted later",
            start: Self.patient,
            .enforces(.b, "INSERT INTO bill(id, patientId, info) VALUES ('b', 'p', 'new')"),
            .enforces(.a, "DELETE FROM patient")
        )
        .shows("SELECT name || info FROM patient JOIN bill ON patient.id = patientId", "Ananew")
        .journal("revived patient/p*"),
        Scenario(
            "three generations are deleted and the youngest is edited",
            start: "\(Self.family); INSERT INTO item(id, billId, info) VALUES ('i', 'b', 'old')",
            .enforces(.a, "DELETE FROM patient"),
            .enforces(.b, "UPDATE item SET info = 'new'")
        )
        .shows("SELECT (SELECT name FROM patient) || (SELECT info FROM bill) || (SELECT info FROM item)", "Anaoldnew")
        .journal("revived patient/p*", "revived bill/b*", "kept item/i*"),
        Scenario(
            "two generations are deleted and get a third",
            start: Self.family,
            .enforces(.a, "DELETE FROM patient"),
            .enforces(.b, "INSERT INTO item(id, billId, info) VALUES ('i', 'b', 'new')")
        )
        .shows("SELECT (SELECT name FROM patient) || (SELECT info FROM bill) || (SELECT info FROM item)", "Anaoldnew")
        .journal("revived patient/p*", "revived bill/b*"),
        Scenario(
            "the child that revived its parent is deleted as well",
            start: Self.patient,
            .enforces(.a, "DELETE FROM patient"),
            .enforces(.b, "INSERT INTO bill(id, patientId) VALUES ('b', 'p')"),
            .hears(.b, from: .a),
            .enforces(.b, "DELETE FROM bill")
        )
        .shows("SELECT count(*) FROM bill", "0").shows("SELECT count(*) FROM patient", "0").journal(),
        Scenario(
            "a revived parent is deleted once more by somebody who sees the child",
            start: Self.patient,
            .enforces(.a, "DELETE FROM patient"),
            .enforces(.b, "INSERT INTO bill(id, patientId) VALUES ('b', 'p')"),
            .hears(.b, from: .a),
            .enforces(.b, "DELETE FROM patient")
        )
        .shows("SELECT (SELECT count(*) FROM bill) + (SELECT count(*) FROM patient)", "0").journal(),
        Scenario(
            "a revived parent is edited",
            start: Self.patient,
            .enforces(.a, "DELETE FROM patient"),
            .enforces(.b, "INSERT INTO bill(id, patientId) VALUES ('b', 'p')"),
            .hears(.b, from: .a),
            .enforces(.b, "UPDATE patient SET name = 'Anna'")
        )
        .shows("SELECT name FROM patient", "Anna"),
        Scenario(
            "a deletion that a reference forbids, and such a reference",
            start: Self.patient,
            .enforces(.a, "DELETE FROM patient"),
            .enforces(.b, "INSERT INTO receipt(id, patientId) VALUES ('r', 'p')")
        )
        .shows("SELECT count(*) FROM patient", "1").journal("revived patient/p*"),
        Scenario(
            "a child moves to a parent that is deleted",
            start: "\(Self.family); INSERT INTO patient(id, name) VALUES ('q', 'Bea')",
            .enforces(.a, "DELETE FROM patient WHERE id = 'q'"),
            .enforces(.b, "UPDATE bill SET patientId = 'q'")
        )
        .shows("SELECT name FROM patient JOIN bill ON patient.id = patientId", "Bea").journal("revived patient/q*"),
        Scenario(
            "two PCs delete a parent and a third adds a child",
            start: Self.patient,
            .enforces(.a, "DELETE FROM patient"),
            .enforces(.b, "DELETE FROM patient"),
            .enforces(.c, "INSERT INTO bill(id, patientId, info) VALUES ('b', 'p', 'new')")
        )
        .shows("SELECT name FROM patient", "Ana").journal("revived patient/p*"),
        Scenario(
            "a parent's key changes while it gets a child",
            start: Self.patient,
            .enforces(.a, "UPDATE patient SET id = 'q'"),
            .enforces(.b, "INSERT INTO bill(id, patientId) VALUES ('b', 'p')")
        )
        .shows("SELECT id FROM patient ORDER BY id", "p q").journal("revived patient/p*"),
        Scenario(
            "a counter of a revived parent",
            start: "INSERT INTO patient(id, name, n) VALUES ('p', 'Ana', 7)",
            .enforces(.a, "DELETE FROM patient"),
            .enforces(.b, "INSERT INTO bill(id, patientId) VALUES ('b', 'p')")
        )
        .shows("SELECT n FROM patient", "7"),
    ]

    static let policies: [Scenario] = [
        Scenario(
            "a session of a patient who is deleted goes too",
            start: Self.patient,
            .enforces(.a, "DELETE FROM patient"),
            .enforces(.b, "INSERT INTO session(id, patientId, info) VALUES ('s', 'p', 'new')")
        )
        .shows("SELECT (SELECT count(*) FROM session) + (SELECT count(*) FROM patient)", "0")
        .journal("cascaded session/s*"),
        Scenario(
            "a session comes back with its patient",
            start: Self.patient,
            .enforces(.a, "DELETE FROM patient"),
            .enforces(.b, "INSERT INTO session(id, patientId, info) VALUES ('s', 'p', 'new')"),
            .enforces(.c, "UPDATE patient SET name = 'Anna'")
        )
        .shows("SELECT name || info FROM patient JOIN session ON patient.id = patientId", "Annanew")
        .journal("kept patient/p*"),
        Scenario(
            "a visit of a patient who is deleted shows none",
            start: Self.patient,
            .enforces(.a, "DELETE FROM patient"),
            .enforces(.b, "INSERT INTO visit(id, patientId, info) VALUES ('v', 'p', 'new')")
        )
        .shows("SELECT coalesce(patientId, '-') || info FROM visit", "-new").shows("SELECT count(*) FROM patient", "0")
        .journal("detached visit/v/patientId*"),
        Scenario(
            "a visit that a deletion detached, and an edit of it",
            start: "\(Self.patient); INSERT INTO visit(id, patientId, info) VALUES ('v', 'p', 'old')",
            .enforces(.a, "DELETE FROM patient"),
            .enforces(.b, "UPDATE visit SET info = 'new'")
        )
        .shows("SELECT coalesce(patientId, '-') || info FROM visit", "-new").journal(),
        Scenario(
            "a letter to a patient who is deleted stays",
            start: Self.patient,
            .does(.a, "DELETE FROM patient"),
            .enforces(.b, "INSERT INTO letter(id, patientId, info) VALUES ('l', 'p', 'new')")
        )
        .shows("SELECT patientId || info FROM letter", "pnew").shows("SELECT count(*) FROM patient", "0").orphans(1),
        Scenario(
            "an orphan that the deleter left on purpose",
            start: Self.family,
            .does(.a, "DELETE FROM patient"),
            .does(.b, "INSERT INTO patient(id, name) VALUES ('q', 'Bea')")
        )
        .shows("SELECT patientId FROM bill", "p").shows("SELECT id FROM patient", "q").journal().orphans(1),
        Scenario(
            "an orphan that the deleter left on purpose is edited elsewhere",
            start: Self.family,
            .does(.a, "DELETE FROM patient"),
            .does(.b, "UPDATE bill SET info = 'new'")
        )
        .shows("SELECT info FROM bill", "new").shows("SELECT count(*) FROM patient", "0").journal().orphans(1),
        Scenario(
            "a child of a parent that never was",
            .does(.a, "INSERT INTO bill(id, patientId, info) VALUES ('b', 'nobody', 'x')"),
            .does(.b, "INSERT INTO patient(id, name) VALUES ('q', 'Bea')")
        )
        .shows("SELECT patientId FROM bill", "nobody").journal().orphans(1),
        Scenario(
            "a child that comes before its parent blocks nothing",
            .does(.a, "INSERT INTO patient(id, name) VALUES ('p', 'Ana')"),
            .does(.b, "INSERT INTO bill(id, patientId, info) VALUES ('b', 'p', 'x'), ('c', 'other', 'y')"),
            .does(.b, "INSERT INTO patient(id, name) VALUES ('other', 'Bea')")
        )
        .shows("SELECT count(*) FROM bill JOIN patient ON patient.id = patientId", "2").journal(),
    ]

    static let circles: [Scenario] = [
        Scenario(
            "a folder is deleted and gets a folder within",
            start: "INSERT INTO folder(id, parentId) VALUES ('r', NULL), ('s', 'r')",
            .enforces(.a, "DELETE FROM folder WHERE id = 'r'"),
            .enforces(.b, "INSERT INTO folder(id, parentId) VALUES ('t', 's')")
        )
        .shows("SELECT id FROM folder ORDER BY id", "r s t").journal("revived folder/r*", "revived folder/s*"),
        Scenario(
            "two folders are put into each other",
            start: "INSERT INTO folder(id) VALUES ('r'), ('s')",
            .enforces(.a, "UPDATE folder SET parentId = 's' WHERE id = 'r'"),
            .enforces(.b, "UPDATE folder SET parentId = 'r' WHERE id = 's'")
        )
        .shows("SELECT id || parentId FROM folder ORDER BY id", "rs sr").journal(),
        Scenario(
            "a folder that is its own parent is deleted and edited",
            start: "INSERT INTO folder(id, parentId, label) VALUES ('r', 'r', 'old')",
            .does(.a, "DELETE FROM folder"),
            .enforces(.b, "UPDATE folder SET label = 'new'")
        )
        .shows("SELECT label FROM folder", "new").journal("kept folder/r*"),
        Scenario(
            "a circle is deleted as a whole",
            start:
                "INSERT INTO hand(id) VALUES ('h'); INSERT INTO glove(id, handId) VALUES ('g', 'h'); UPDATE hand SET gloveId = 'g'",
            .enforces(.a, "DELETE FROM hand"),
            .enforces(.b, "DELETE FROM glove")
        )
        .shows("SELECT (SELECT count(*) FROM hand) + (SELECT count(*) FROM glove)", "0").journal(),
        Scenario(
            "a circle is deleted and one of it edited",
            start:
                "INSERT INTO hand(id) VALUES ('h'); INSERT INTO glove(id, handId) VALUES ('g', 'h'); UPDATE hand SET gloveId = 'g'",
            .enforces(.a, "DELETE FROM hand"),
            .enforces(.b, "UPDATE glove SET info = 'new'")
        )
        .shows("SELECT gloveId FROM hand", "g").shows("SELECT handId || info FROM glove", "hnew")
        .journal("revived hand/h*", "kept glove/g*"),
    ]

    @Test("a child revives the parent that was deleted without knowing it", arguments: Self.revivals)
    func revival(_ scenario: Scenario) throws { try ScenarioRun.check(scenario, on: TortureSchema.references.get()) }

    @Test("cascade, null and keep are what they say", arguments: Self.policies)
    func policy(_ scenario: Scenario) throws { try ScenarioRun.check(scenario, on: TortureSchema.references.get()) }

    @Test("circles and references to oneself work", arguments: Self.circles)
    func circle(_ scenario: Scenario) throws { try ScenarioRun.check(scenario, on: TortureSchema.references.get()) }
}
