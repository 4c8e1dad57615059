import Testing

@Suite("Torture: keys that two PCs gave out")
struct KeyTortureTests {
    private static let bills = "SELECT id || '=' || coalesce(number, 'NULL') FROM bill ORDER BY id"

    static let suffixes: [Scenario] = [
        Scenario(
            "two bills of one number",
            .does(.a, "INSERT INTO bill(id, number, info) VALUES ('x', 'INV-1', 'by a')"),
            .does(.b, "INSERT INTO bill(id, number, info) VALUES ('y', 'INV-1', 'by b')")
        )
        .shows(Self.bills, "x=INV-1 y=INV-1~???").journal("renamed bill/y/number*"),
        Scenario(
            "three bills of one number",
            .does(.a, "INSERT INTO bill(id, number) VALUES ('x', 'INV-1')"),
            .does(.b, "INSERT INTO bill(id, number) VALUES ('y', 'INV-1')"),
            .does(.c, "INSERT INTO bill(id, number) VALUES ('z', 'INV-1')")
        )
        .shows(Self.bills, "x=INV-1 y=INV-1~??? z=INV-1~???")
        .shows("SELECT count(DISTINCT number) FROM bill", "3")
        .journal("renamed bill/y/number*", "renamed bill/z/number*"),
        Scenario(
            "the owner of a number lets go of it",
            .does(.a, "INSERT INTO bill(id, number) VALUES ('x', 'INV-1')"),
            .does(.b, "INSERT INTO bill(id, number) VALUES ('y', 'INV-1')"),
            .hears(.a, from: .b),
            .does(.a, "UPDATE bill SET number = 'INV-2' WHERE id = 'x'")
        )
        .shows(Self.bills, "x=INV-2 y=INV-1").journal(),
        Scenario(
            "the owner of a number is deleted",
            .does(.a, "INSERT INTO bill(id, number) VALUES ('x', 'INV-1')"),
            .does(.b, "INSERT INTO bill(id, number) VALUES ('y', 'INV-1')"),
            .hears(.a, from: .b),
            .does(.a, "DELETE FROM bill WHERE id = 'x'")
        )
        .shows(Self.bills, "y=INV-1").journal(),
        Scenario(
            "of two losers the older moves up",
            .does(.a, "INSERT INTO bill(id, number) VALUES ('x', 'INV-1')"),
            .does(.b, "INSERT INTO bill(id, number) VALUES ('y', 'INV-1')"),
            .does(.c, "INSERT INTO bill(id, number) VALUES ('z', 'INV-1')"),
            .hears(.a, from: .b),
            .hears(.a, from: .c),
            .does(.a, "UPDATE bill SET number = NULL WHERE id = 'x'")
        )
        .shows(Self.bills, "x=NULL y=INV-1 z=INV-1~???").journal("renamed bill/z/number*"),
        Scenario(
            "a program writes back the suffix that it read",
            .does(.a, "INSERT INTO bill(id, number) VALUES ('x', 'INV-1')"),
            .does(.b, "INSERT INTO bill(id, number) VALUES ('y', 'INV-1')"),
            .hears(.b, from: .a),
            .does(.b, "INSERT OR REPLACE INTO bill SELECT id, number, 'noted' FROM bill WHERE id = 'y'"),
            .hears(.a, from: .b),
            .does(.a, "UPDATE bill SET number = 'INV-2' WHERE id = 'x'")
        )
        .shows(Self.bills, "x=INV-2 y=INV-1").shows("SELECT info FROM bill WHERE id = 'y'", "noted").journal(),
        Scenario(
            "somebody types a suffix on purpose",
            .does(.a, "INSERT INTO bill(id, number) VALUES ('x', 'INV-1')"),
            .does(.b, "INSERT INTO bill(id, number) VALUES ('y', 'INV-1')"),
            .hears(.b, from: .a),
            .does(.b, "INSERT INTO bill(id, number) SELECT 'z', number || 'X' FROM bill WHERE id = 'y'"),
            .does(.a, "INSERT INTO bill(id, number) VALUES ('w', 'INV-1~AAA')")
        )
        .shows("SELECT number FROM bill WHERE id IN ('w', 'x') ORDER BY id", "INV-1~AAA INV-1")
        .shows("SELECT count(DISTINCT number) FROM bill", "4"),
        Scenario(
            "the suffix of a loser is given to another bill",
            .does(.a, "INSERT INTO bill(id, number) VALUES ('x', 'INV-1')"),
            .does(.b, "INSERT INTO bill(id, number) VALUES ('y', 'INV-1')"),
            .hears(.c, from: .a),
            .hears(.c, from: .b),
            .does(
                .c,
                """
                CREATE TEMP TABLE IF NOT EXISTS shown(number); DELETE FROM shown;
                INSERT INTO shown SELECT number FROM bill WHERE id = 'y'; DELETE FROM bill WHERE id = 'y';
                INSERT INTO bill(id, number) SELECT 'z', number FROM shown
                """
            ),
            .does(.b, "UPDATE bill SET info = 'by b' WHERE id = 'y'")
        )
        .shows(Self.bills, "x=INV-1 y=INV-1~????* z=INV-1~???"),
        Scenario(
            "two numbers change places",
            start: "INSERT INTO bill(id, number) VALUES ('x', 'INV-1'), ('y', 'INV-2')",
            .does(
                .a,
                """
                BEGIN; UPDATE bill SET number = NULL WHERE id = 'x'; UPDATE bill SET number = 'INV-1' WHERE id = 'y';
                UPDATE bill SET number = 'INV-2' WHERE id = 'x'; COMMIT
                """
            ),
            .does(.b, "UPDATE bill SET info = 'by b'")
        )
        .shows(Self.bills, "x=INV-2 y=INV-1").journal(),
        Scenario(
            "a number that one PC freed is taken on another",
            start: "INSERT INTO bill(id, number) VALUES ('x', 'INV-1')",
            .does(.a, "UPDATE bill SET number = 'INV-9' WHERE id = 'x'"),
            .hears(.b, from: .a),
            .does(.b, "INSERT INTO bill(id, number) VALUES ('y', 'INV-1')")
        )
        .shows(Self.bills, "x=INV-9 y=INV-1").journal(),
        Scenario(
            "replacing a row through its number kills it everywhere",
            start: "INSERT INTO bill(id, number) VALUES ('x', 'INV-1')",
            .does(.a, "INSERT OR REPLACE INTO bill(id, number) VALUES ('y', 'INV-1')"),
            .does(.b, "INSERT INTO bill(id, number) VALUES ('z', 'INV-2')")
        )
        .shows(Self.bills, "y=INV-1 z=INV-2").journal(),
        Scenario(
            "replacing a row through its number while another PC edits it",
            start: "INSERT INTO bill(id, number) VALUES ('x', 'INV-1')",
            .does(.a, "INSERT OR REPLACE INTO bill(id, number) VALUES ('y', 'INV-1')"),
            .does(.b, "UPDATE bill SET info = 'by b' WHERE id = 'x'")
        )
        .shows(Self.bills, "x=INV-1 y=INV-1~???").journal("kept bill/x*", "renamed bill/y/number*"),
        Scenario(
            "empty numbers never collide",
            .does(.a, "INSERT INTO bill(id, number) VALUES ('x', NULL)"),
            .does(.b, "INSERT INTO bill(id, number) VALUES ('y', NULL)")
        )
        .shows(Self.bills, "x=NULL y=NULL").journal(),
    ]

    static let indexes: [Scenario] = [
        Scenario(
            "names that differ in case alone",
            .does(.a, "INSERT INTO login(id, name) VALUES ('x', 'Ana')"),
            .does(.b, "INSERT INTO login(id, name) VALUES ('y', 'ANA')")
        )
        .shows("SELECT name FROM login ORDER BY id", "Ana ANA~???").journal("renamed login/y/name*"),
        Scenario(
            "a key of two columns",
            .does(.a, "INSERT INTO place(id, day, hour, who) VALUES ('x', 'mon', '9', 'a')"),
            .does(.b, "INSERT INTO place(id, day, hour, who) VALUES ('y', 'mon', '9', 'b'), ('z', 'mon', '10', 'b')")
        )
        .shows("SELECT day || hour FROM place ORDER BY id", "mon9 mon9~??? mon10").journal("renamed place/y/hour*"),
        Scenario(
            "a key of two columns of which each PC changes one",
            start: "INSERT INTO place(id, day, hour) VALUES ('x', 'mon', '9'), ('y', 'tue', '10')",
            .does(.a, "UPDATE place SET day = 'tue' WHERE id = 'x'"),
            .does(.b, "UPDATE place SET hour = '10' WHERE id = 'x'")
        )
        .shows("SELECT day || hour FROM place ORDER BY id", "tue10~??? tue10").journal("renamed place/x/hour*"),
        Scenario(
            "a partial index",
            start: "INSERT INTO ticket(id, number, status) VALUES ('w', '7', 'closed')",
            .does(.a, "INSERT INTO ticket(id, number, status) VALUES ('x', '7', 'open')"),
            .does(.b, "INSERT INTO ticket(id, number, status) VALUES ('y', '7', 'open'), ('z', '7', 'closed')")
        )
        .shows("SELECT number FROM ticket ORDER BY id", "7 7 7~??? 7").journal("renamed ticket/y/number*"),
        Scenario(
            "a row that enters and one that leaves a partial index",
            start: """
                INSERT INTO ticket(id, number, status) VALUES ('x', '7', 'open'), ('y', '7', 'closed')
                """,
            .does(.a, "UPDATE ticket SET status = 'closed' WHERE id = 'x'"),
            .does(
                .b,
                "UPDATE ticket SET number = '8' WHERE id = 'x'; UPDATE ticket SET status = 'open' WHERE id = 'y'"
            ),
            .does(.c, "INSERT INTO ticket(id, number, status) VALUES ('z', '8', 'open')")
        )
        .shows("SELECT number || status FROM ticket ORDER BY id", "8closed 7open 8open").journal(),
    ]

    static let others: [Scenario] = [
        Scenario(
            "the later of two badges has none",
            .does(.a, "INSERT INTO badge(id, holder, number) VALUES ('x', 'ana', '1')"),
            .does(.b, "INSERT INTO badge(id, holder, number) VALUES ('y', 'bea', '1')")
        )
        .shows("SELECT holder || coalesce(number, '-') FROM badge ORDER BY id", "ana1 bea-")
        .journal("cleared badge/y/number*"),
        Scenario(
            "the badge is given back",
            .does(.a, "INSERT INTO badge(id, holder, number) VALUES ('x', 'ana', '1')"),
            .does(.b, "INSERT INTO badge(id, holder, number) VALUES ('y', 'bea', '1')"),
            .hears(.a, from: .b),
            .does(.a, "UPDATE badge SET number = NULL WHERE id = 'x'")
        )
        .shows("SELECT holder || coalesce(number, '-') FROM badge ORDER BY id", "ana- bea1").journal(),
        Scenario(
            "a program writes back the missing badge that it read",
            .does(.a, "INSERT INTO badge(id, holder, number) VALUES ('x', 'ana', '1')"),
            .does(.b, "INSERT INTO badge(id, holder, number) VALUES ('y', 'bea', '1')"),
            .hears(.b, from: .a),
            .does(.b, "INSERT OR REPLACE INTO badge SELECT id, 'Bea', number FROM badge WHERE id = 'y'"),
            .hears(.a, from: .b),
            .does(.a, "DELETE FROM badge WHERE id = 'x'")
        )
        .shows("SELECT holder || coalesce(number, '-') FROM badge ORDER BY id", "Bea1").journal().replaced("ana"),
        Scenario(
            "the later of two rooms is parked",
            .does(.a, "INSERT INTO room(id, name, info) VALUES ('x', 'red', 'by a')"),
            .does(.b, "INSERT INTO room(id, name, info) VALUES ('y', 'red', 'by b')")
        )
        .shows("SELECT id FROM room", "x").journal("parked room/y*"),
        Scenario(
            "a parked room comes when the name is free",
            .does(.a, "INSERT INTO room(id, name, info) VALUES ('x', 'red', 'by a')"),
            .does(.b, "INSERT INTO room(id, name, info) VALUES ('y', 'red', 'by b')"),
            .hears(.a, from: .b),
            .does(.a, "UPDATE room SET name = 'blue' WHERE id = 'x'")
        )
        .shows("SELECT id || name || info FROM room ORDER BY id", "xblueby a yredby b").journal(),
        Scenario(
            "a room made again under the id of a parked one",
            .does(.a, "INSERT INTO room(id, name) VALUES ('x', 'red')"),
            .does(.b, "INSERT INTO room(id, name, info) VALUES ('y', 'red', 'old')"),
            .hears(.b, from: .a),
            .does(.b, "INSERT OR REPLACE INTO room(id, name) VALUES ('y', 'green')")
        )
        .shows("SELECT id || name FROM room ORDER BY id", "xred ygreen").journal().replaced("old"),
    ]

    @Test("the older claim keeps a key, the others show it with a suffix", arguments: Self.suffixes)
    func suffix(_ scenario: Scenario) throws { try ScenarioRun.check(scenario, on: TortureSchema.keys.get()) }

    @Test("every kind of unique index holds", arguments: Self.indexes)
    func index(_ scenario: Scenario) throws { try ScenarioRun.check(scenario, on: TortureSchema.keys.get()) }

    @Test("the later row shows no key, or is parked", arguments: Self.others)
    func clearOrPark(_ scenario: Scenario) throws { try ScenarioRun.check(scenario, on: TortureSchema.keys.get()) }
}
