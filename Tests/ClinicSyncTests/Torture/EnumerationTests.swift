import GRDB
import Testing

/// The proof by enumeration: all actions of two and three PCs on one row at the same time.
///
/// `ScenarioRun` checks each law: every order of delivery (commutative), states merged in every grouping
/// (associative), every delivery repeated (idempotent), all PCs equal, and no value lost.
@Suite("Proof by enumeration")
struct EnumerationTests {
    @Test("every pair of concurrent operations obeys the laws")
    func pairs() throws {
        try self.prove(Collision.scenario("pairs", Collision.pairs, pcs: [.a, .b]), Collision.pairs)
    }

    @Test("triples of concurrent operations obey the laws")
    func triples() throws {
        let triples = Collision.triples(stride: 11)
        #expect(triples.count > 300)
        try self.prove(Collision.scenario("triples", triples, pcs: [.a, .b, .c]), triples)
    }

    private func prove(_ scenario: Scenario, _ collisions: [Collision]) throws {
        let store = try ScenarioRun.outcome(scenario, on: Operation.template.get())
        let counts = try store.queue.read { db in
            try Row.fetchAll(db, sql: "SELECT id, n FROM thing").reduce(into: [String: Int]()) {
                $0[$1["id"]] = $1["n"]
            }
        }
        for collision in collisions {
            let count = counts[collision.name]
            #expect((count != nil) == collision.mustRemain, "\(collision.name): the thing is there or not")
            if let expected = collision.count { #expect(count == expected, "\(collision.name): the counter") }
        }
    }
}
