import ClinicSyncCore
import ClinicSyncModel
import Foundation
import Testing

@testable import ClinicSyncStorage

/// The examples in docs/PROTOCOL.md.
///
/// A second implementation made them from the text alone.
@Suite("The record format, as docs/PROTOCOL.md describes it")
struct RecordFormatTests {
    private static let key = SQLiteValue.string("p1")
    private static let base = HybridTimestamp(milliseconds: 1_795_000_000_000)

    @Test("the documented chunk reads as an insertion, an update and a deletion")
    func chunk() throws {
        let payload = try RecordFormatTests.example(in: "## Chunk payload")
        let checksum = payload.withUnsafeBytes { SipHash.hash64($0) }
        #expect(try RecordFormatTests.document().contains("`\(String(checksum, radix: 16))`"))
        let changes = try RecordFormatTests.changes(in: payload)
        let plan = try #require(try TestStore(1).writer.plans["patients"])
        let name = try #require(plan.slot(of: "fullName"))
        let senior = try #require(plan.slot(of: "isSeniorCitizen"))
        #expect(
            changes == [
                .init(kind: .insert, later: 0, values: [name: .string("Ana"), senior: .integer(1)]),
                .init(kind: .update, later: 1, values: [name: .null]),
                .init(kind: .delete, later: 2, values: [:]),
            ]
        )
    }

    @Test("changes of a table that is not known are passed over with their columns")
    func unknownTable() throws {
        var bytes = ByteWriter()
        bytes.raw([1, 2])
        for (table, columns) in [("rooms", ["floor", "beds"]), ("patients", ["fullName"])] {
            bytes.string(table)
            bytes.unsigned(UInt64(columns.count))
            for column in columns { bytes.string(column) }
        }
        bytes.raw([0, 1, 3, 1, 0x31, 0, 3, 1, 2, 0])
        bytes.raw([1, 2, 3, 2, 0x70, 0x31, 0, 1, 3, 3, 0x41, 0x6E, 0x61])
        let changes = try RecordFormatTests.changes(in: bytes.bytes)
        let name = try #require(try TestStore(1).writer.plans["patients"]?.slot(of: "fullName"))
        #expect(changes == [.init(kind: .update, later: 0, values: [name: .string("Ana")])])
    }

    @Test("a change says what it replaced, and stamps can be rewritten without touching that")
    func replaced() throws {
        let plans = try TestStore(1).writer.plans
        let plan = try #require(plans["patients"])
        let (name, address) = (try #require(plan.slot(of: "fullName")), try #require(plan.slot(of: "address")))
        let slots = UInt64(1) << UInt64(name) | UInt64(1) << UInt64(address)
        var writer = ChangeChunkWriter(base: RecordFormatTests.base)
        let stamp = RecordFormatTests.base.successor
        for replaced in [[address: 7, name: 8], [:]] as [[Int: UInt32]] {
            ValueRef.with(RecordFormatTests.key) { key in
                writer.append(.update, plan: plan, key: key, timestamp: stamp, slots: slots, replaced: replaced) {
                    .integer(Int64($0))
                }
            }
        }
        let payload = writer.payload()
        #expect(
            try RecordFormatTests.replaced(in: payload, base: RecordFormatTests.base) == [[address: 7, name: 8], [:]]
        )
        let later = HybridTimestamp(milliseconds: 1_900_000_000_000)
        var count = 0
        let rewritten = try payload.withUnsafeBytes { bytes in
            try ChunkRestamper.rewrite(bytes, base: RecordFormatTests.base, newBase: later) { _ in
                count += 1
                return later
            }
        }
        #expect(count == 2)
        #expect(try RecordFormatTests.replaced(in: rewritten, base: later) == [[address: 7, name: 8], [:]])
        // The note of replaced values is cut off, or a deletion follows it.
        let values: [UInt8] = [1, 1, 8] + Array("patients".utf8) + [1, 8] + Array("fullName".utf8)
        for body in [[0, 4, 1, 7, 0, 0, 0], [0, 4, 1, 7, 0, 0, 0, 0, 3, 3, 1, 0x31, 0], [0, 4, 1, 7, 0]] as [[UInt8]] {
            #expect(throws: MalformedRecord.self) {
                try RecordFormatTests.replaced(in: values + body, base: RecordFormatTests.base)
            }
        }
    }

    @Test("the documented row states read as a row that survived its deletion, and are written alike")
    func rowStates() throws {
        let payload = try RecordFormatTests.example(in: "## Row states")
        let plan = try #require(try TestStore(1).writer.plans["patients"])
        let author = Origin(node: MessageSamples.node)
        let birth = Version(timestamp: RecordFormatTests.base, origin: author, sequence: 300)
        let edit = Version(
            timestamp: HybridTimestamp(milliseconds: RecordFormatTests.base.milliseconds + 1),
            origin: Origin(node: MessageSamples.other, incarnation: 2),
            sequence: 7
        )
        let deletion = Version(
            timestamp: HybridTimestamp(milliseconds: RecordFormatTests.base.milliseconds + 2),
            origin: author,
            sequence: 301
        )
        var expected = RowState(
            key: RecordFormatTests.key,
            birth: birth,
            registers: Array(repeating: nil, count: plan.slotCount)
        )
        let slot = try #require(plan.slot(of: "fullName"))
        expected.registers[slot] = RowState.Register(value: .string("Ana"), version: edit)
        expected.deletion = RowState.Deletion(
            seen: VersionVector([.init(origin: author, sequence: 301)]),
            version: deletion
        )
        #expect(try RecordFormatTests.states(in: payload, plan: plan) == [expected])
        var writer = RowStateWriter(plan)
        writer.append(expected)
        #expect(try RecordFormatTests.states(in: writer.payload(), plan: plan) == [expected])
    }

    @Test("a row has the documented hash, whatever its columns' order and its NULLs")
    func rowHash() throws {
        let store = try TestStore(1)
        try store.sql("INSERT INTO patients(id, fullName, isSeniorCitizen) VALUES('p1', 'Ana', 1)")
        try store.collect()
        let tables = try store.reader.digests().tables
        let digest = try #require(tables.first { $0.name == "patients" }?.digest)
        #expect(try RecordFormatTests.document().contains("`\(digest)`"))
    }

    // MARK: - Reading

    /// A change in the form that the test compares: the stamp as milliseconds after the batch's, values by slot.
    private struct Change: Equatable {
        var kind: ChangeKind
        var later: Int64
        var values: [Int: SQLiteValue]
    }

    /// The changes of known tables, all of which must be of the key p1.
    private static func changes(in payload: [UInt8]) throws -> [Change] {
        let plans = try TestStore(1).writer.plans
        return try payload.withUnsafeBytes { bytes in
            var reader = try ChangeChunkReader(bytes, base: self.base, plans: plans)
            var changes: [Change] = []
            while let change = try reader.next() {
                guard change.plan != nil else { continue }
                #expect(change.key.value == self.key)
                changes.append(
                    Change(
                        kind: change.kind,
                        later: change.timestamp.milliseconds - self.base.milliseconds,
                        values: Dictionary(
                            uniqueKeysWithValues: change.named.setBits.map { ($0, reader.values[$0].value) }
                        )
                    )
                )
            }
            return changes
        }
    }

    @discardableResult
    private static func replaced(in payload: [UInt8], base: HybridTimestamp) throws -> [[Int: UInt32]] {
        let plans = try TestStore(1).writer.plans
        return try payload.withUnsafeBytes { bytes in
            var reader = try ChangeChunkReader(bytes, base: base, plans: plans)
            var replaced: [[Int: UInt32]] = []
            while let change = try reader.next() { replaced.append(change.replaced) }
            return replaced
        }
    }

    private static func states(in payload: [UInt8], plan: TablePlan) throws -> [RowState] {
        try payload.withUnsafeBytes { bytes in
            var reader = try RowStateReader(bytes, plan: plan)
            var states: [RowState] = []
            while let state = try reader.next() { states.append(state) }
            return states
        }
    }

    /// The bytes of a section's code block that begins with ```` ```hex ````.
    ///
    /// Text after a semicolon is a remark.
    private static func example(in section: String) throws -> [UInt8] {
        let text = try self.document()
        let rest = text.split(separator: "\n" + section + "\n", maxSplits: 1)
        try #require(rest.count == 2)
        let block = try #require(rest[1].split(separator: "```hex\n", maxSplits: 1).last)
        let lines = block.split(separator: "\n").prefix { !$0.hasPrefix("```") }
        return Hex.bytes(lines.map { $0.prefix { $0 != ";" } }.joined())
    }

    private static func document() throws -> String {
        let path = #filePath.split(separator: "/").dropLast(4).map { "/" + $0 }.joined() + "/docs/PROTOCOL.md"
        return String(decoding: try Data(contentsOf: URL(filePath: path)), as: UTF8.self)
    }
}
