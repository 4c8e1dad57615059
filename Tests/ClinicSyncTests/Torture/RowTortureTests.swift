import Testing

@Suite("Torture: columns, deletions, counters and checks")
struct RowTortureTests {
    private static let note = "INSERT INTO note(id, title, body, n) VALUES ('x', 'title', 'body', 10)"
    private static let queue = "INSERT INTO entry(id, status, doctor) VALUES ('q', 'waiting', 'Lim')"
    private static let span = "INSERT INTO span(id, low, high, info) VALUES ('s', 10, 20, 'info')"

    static let columns: [Scenario] = [
        Scenario(
            "edits of different columns",
            start: Self.note,
            .does(.a, "UPDATE note SET title = 'title a'"),
            .does(.b, "UPDATE note SET body = 'body b'")
        )
        .shows("SELECT title || '/' || body FROM note", "title a/body b").journal(),
        Scenario(
            "edits of one column",
            start: Self.note,
            .does(.a, "UPDATE note SET title = 'title a'"),
            .does(.b, "UPDATE note SET title = 'title b'")
        )
        .shows("SELECT title FROM note", "title b").journal("value note/x/title=title a"),
        Scenario(
            "edits of one column on three PCs",
            start: Self.note,
            .does(.a, "UPDATE note SET title = 'title a'"),
            .does(.b, "UPDATE note SET title = 'title b'"),
            .does(.c, "UPDATE note SET title = 'title c'")
        )
        .shows("SELECT title FROM note", "title c")
        .journal("value note/x/title=title a", "value note/x/title=title b"),
        Scenario(
            "an edit by somebody who saw one of two others",
            start: Self.note,
            .does(.a, "UPDATE note SET title = 'title a'"),
            .does(.c, "UPDATE note SET title = 'title c'"),
            .hears(.b, from: .a),
            .does(.b, "UPDATE note SET title = 'title b'")
        )
        .shows("SELECT title FROM note", "title b").journal("value note/x/title=title c").replaced("title a"),
        Scenario(
            "an edit by somebody who saw both of two others settles the matter",
            start: Self.note,
            .does(.a, "UPDATE note SET title = 'title a'"),
            .does(.b, "UPDATE note SET title = 'title b'"),
            .hears(.a, from: .b),
            .does(.a, "UPDATE note SET title = 'title a2'")
        )
        .shows("SELECT title FROM note", "title a2").journal("value note/x/title=title a").replaced("title b"),
        Scenario(
            "the same edit on two PCs",
            start: Self.note,
            .does(.a, "UPDATE note SET title = 'same'"),
            .does(.b, "UPDATE note SET title = 'same'")
        )
        .shows("SELECT title FROM note", "same").journal(),
        Scenario(
            "edits one after the other",
            start: Self.note,
            .does(.a, "UPDATE note SET title = 'title a'"),
            .hears(.b, from: .a),
            .does(.b, "UPDATE note SET title = 'title b'"),
            .hears(.a, from: .b),
            .does(.a, "UPDATE note SET title = 'title c'")
        )
        .shows("SELECT title FROM note", "title c").journal().replaced("title a", "title b"),
        Scenario(
            "upserts of all columns, each changing another",
            start: Self.note,
            .does(
                .a,
                """
                INSERT INTO note(id, title, body, n) VALUES ('x', 'title a', 'body', 10)
                ON CONFLICT (id) DO UPDATE SET title = excluded.title, body = excluded.body, n = excluded.n
                """
            ),
            .does(.b, "INSERT OR REPLACE INTO note(id, title, body, n) VALUES ('x', 'title', 'body b', 10)")
        )
        .shows("SELECT title || '/' || body || '/' || n FROM note", "title a/body b/10").journal(),
        Scenario(
            "one row made under one id on two PCs",
            .does(.a, "INSERT INTO note(id, title) VALUES ('x', 'title a')"),
            .does(.b, "INSERT INTO note(id, title, body) VALUES ('x', 'title b', 'body b')")
        )
        .shows("SELECT title || '/' || body FROM note", "title b/body b")
        .journal("value note/x/title=title a", "value note/x/body"),
        Scenario(
            "rows of an append-only table",
            .does(.a, "INSERT INTO line(id, text) VALUES ('a', 'by a')"),
            .does(.b, "INSERT INTO line(id, text) VALUES ('b', 'by b')"),
            .does(.c, "INSERT INTO line(id, text) VALUES ('c', 'by c')")
        )
        .shows("SELECT text FROM line ORDER BY id", "by a by b by c").journal(),
    ]

    static let deletions: [Scenario] = [
        Scenario(
            "a deletion and an edit",
            start: Self.note,
            .does(.a, "DELETE FROM note"),
            .does(.b, "UPDATE note SET title = 'title b'")
        )
        .shows("SELECT title || '/' || body || '/' || n FROM note", "title b/body/10").journal("kept note/x*"),
        Scenario(
            "an edit and a later deletion",
            start: Self.note,
            .does(.b, "UPDATE note SET title = 'title b'"),
            .does(.a, "DELETE FROM note")
        )
        .shows("SELECT title || '/' || body FROM note", "title b/body").journal("kept note/x*"),
        Scenario(
            "two deletions",
            start: Self.note,
            .does(.a, "DELETE FROM note"),
            .does(.b, "DELETE FROM note")
        )
        .shows("SELECT count(*) FROM note", "0").journal(),
        Scenario(
            "a deletion by somebody who saw the edit",
            start: Self.note,
            .does(.b, "UPDATE note SET title = 'title b'"),
            .hears(.a, from: .b),
            .does(.a, "DELETE FROM note")
        )
        .shows("SELECT count(*) FROM note", "0").journal().replaced("title b"),
        Scenario(
            "two edits and a deletion by somebody who saw one of them",
            start: Self.note,
            .does(.b, "UPDATE note SET title = 'title b'"),
            .does(.c, "UPDATE note SET body = 'body c'"),
            .hears(.a, from: .b),
            .does(.a, "DELETE FROM note")
        )
        .shows("SELECT body FROM note", "body c").journal("kept note/x*").replaced("title b"),
        Scenario(
            "a row deleted and made again while another PC edits it",
            start: Self.note,
            .does(.a, "DELETE FROM note"),
            .does(.a, "INSERT INTO note(id, title) VALUES ('x', 'new')"),
            .does(.b, "UPDATE note SET body = 'body b'")
        )
        .shows("SELECT title || '/' || body FROM note", "new/body b"),
        Scenario(
            "a row deleted and made again under one id on two PCs",
            start: Self.note,
            .does(.a, "DELETE FROM note"),
            .does(.b, "DELETE FROM note"),
            .does(.a, "INSERT INTO note(id, title) VALUES ('x', 'new a')"),
            .does(.b, "INSERT INTO note(id, title) VALUES ('x', 'new b')")
        )
        .shows("SELECT title || '/' || coalesce(body, '-') FROM note", "new b/-").journal("value note/x/title=new a"),
        Scenario(
            "a row deleted on one PC, and deleted and made again on another",
            start: Self.note,
            .does(.b, "DELETE FROM note; INSERT INTO note(id, title) VALUES ('x', 'new b')"),
            .does(.a, "DELETE FROM note")
        )
        .shows("SELECT title FROM note", "new b"),
        Scenario(
            "a changed key and an edit",
            start: Self.note,
            .does(.a, "UPDATE note SET id = 'y'"),
            .does(.b, "UPDATE note SET title = 'title b'")
        )
        .shows("SELECT id || ' ' || title FROM note ORDER BY id", "x title b y title").journal("kept note/x*"),
        Scenario(
            "two changes of one key",
            start: Self.note,
            .does(.a, "UPDATE note SET id = 'y'"),
            .does(.b, "UPDATE note SET id = 'z'")
        )
        .shows("SELECT id FROM note ORDER BY id", "y z").journal(),
        Scenario(
            "a deletion and an edit where deletions win",
            start: Self.queue,
            .does(.a, "DELETE FROM entry"),
            .does(.b, "UPDATE entry SET status = 'served'")
        )
        .shows("SELECT count(*) FROM entry", "0").journal("overruled entry/q/status=served"),
        Scenario(
            "a row made again after it was deleted where deletions win",
            start: Self.queue,
            .does(.a, "DELETE FROM entry"),
            .does(.b, "UPDATE entry SET doctor = 'Tan'"),
            .hears(.c, from: .a),
            .does(.c, "INSERT INTO entry(id, status) VALUES ('q', 'again')")
        )
        .shows("SELECT status FROM entry", "again"),
        Scenario(
            "the end of the day and a move in the queue",
            start: """
                INSERT INTO entry(id, status) VALUES ('q1', 'done'), ('q2', 'waiting'), ('q3', 'waiting')
                """,
            .does(.a, "DELETE FROM entry"),
            .does(.b, "UPDATE entry SET status = 'in_progress', doctor = 'Lim' WHERE id = 'q2'"),
            .does(.b, "INSERT INTO entry(id, status) VALUES ('q4', 'late')")
        )
        .shows("SELECT id || ' ' || status FROM entry", "q4 late")
        .journal("overruled entry/q2/status=in_progress", "overruled entry/q2/doctor=Lim"),
    ]

    static let heard: [Scenario] = [
        Scenario(
            "an edit of a value that another PC had seen and beaten",
            start: Self.note,
            .does(.a, "UPDATE note SET title = 'a1'"),
            .does(.b, "UPDATE note SET title = 'b1'"),
            .hears(.b, from: .a),
            .does(.a, "UPDATE note SET title = 'a2'"),
            .does(.b, "UPDATE note SET body = 'b2'")
        )
        .shows("SELECT title || ' ' || body FROM note", "a2 b2").journal("value note/x/title=b1").replaced("a1")
    ]

    static let counters: [Scenario] = [
        Scenario(
            "sales of one item on two PCs",
            start: Self.note,
            .does(.a, "UPDATE note SET n = n - 3"),
            .does(.b, "UPDATE note SET n = n - 4")
        )
        .shows("SELECT n FROM note", "3").journal(),
        Scenario(
            "increments on three PCs in several batches",
            start: Self.note,
            .does(.a, "UPDATE note SET n = n + 1"),
            .does(.b, "UPDATE note SET n = n + 10"),
            .does(.a, "UPDATE note SET n = n + 100"),
            .does(.c, "UPDATE note SET n = n + 1000")
        )
        .shows("SELECT n FROM note", "1121").journal(),
        Scenario(
            "a reset and an increment",
            start: Self.note,
            .does(.a, "UPDATE note SET n = 0"),
            .does(.b, "UPDATE note SET n = n + 5")
        )
        .shows("SELECT n FROM note", "5").journal(),
        Scenario(
            "two resets and an increment",
            start: Self.note,
            .does(.a, "UPDATE note SET n = 0"),
            .does(.b, "UPDATE note SET n = 0"),
            .does(.c, "UPDATE note SET n = n + 5")
        )
        .shows("SELECT n FROM note", "5").journal(),
        Scenario(
            "a migration that changes the row's key on two PCs",
            start: Self.note,
            .does(.a, "UPDATE note SET id = 'new-' || id"),
            .does(.b, "UPDATE note SET id = 'new-' || id"),
            .does(.b, "UPDATE note SET n = n + 1")
        )
        .shows("SELECT id || ' ' || n FROM note", "new-x 11").journal(),
        Scenario(
            "a row that a migration inserts on two PCs",
            .does(.a, "INSERT OR IGNORE INTO note(id, title, n) VALUES ('x', 'title', 5)"),
            .does(.b, "INSERT OR IGNORE INTO note(id, title, n) VALUES ('x', 'title', 5)"),
            .does(.a, "UPDATE note SET n = n + 1"),
            .does(.b, "UPDATE note SET n = n + 2")
        )
        .shows("SELECT n FROM note", "8").journal(),
        Scenario(
            "a row inserted on two PCs with two values",
            .does(.a, "INSERT INTO note(id, title, n) VALUES ('x', 'title', 5)"),
            .does(.b, "INSERT INTO note(id, title, n) VALUES ('x', 'title', 6)"),
            .does(.a, "UPDATE note SET n = n + 1")
        )
        .shows("SELECT n FROM note", "7").journal("value note/x/n=5*"),
        Scenario(
            "a replaced row and an increment",
            start: Self.note,
            .does(.a, "INSERT OR REPLACE INTO note(id, title, body, n) VALUES ('x', 'title', 'body', 12)"),
            .does(.b, "UPDATE note SET n = n + 5")
        )
        .shows("SELECT n FROM note", "17").journal(),
        Scenario(
            "a deletion and an increment",
            start: Self.note,
            .does(.a, "DELETE FROM note"),
            .does(.b, "UPDATE note SET n = n + 5")
        )
        .shows("SELECT n FROM note", "15").journal("kept note/x*"),
        Scenario(
            "a row deleted and made again counts from its new start",
            start: Self.note,
            .does(.a, "DELETE FROM note"),
            .does(.a, "INSERT INTO note(id, title, n) VALUES ('x', 'again', 1)"),
            .hears(.b, from: .a),
            .does(.a, "UPDATE note SET n = n + 1"),
            .does(.b, "UPDATE note SET n = n + 2")
        )
        .shows("SELECT n FROM note", "4").journal(),
        Scenario(
            "a row made again and an increment of what it was",
            start: Self.note,
            .does(.a, "DELETE FROM note"),
            .does(.a, "INSERT INTO note(id, title, n) VALUES ('x', 'again', 1)"),
            .does(.b, "UPDATE note SET n = n + 5")
        )
        .shows("SELECT n FROM note", "6"),
    ]

    static let checks: [Scenario] = [
        Scenario(
            "two edits that are valid each and not together",
            start: Self.span,
            .does(.a, "UPDATE span SET low = 18"),
            .does(.b, "UPDATE span SET high = 12")
        )
        .shows("SELECT low || '-' || high || ' ' || info FROM span", "10-12 info")
        .journal("value span/s/low=18", "value span/s/high=20"),
        Scenario(
            "two edits that are valid together as well",
            start: Self.span,
            .does(.a, "UPDATE span SET low = 11"),
            .does(.b, "UPDATE span SET high = 19, info = 'b'")
        )
        .shows("SELECT low <= high AND info = 'b' FROM span", "1"),
        Scenario(
            "three edits of the columns of a CHECK",
            start: Self.span,
            .does(.a, "UPDATE span SET low = 18"),
            .does(.b, "UPDATE span SET high = 12"),
            .does(.c, "UPDATE span SET low = 1, high = 2")
        )
        .shows("SELECT low || '-' || high FROM span", "1-2"),
        Scenario(
            "a deletion and an edit of one column of a CHECK",
            start: Self.span,
            .does(.a, "DELETE FROM span"),
            .does(.b, "UPDATE span SET high = 12")
        )
        .shows("SELECT low || '-' || high FROM span", "10-12").journal("kept span/s*"),
        Scenario(
            "a row kept alive has its NOT NULL columns",
            start: "INSERT INTO label(id, text, info) VALUES ('l', 'text', 'info')",
            .does(.a, "DELETE FROM label"),
            .does(.b, "UPDATE label SET info = 'info b'")
        )
        .shows("SELECT text || '/' || info FROM label", "text/info b").journal("kept label/l*"),
        Scenario(
            "a row made again without what it had, and an edit of the old one",
            start: "INSERT INTO label(id, text, info) VALUES ('l', 'text', 'info')",
            .does(.a, "DELETE FROM label"),
            .does(.a, "INSERT INTO label(id, text) VALUES ('l', 'again')"),
            .does(.b, "UPDATE label SET text = 'text b'")
        )
        .shows("SELECT text FROM label", "text b").journal("value label/l/text=again*"),
    ]

    @Test("columns merge", arguments: Self.columns)
    func columnsMerge(_ scenario: Scenario) throws { try self.run(scenario) }

    @Test("deletions take what their author saw", arguments: Self.deletions)
    func deletionsMerge(_ scenario: Scenario) throws { try self.run(scenario) }

    @Test("a value that its author replaced is in no journal, whatever came first", arguments: Self.heard)
    func replacedMerge(_ scenario: Scenario) throws { try self.run(scenario) }

    @Test("counters add up", arguments: Self.counters)
    func countersMerge(_ scenario: Scenario) throws { try self.run(scenario) }

    @Test("no merge breaks a CHECK or a NOT NULL", arguments: Self.checks)
    func checksMerge(_ scenario: Scenario) throws { try self.run(scenario) }

    private func run(_ scenario: Scenario) throws { try ScenarioRun.check(scenario, on: TortureSchema.rows.get()) }
}
