import ClinicSchema
import ClinicSyncCore
import ClinicSyncModel
import Foundation
import GRDB
import Testing

@testable import ClinicSyncStorage

@Suite("The journal of before it was the clinic's")
struct OldJournalTests {
    /// The schema before `m0011_journal`.
    private func schemaBefore() throws -> StoreSchema {
        let text = Data(ClinicSchema.manifest.utf8)
        var manifest = try #require(try JSONSerialization.jsonObject(with: text) as? [String: Any])
        var entries = try #require(manifest["tables"] as? [String: Any])
        entries["clinicsync_conflict"] = nil
        entries["clinicsync_resolution"] = nil
        manifest["tables"] = entries
        // The present program needs what m0016 and m0017 add to open a file.
        let later = ClinicSchema.migrations.filter {
            ["m0016_log_floor", "m0017_state_transfer", "m0023_forgotten"].contains($0.name)
        }
        return StoreSchema(
            migrations: ClinicSchema.migrations.prefix(10) + later,
            manifest: String(decoding: try JSONSerialization.data(withJSONObject: manifest), as: UTF8.self)
        )
    }

    private func open(
        _ url: URL,
        _ schema: StoreSchema = .clinic,
        _ body: (ReplicaWriter, ReplicaReader) throws -> Void
    ) throws {
        let writer = try ReplicaWriter(
            database: try StoreDatabase.open(path: url.path),
            origin: Origin(node: NodeID(high: 0xC11, low: 1)),
            schema: schema,
            wallClock: { 1_800_000_000_000 }
        )
        let reader = try ReplicaReader(beside: writer)
        try body(writer, reader)
        reader.close()
        try writer.close()
    }

    @Test("its entries and what people decided about them are moved, under the ids that other nodes give them")
    func moved() throws {
        let directory = try TemporaryDirectory()
        let file = directory.file("clinic.db")
        try StoreDatabase.create(path: file.path).close()
        try self.open(file, try self.schemaBefore()) { _, _ in }
        try Program.sqlite3(file, "INSERT INTO patients(id, fullName) VALUES('p1', 'Shown');")
        try self.open(file, try self.schemaBefore()) { writer, reader in
            _ = try writer.collect(clockOffsetMilliseconds: 0)
            #expect(try reader.journal(openOnly: false).isEmpty)
        }
        let place = try Program.sqlite3(
            file,
            """
            SELECT id || ', ''p1'', ' || (SELECT key FROM json_each(columns) WHERE value = 'fullName')
            FROM clinicsync_table WHERE name = 'patients';
            """
        )
        try Program.sqlite3(
            file,
            """
            INSERT INTO clinicsync_journal VALUES (1, \(place), 'Open', 65536000, 1, 5, 1, 1, 1, 0, NULL, NULL);
            INSERT INTO clinicsync_journal VALUES (2, \(place), 'Settled', 65536000, 1, 6, 1, 1, 1, 0, 77, 'other');
            """
        )
        for _ in 0..<2 {
            try self.open(file) { writer, reader in
                let entries = try reader.journal(openOnly: false)
                #expect(Set(entries.map(\.other.value)) == [.string("Open"), .string("Settled")])
                #expect(entries.allSatisfy { $0.current?.value == .string("Shown") && $0.column == "fullName" })
                #expect(entries.allSatisfy { $0.other.timestamp.milliseconds == 1_000 })
                let open = try reader.journal(openOnly: true)
                #expect(open.map(\.other.value) == [.string("Open")])
                let decision = entries.compactMap(\.decision)
                #expect(decision == [.init(kept: .other, at: 77, node: writer.origin.node)])
                let events = try writer.collect(clockOffsetMilliseconds: 0).events
                #expect(events.allSatisfy { $0.named == nil }, "programs were told of them before")
                #expect(try writer.sweep(table: nil, clockOffsetMilliseconds: 0).escaped == 0)
            }
        }
        let left = "SELECT count(*) FROM sqlite_master WHERE name LIKE 'clinicsync_journal%';"
        #expect(try Program.sqlite3(file, left) == "0")
    }
}
