import ClinicSyncModel
import Testing

@testable import ClinicSync

@Suite("What programs ask of the events, on both endpoints") struct EventFilterTests {
    @Test("names become a filter, and unknown categories and long lists are refused with a code and a sentence")
    func reading() throws {
        let filter = try EventFilter(categories: ["billing", "user"], tables: ["payments"], users: ["u1"], since: 7)
        #expect(filter == EventFilter(categories: [.billing, .user], tables: ["payments"], users: ["u1"], since: 7))
        #expect(throws: EventFilterFault.unknownCategory("bills")) {
            try EventFilter(categories: ["bills"], tables: [], users: [], since: nil)
        }
        let most = (0..<EventFilter.namesMax).map { "t\($0)" }
        #expect(try EventFilter(categories: [], tables: most, users: [], since: nil).tables.count == most.count)
        #expect(throws: EventFilterFault.tooMany) {
            try EventFilter(categories: [], tables: [], users: most + ["one more"], since: nil)
        }
        #expect(EventFilterFault.tooMany.code == "too_many")
        #expect(EventFilterFault.unknownCategory("x").code == "unknown_category")
        #expect(EventFilterFault.unknownCategory("x").message.contains("billing"))
    }

    @Test("a user's key is compared by its bytes: texts that differ in normalisation are two users")
    func normalisation() throws {
        let filter = try EventFilter(categories: [], tables: [], users: ["ren\u{E9}", "rene\u{301}x"], since: nil)
        func matches(_ user: SQLiteValue) -> Bool {
            let change = ChangeEvent(
                category: .user,
                table: "users",
                operation: .update,
                recordID: user,
                columns: [],
                rows: 1,
                timestamp: HybridTimestamp(milliseconds: 5),
                isLocal: true,
                batch: nil,
                userID: user
            )
            return filter.matches(NodeEvent(change, position: 1))
        }
        #expect(matches("ren\u{E9}") && matches("rene\u{301}x"))
        #expect(!matches("rene\u{301}") && !matches("ren\u{E9}x"))
    }

    @Test("a message over /ws and a query are told the same")
    func sentences() throws {
        let message = Array(#"{"type":"subscribe","categories":["bills"]}"#.utf8)
        let error = #expect(throws: EventSocketError.self) { try EventSocketRequest(message) }
        #expect(error?.message == EventFilterFault.unknownCategory("bills").message)
        #expect(error?.code == "unknown_category")
    }
}
