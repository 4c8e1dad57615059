import ClinicSyncModel

/// Finds the differences of two sets of items by comparing ranges of them, in few and small messages.
///
/// Range-based set reconciliation (Meyer, "Range-Based Set Reconciliation", 2022) as in Negentropy's protocol v1: both sides order
/// their items by stamp and id. A message is a list of ranges that follow one another: skipped, with a fingerprint, or with the ids
/// of all items. A range whose fingerprints differ is split into 16; a range of fewer than 32 items is sent as ids. The answering
/// side keeps nothing between messages. `docs/design/0023-reconciliation.md` says where the format differs from Negentropy's.
struct RangeReconciliation {
    /// An item of the set.
    struct Item: Comparable {
        /// When the item was last changed.
        let stamp: UInt64
        /// The hash that names it.
        let hash: Digest

        /// The part of the hash that messages have.
        var id: UInt64 { self.hash.low }

        static func < (left: Item, right: Item) -> Bool {
            if left.stamp != right.stamp { return left.stamp < right.stamp }
            if left.hash.high != right.hash.high { return left.hash.high < right.hash.high }
            return left.hash.low < right.hash.low
        }
    }

    /// What the asking side learned of an answer.
    struct Step: Equatable {
        /// The next message; `nil` when everything is compared, or when the message would be too long.
        var next: [UInt8]?
        /// Ids of items that only this side has.
        var have: [UInt64] = []
        /// Ids of items that only the other side has.
        var need: [UInt64] = []
        /// Whether the differences are too many for messages of ranges.
        var isTooLong = false
    }

    /// A range with at least this many items is split, not listed.
    private static let listedMax = 32
    /// A range is split into this many.
    private static let buckets = 16

    /// All items, in their order.
    let items: [Item]
    /// The largest message.
    let bytesMax: Int

    /// Compares `items`, in any order, by messages of at most `bytesMax` bytes.
    init(_ items: [Item], bytesMax: Int) {
        self.items = items.sorted()
        self.bytesMax = bytesMax
    }

    // MARK: - Messages

    /// The first message of the asking side.
    func first() -> [UInt8] {
        var writer = RangeWriter()
        self.split(0..<self.items.count, to: .end, &writer)
        return writer.bytes
    }

    /// The answering side's message; `nil` when it would be too long.
    ///
    /// - Throws: ``MalformedRecord``.
    func answer(to message: UnsafeRawBufferPointer) throws(MalformedRecord) -> [UInt8]? {
        var writer = RangeWriter()
        var reader = RangeReader(message)
        var lower = 0
        while let range = try reader.next() {
            let upper = self.index(of: range.bound, from: lower)
            switch range.content {
            case .skip: writer.skip(to: range.bound)
            case .fingerprint(let theirs): self.compare(lower..<upper, theirs, to: range.bound, &writer)
            case .ids(let theirs):
                guard (upper - lower) * 8 <= self.bytesMax else { return nil }
                let ours = self.items[lower..<upper].map(\.id)
                if theirs.sorted() == ours.sorted() {
                    writer.skip(to: range.bound)
                } else {
                    writer.ids(ours, to: range.bound)
                }
            }
            lower = upper
            guard writer.bytes.count <= self.bytesMax else { return nil }
        }
        return writer.bytes
    }

    /// What the asking side learns from an answer.
    ///
    /// - Throws: ``MalformedRecord``.
    func compare(with message: UnsafeRawBufferPointer) throws(MalformedRecord) -> Step {
        var step = Step()
        var writer = RangeWriter()
        var reader = RangeReader(message)
        var lower = 0
        while let range = try reader.next() {
            let upper = self.index(of: range.bound, from: lower)
            switch range.content {
            case .skip: writer.skip(to: range.bound)
            case .fingerprint(let theirs): self.compare(lower..<upper, theirs, to: range.bound, &writer)
            case .ids(let theirs):
                let theirs = Set(theirs)
                let ours = self.items[lower..<upper].map(\.id)
                step.have += ours.filter { !theirs.contains($0) }
                step.need += theirs.subtracting(ours).sorted()
                writer.skip(to: range.bound)
            }
            lower = upper
            guard writer.bytes.count <= self.bytesMax else { return Step(isTooLong: true) }
        }
        if !writer.bytes.isEmpty { step.next = writer.bytes }
        return step
    }

    private func compare(
        _ range: Range<Int>,
        _ theirs: Digest,
        to bound: RangeBound,
        _ writer: inout RangeWriter
    ) {
        if self.fingerprint(range) == theirs {
            writer.skip(to: bound)
        } else {
            self.split(range, to: bound, &writer)
        }
    }

    private func split(_ range: Range<Int>, to bound: RangeBound, _ writer: inout RangeWriter) {
        guard range.count >= RangeReconciliation.listedMax else {
            return writer.ids(self.items[range].map(\.id), to: bound)
        }
        let (size, larger) = range.count.quotientAndRemainder(dividingBy: RangeReconciliation.buckets)
        var lower = range.lowerBound
        for bucket in 0..<RangeReconciliation.buckets {
            let upper = lower + size + (bucket < larger ? 1 : 0)
            let end = upper == range.upperBound ? bound : .between(self.items[upper &- 1], self.items[upper])
            writer.fingerprint(self.fingerprint(lower..<upper), to: end)
            lower = upper
        }
    }

    /// The fingerprint of items: the hash of their sum and their number.
    func fingerprint(_ range: Range<Int>) -> Digest {
        var sum = Digest.zero
        for item in self.items[range] { sum += item.hash }
        var writer = ByteWriter()
        writer.fixed64(sum.low)
        writer.fixed64(sum.high)
        writer.unsigned(UInt64(range.count))
        let (low, high) = writer.bytes.withUnsafeBytes { SipHash.hash128($0) }
        return Digest(high: high, low: low)
    }

    /// The place of the first item that is not before `bound`.
    private func index(of bound: RangeBound, from start: Int) -> Int {
        guard case .before(let item) = bound else { return self.items.count }
        var (lower, upper) = (start, self.items.count)
        while lower < upper {
            let middle = (lower + upper) / 2
            if self.items[middle] < item { lower = middle + 1 } else { upper = middle }
        }
        return lower
    }
}

/// The end of a range.
enum RangeBound: Equatable {
    /// After all items.
    case end
    /// Before this item, and before all behind it.
    case before(RangeReconciliation.Item)

    /// A bound between two items that follow one another, of as few bits as possible.
    static func between(_ left: RangeReconciliation.Item, _ right: RangeReconciliation.Item) -> RangeBound {
        guard left.stamp == right.stamp else {
            // Of all stamps after the left one, up to the right one, the one that ends with the most zeros.
            let zeros = 63 &- (left.stamp ^ right.stamp).leadingZeroBitCount
            return .before(RangeReconciliation.Item(stamp: (right.stamp >> zeros) << zeros, hash: .zero))
        }
        let isHigh = left.hash.high != right.hash.high
        let difference = isHigh ? left.hash.high ^ right.hash.high : left.hash.low ^ right.hash.low
        // The bytes that both have, and one more.
        let kept = (difference.leadingZeroBitCount / 8 &+ 1) &* 8
        let mask = kept >= 64 ? UInt64.max : ~(UInt64.max >> kept)
        let hash =
            isHigh
            ? Digest(high: right.hash.high & mask, low: 0)
            : Digest(high: right.hash.high, low: right.hash.low & mask)
        return .before(RangeReconciliation.Item(stamp: right.stamp, hash: hash))
    }
}
