import ClinicSyncCore
import ClinicSyncModel
import ClinicSyncStorage
import ClinicSyncWire

/// Changes the frames that a member sends, knowing what their fields mean.
///
/// All decisions come from its seed and from the frames that it was given.
struct FrameMutator {
    /// Numbers at the limits of the types that a receiver may use, and at those of sums.
    static let extremes: [UInt64] = [
        0, 1, 2, 255, 65_535, 1 << 31 - 1, 1 << 31, 1 << 32 - 1, 1 << 32, 1 << 48 - 1, 1 << 53, 1 << 62 - 1, 1 << 62,
        1 << 63 - 2, 1 << 63 - 1, 1 << 63, .max - 1, .max,
    ]

    /// Texts that a terminal, a log or a parser may stumble over.
    private static let texts: [[UInt8]] = [
        Array("\u{1B}[2J\u{7}".utf8), Array("' OR 1=1 --".utf8), Array("patients".utf8), Array("clinicsync_row".utf8),
        [0], [0xFF, 0xFE], [0xED, 0xA0, 0x80], Array("A:1".utf8), Array("[::1]:99999".utf8),
    ]

    /// The messages that members may send at a wrong time, also those that no run has shown yet.
    private static let untimely: [Message] = [
        .handOver, .goodbye(.revoked), .goodbye(.duplicateIdentity), .revocation([1, 2, 3]),
        .memberProof([[1], [2, 3]]),
        .transferRequest(NodeID(high: 7, low: 7)), .syncRequest(SyncRequest(id: 1, table: nil)),
        .verifyRequest(SyncRequest(id: 1, table: "patients")),
        .verifyReport(VerifyReport(id: 1, result: .repaired, repairedRows: 3)),
        .syncReport(SyncReport(id: 1, result: .equal, repairedRows: 0, nodes: [])),
        .loginReply(LoginReply(id: 1, outcome: .granted(isProvisional: false))),
        .loginReply(LoginReply(id: 2, outcome: .conflict([]))),
        .rowStates(RowStatePage(round: 1, table: "patients", payload: [], wanted: [.string("p-A-0")], isLast: true)),
        .rowHashes(RowHashPage(round: 1, table: "patients", after: .null, through: .null, rows: [])),
        .stateRanges(StateRangePage(round: 1, table: "patients", ranges: [0, 2, 0])),
        .stateWants(StateWants(round: 1, table: "patients", ids: [1])),
        .state(.offer(StateOffer(rows: 1, bytes: 1))),
        .state(.request(StateRequest(id: 1, vector: VersionVector(), after: nil, creditBytes: .max))),
        .state(
            .page(
                StatePage(
                    id: 1,
                    vector: VersionVector(),
                    table: "patients",
                    through: nil,
                    checksum: 1,
                    payload: [1],
                    rows: 1,
                    isLast: true
                )
            )
        ),
        .state(.end(StateEnd(id: 1, vector: VersionVector(), through: VersionVector()))),
        .ping(Ping(id: .max)), .pong(Pong(id: 1, wallMilliseconds: .max)),
    ]

    /// How often each kind happened.
    private(set) var counts: [MutationKind: Int] = [:]
    private var random: SimulationRandom
    private let plan: HostilePlan
    /// Frames that the member has sent or received, the newest at the end.
    private var known: [[UInt8]] = []
    /// Contents of the member's own chunks.
    private var payloads: [[UInt8]] = []
    /// The sender's frame, by which a message without one is framed.
    private var term: UInt64 = 0

    init(_ plan: HostilePlan) {
        self.plan = plan
        self.random = SimulationRandom(seed: plan.seed ^ 0x0_40_57_11_3E)
    }

    /// Remembers a frame that was received.
    mutating func observe(_ frame: [UInt8]) { self.remember(frame) }

    /// The frames that the member sends in place of `frame`.
    mutating func frames(for frame: [UInt8]) -> [[UInt8]] {
        self.remember(frame)
        guard self.random.below(1_000) < self.plan.permille, var tree = FrameGrammar.tree(of: frame) else {
            return [frame]
        }
        self.term = tree.varint(1)
        if self.random.chance(35) { return self.traffic(frame) }
        let isForeign = self.isForeign(tree)
        // What honest people entered is left as it is: nobody could say later what it was.
        if isForeign, !self.plan.isForging { return self.random.chance(70) ? [frame] : self.traffic(frame) }
        var others: [[UInt8]] = []
        for _ in 0..<self.random.number(in: 1...3) {
            let kind = self.plan.kinds[self.random.below(self.plan.kinds.count)]
            if let more = self.apply(kind, to: &tree) {
                self.counts[kind, default: 0] += 1
                others += more
            }
        }
        var bytes = tree.bytes
        if self.random.chance(4), !isForeign {
            self.counts[.flip, default: 0] += 1
            self.flip(&bytes)
        }
        return [bytes] + others
    }

    // MARK: - Whole messages

    /// Changes what is sent when, but no message.
    private mutating func traffic(_ frame: [UInt8]) -> [[UInt8]] {
        let kind: MutationKind = [.replay, .replay, .untimely, .untimely, .storm, .withhold, .noise][
            self.random.below(7)
        ]
        self.counts[kind, default: 0] += 1
        switch kind {
        case .replay: return [frame] + (0..<self.random.number(in: 1...4)).map { _ in self.anyKnown() }
        case .untimely:
            let message = FrameMutator.untimely[self.random.below(FrameMutator.untimely.count)]
            guard var tree = FrameGrammar.tree(of: MessageCodec.encode(message, term: self.term)) else {
                return [frame]
            }
            if self.random.chance(60) { _ = self.apply(.number, to: &tree) }
            if self.random.chance(20) { _ = self.apply(.node, to: &tree) }
            return [frame, tree.bytes]
        case .storm:
            let count = self.random.chance(10) ? 1_000 : self.random.number(in: 2...60)
            return Array(repeating: frame, count: frame.count > 20_000 ? 4 : count)
        case .withhold: return []
        default:
            var bytes = (0..<self.random.number(in: 0...40)).map { _ in UInt8(truncatingIfNeeded: self.random.next()) }
            if self.random.chance(30) { bytes = Array(frame.prefix(self.random.below(frame.count + 1))) }
            return [frame, bytes]
        }
    }

    private mutating func anyKnown() -> [UInt8] {
        self.known.isEmpty ? [] : self.known[self.random.below(self.known.count)]
    }

    private mutating func remember(_ frame: [UInt8]) {
        if frame.count < 70_000 {
            self.known.append(frame)
            if self.known.count > 60 { self.known.removeFirst(20) }
        }
        guard let tree = FrameGrammar.tree(of: frame), let chunk = tree.message(6), !self.isForeign(tree) else {
            return
        }
        self.payloads.append(chunk.bytes(6))
        if self.payloads.count > 20 { self.payloads.removeFirst() }
    }

    /// Whether the frame has what others entered: a chunk of another author, or rows.
    private func isForeign(_ tree: ProtobufTree) -> Bool {
        if tree.message(10) != nil { return true }
        guard let chunk = tree.message(6) else { return false }
        return chunk.message(1)?.bytes(1) != self.plan.own
    }

    // MARK: - Parts of a message

    /// Changes a message in one way; `nil` when it has nothing to change in that way.
    ///
    /// - Returns: further frames to send after it.
    private mutating func apply(_ kind: MutationKind, to tree: inout ProtobufTree) -> [[UInt8]]? {
        switch kind {
        case .number, .numbers, .bytes, .node: return self.changeContent(kind, of: &tree) ? [] : nil
        case .remove, .duplicate, .many, .reorder, .unknown: return self.changeFields(kind, of: &tree) ? [] : nil
        case .payload, .swap, .garbage, .authors, .last: return self.changeChunk(kind, of: &tree)
        case .flip, .replay, .untimely, .storm, .withhold, .noise: return nil
        }
    }

    private mutating func changeContent(_ kind: MutationKind, of tree: inout ProtobufTree) -> Bool {
        let candidates = tree.places.filter { place in
            switch FrameGrammar.meaning(of: place.path) {
            case .number: kind == .number && !self.isProtected(place.path)
            case .numbers: kind == .numbers
            case .text: kind == .bytes
            case .bytes: kind == .bytes && !self.isProtected(place.path)
            case .node: kind == .node || kind == .bytes && !self.isProtected(place.path)
            case .nodes: kind == .node || kind == .bytes
            case .message, nil: false
            }
        }
        guard let chosen = self.random.element(of: candidates) else { return false }
        var random = self.random
        let name = self.newNode(path: chosen.path)
        tree.change(at: chosen.place[...]) { parent, index in
            let old = parent.fields[index].content
            let new =
                switch kind {
                case .node: FrameMutator.replaceNode(in: old, by: name, &random)
                case .bytes: FrameMutator.otherBytes(than: old, &random)
                case .numbers: FrameMutator.otherNumbers(than: old, &random)
                default: FrameMutator.otherNumber(than: old, &random)
                }
            parent.fields[index].content = new
        }
        self.random = random
        return true
    }

    /// Whether a field decides whose words a chunk has.
    private func isProtected(_ path: [UInt64]) -> Bool {
        // Checksums and contents of chunks change by kinds of their own.
        path == [6, 5] || path == [6, 6] || path == [6, 1, 1]
    }

    /// A node's id in place of another.
    private mutating func newNode(path: [UInt64]) -> [UInt8] {
        let isAuthor = path == [6, 1, 1] && !self.plan.isForging
        if !isAuthor, self.random.chance(60), let member = self.random.element(of: self.plan.members) { return member }
        return self.inventedNode()
    }

    private mutating func inventedNode() -> [UInt8] {
        switch self.random.below(6) {
        case 0: return Array(repeating: 0, count: 16)
        case 1: return Array(repeating: 0xFF, count: 16)
        default:
            let low = UInt64(200 + self.random.below(5_000))
            return FrameMutator.bytes(of: NodeID(high: 0xC11, low: low))
        }
    }

    /// The id's bytes in frames.
    static func bytes(of node: NodeID) -> [UInt8] {
        [node.high, node.low].flatMap { half in (0..<8).map { UInt8(truncatingIfNeeded: half >> (56 - 8 * $0)) } }
    }

    private static func replaceNode(
        in content: ProtobufTree.Content,
        by name: [UInt8],
        _ random: inout SimulationRandom
    ) -> ProtobufTree.Content {
        guard case .bytes(var bytes) = content, bytes.count > 16 else { return .bytes(name) }
        let start = 16 * random.below(bytes.count / 16)
        bytes.replaceSubrange(start..<min(start + 16, bytes.count), with: name)
        return .bytes(bytes)
    }

    private static func otherNumber(
        than content: ProtobufTree.Content,
        _ random: inout SimulationRandom
    ) -> ProtobufTree.Content {
        switch content {
        case .varint(let old): return .varint(self.otherNumber(than: old, &random))
        case .fixed64(let old): return .fixed64(self.otherNumber(than: old, &random))
        case .fixed32(let old):
            return .fixed32(UInt32(truncatingIfNeeded: self.otherNumber(than: UInt64(old), &random)))
        case .bytes, .message: return .varint(self.extremes[random.below(self.extremes.count)])
        }
    }

    static func otherNumber(than old: UInt64, _ random: inout SimulationRandom) -> UInt64 {
        switch random.below(8) {
        case 0: old &+ 1
        case 1: old &- 1
        case 2: old ^ 1 << UInt64(random.below(64))
        case 3: old &+ UInt64(random.below(1_000))
        default: self.extremes[random.below(self.extremes.count)]
        }
    }

    private static func otherNumbers(
        than content: ProtobufTree.Content,
        _ random: inout SimulationRandom
    ) -> ProtobufTree.Content {
        guard case .bytes(let bytes) = content, var numbers = ProtobufTree.packed(bytes), !numbers.isEmpty else {
            return .bytes(ProtobufTree.pack([self.extremes[random.below(self.extremes.count)]]))
        }
        let index = random.below(numbers.count)
        switch random.below(8) {
        case 0: numbers.remove(at: index)
        case 1: numbers.append(self.extremes[random.below(self.extremes.count)])
        case 2: numbers = Array(repeating: numbers[index], count: 5_000)
        default: numbers[index] = self.otherNumber(than: numbers[index], &random)
        }
        return .bytes(ProtobufTree.pack(numbers))
    }

    private static func otherBytes(
        than content: ProtobufTree.Content,
        _ random: inout SimulationRandom
    ) -> ProtobufTree.Content {
        guard case .bytes(var bytes) = content else { return .bytes([]) }
        switch random.below(8) {
        case 0: bytes = []
        case 1:
            bytes = Array(
                repeating: UInt8(ascii: "a"),
                count: random.chance(5) ? 60_000 : random.number(in: 200...5_000)
            )
        case 2: bytes += bytes
        case 3: bytes.removeLast(min(bytes.count, random.number(in: 1...16)))
        case 4...5: bytes = self.texts[random.below(self.texts.count)]
        default:
            guard !bytes.isEmpty else { return .bytes([0]) }
            bytes[random.below(bytes.count)] ^= 1 << UInt8(random.below(8))
        }
        return .bytes(bytes)
    }

    private mutating func changeFields(_ kind: MutationKind, of tree: inout ProtobufTree) -> Bool {
        let candidates = tree.places.filter { !self.isProtected($0.path) }
        guard let chosen = self.random.element(of: candidates) else { return false }
        var random = self.random
        tree.change(at: chosen.place[...]) { parent, index in
            let field = parent.fields[index]
            switch kind {
            case .remove: parent.fields.remove(at: index)
            case .duplicate: parent.fields.insert(field, at: random.below(parent.fields.count + 1))
            case .many:
                let size = FrameMutator.size(of: field)
                let count = min(random.chance(20) ? 5_000 : random.number(in: 10...300), 400_000 / max(size, 1))
                parent.fields.insert(contentsOf: Array(repeating: field, count: count), at: index)
            case .reorder: parent.fields.shuffle(using: &random)
            default:
                let number = UInt64(random.number(in: 100...10_000))
                parent.fields.append(ProtobufTree.Field(number: number, content: field.content))
            }
        }
        self.random = random
        return true
    }

    private static func size(of field: ProtobufTree.Field) -> Int {
        switch field.content {
        case .varint, .fixed64, .fixed32: 10
        case .bytes(let bytes): bytes.count + 3
        case .message(let tree): tree.bytes.count + 3
        }
    }

    private mutating func flip(_ bytes: inout [UInt8]) {
        guard !bytes.isEmpty else { return }
        bytes[self.random.below(bytes.count)] ^= 1 << UInt8(self.random.below(8))
    }

    // MARK: - Chunks

    private mutating func changeChunk(_ kind: MutationKind, of tree: inout ProtobufTree) -> [[UInt8]]? {
        guard var chunk = tree.message(6) else { return nil }
        var others: [[UInt8]] = []
        switch kind {
        case .last: chunk.set(4, .varint(1 - min(chunk.varint(4), 1)))
        case .swap:
            guard let payload = self.random.element(of: self.payloads) else { return nil }
            self.give(payload, to: &chunk)
        case .garbage:
            let count = [3, 3, 40, 2_000, self.random.chance(10) ? 300_000 : 5_000][self.random.below(5)]
            let byte = UInt8(truncatingIfNeeded: self.random.next())
            self.give(Array(repeating: byte, count: count), to: &chunk)
        case .authors:
            let count = self.random.chance(3) ? 4_200 : self.random.number(in: 2...40)
            if self.plan.isForging || count < 4_200 || self.plan.permille > 100 {
                others = self.inventedBatches(like: tree, count: count)
            }
        default:
            var payload = chunk.bytes(6)
            for _ in 0..<self.random.number(in: 1...3) { self.changeRecord(&payload) }
            self.give(payload, to: &chunk)
        }
        tree.set(6, .message(chunk))
        return others
    }

    private func give(_ payload: [UInt8], to chunk: inout ProtobufTree) {
        chunk.set(6, .bytes(payload))
        chunk.set(5, .fixed64(BatchChunk.checksum(of: payload)))
    }

    /// Small batches, each the first of an author that nobody has met.
    private mutating func inventedBatches(like tree: ProtobufTree, count: Int) -> [[UInt8]] {
        guard var chunk = tree.message(6), chunk.bytes(6).count < 4_000 else { return [] }
        return (0..<count).map { _ in
            var name = ProtobufTree(fields: [])
            name.set(1, .bytes(self.inventedNode()))
            name.set(3, .varint(1))
            chunk.set(1, .message(name))
            chunk.set(2, .varint(0))
            var other = tree
            other.set(6, .message(chunk))
            return other.bytes
        }
    }

    /// Changes a record: most of its numbers are of variable length, and its texts have their length before them.
    private mutating func changeRecord(_ bytes: inout [UInt8]) {
        guard !bytes.isEmpty else { return bytes = [1] }
        let place = self.random.below(bytes.count)
        switch self.random.below(7) {
        case 0...1: bytes[place] ^= 1 << UInt8(self.random.below(8))
        case 2: bytes.removeLast(bytes.count - place)
        case 3: bytes.insert(bytes[place], at: place)
        case 4: bytes.remove(at: place)
        default:
            var end = place
            while end < bytes.count - 1, bytes[end] & 0x80 != 0 { end += 1 }
            let number = FrameMutator.extremes[self.random.below(FrameMutator.extremes.count)]
            bytes.replaceSubrange(place...end, with: ProtobufTree.pack([number]))
        }
    }
}
