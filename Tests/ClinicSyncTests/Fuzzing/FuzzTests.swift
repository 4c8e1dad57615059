import ClinicSyncFuzzing
import Foundation
import Testing

@Suite("Mutated input for every decoder")
struct FuzzTests {
    /// Inputs for each target; together more than 100 000.
    ///
    /// Decoders that parse text or certificates cost more for each input and have fewer paths.
    private static func count(_ target: FuzzTarget) -> Int {
        switch target {
        case .frame, .changeChunk, .rowStates: 14_000
        case .enrollment, .storedState, .vector, .header, .registers, .columns, .value, .ranges: 9_000
        case .configuration, .identity, .invitations, .apiAddress, .joinCode, .address, .announcement: 3_000
        case .authority, .grant, .revocation, .certificateRequest, .nodeStatement, .nameStatement: 1_500
        }
    }

    /// How much the process may grow while it decodes 8 KiB at a time.
    ///
    /// This includes the corpora, the test's own records, and the allocator's slack.
    private static let growthMax = 48 << 20

    @Test("there are more than 100 000 of them")
    func enough() {
        #expect(FuzzTarget.allCases.map(Self.count).reduce(0, +) >= 100_000)
    }

    @Test("a decoder refuses, or keeps what it promises, and takes little memory", arguments: FuzzTarget.allCases)
    func mutated(target: FuzzTarget) throws {
        let subject = try target.subject()
        #expect(!subject.corpus.isEmpty)
        let count = Self.count(target)
        let before = try PeakMemory.restart()
        let summary = try FuzzRun(seed: 0xC11_0C5, count: count).run(subject)
        let growth = try PeakMemory.bytes() - before
        // If all or no inputs were accepted, the run would prove nothing. Where a signature protects everything, the
        // corpus was accepted.
        #expect(summary.accepted + summary.refused == count)
        #expect(summary.refused > count / 500, "\(summary)")
        #expect(target.isSigned || summary.accepted > count / 500, "\(summary)")
        #expect(growth < Self.growthMax, "\(target) took \(growth) bytes")
    }

    @Test("a run depends on its seed alone")
    func deterministic() {
        let corpus = [[UInt8](0..<40), [1, 2, 3]]
        func inputs(_ seed: UInt64) -> [[UInt8]] {
            var mutator = FuzzMutator(seed: seed)
            return (0..<200).map { _ in mutator.next(corpus) }
        }
        #expect(inputs(1) == inputs(1))
        #expect(inputs(1) != inputs(2))
        #expect(Set(inputs(1)).count > 150)
        #expect(inputs(3).allSatisfy { $0.count <= FuzzRun.inputBytesMax })
    }

    @Test("a decoder with a mistake is found out", arguments: Mistake.allCases)
    func planted(mistake: Mistake) {
        let finding = #expect(throws: FuzzRun.Finding.self) {
            try FuzzRun(seed: 5, count: 20_000).run(mistake.subject)
        }
        #expect(finding?.description.contains("seed 5") == true)
    }

    @Test("the same decoder without the mistake is not")
    func honest() throws {
        let summary = try FuzzRun(seed: 5, count: 20_000).run(Mistake.honest)
        #expect(summary.accepted > 0 && summary.refused > 0)
    }
}

/// Typical mistakes, planted into a small decoder: a length and as many bytes, none above a limit.
enum Mistake: CaseIterable, Sendable {
    case believesLength, ignoresRest, forgetsLimit, refusesGood, readsOtherwise

    private static let limit: UInt8 = 0x60

    static let honest = Mistake.subject(with: nil)

    var subject: FuzzSubject { Mistake.subject(with: self) }

    private static func subject(with mistake: Mistake?) -> FuzzSubject {
        let name = mistake.map { "\($0)" } ?? "honest"
        return FuzzSubject(name: name, corpus: [Self.encode([1, 2, 3]), Self.encode([])]) {
            (bytes: [UInt8]) throws(FuzzFailure) -> Bool in
            guard let decoded = Mistake.decode(bytes, mistake) else { return false }
            guard decoded.allSatisfy({ $0 <= Mistake.limit }) else { throw FuzzFailure("beyond the limit") }
            let again = Mistake.decode(Mistake.encode(decoded), mistake)
            guard again == decoded else { throw FuzzFailure("no round trip") }
            guard Mistake.encode(decoded) == bytes else { throw FuzzFailure("two forms of the same") }
            return true
        }
    }

    private static func encode(_ body: [UInt8]) -> [UInt8] { [UInt8(truncatingIfNeeded: body.count)] + body }

    private static func decode(_ bytes: [UInt8], _ mistake: Mistake?) -> [UInt8]? {
        guard let length = bytes.first, !(mistake == .refusesGood && length == 0) else { return nil }
        var body = Array(bytes.dropFirst())
        guard body.count == Int(length) || mistake == .believesLength || mistake == .ignoresRest else { return nil }
        if mistake == .ignoresRest { body = Array(body.prefix(Int(length))) }
        guard mistake == .forgetsLimit || body.allSatisfy({ $0 <= Mistake.limit }) else { return nil }
        if mistake == .readsOtherwise, body.first == 0x20 { body[0] = 0x1F }
        return body
    }
}

/// The largest size this process had, from Linux.
private enum PeakMemory {
    /// Resets the peak, so that later growth is visible, and returns the present size.
    static func restart() throws -> Int {
        // Writing 5 resets the peak (proc(5)). getrusage cannot reset it, and other tests ran before.
        try Data("5".utf8).write(to: URL(filePath: "/proc/self/clear_refs"))
        return try self.bytes()
    }

    static func bytes() throws -> Int {
        let status = try String(contentsOf: URL(filePath: "/proc/self/status"), encoding: .utf8)
        let line = try #require(status.split(separator: "\n").first { $0.hasPrefix("VmHWM:") })
        return try #require(line.split(separator: " ").dropFirst().first.flatMap { Int($0) }) << 10
    }
}
