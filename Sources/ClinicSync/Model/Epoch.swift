/// A beginning of the clinic's data: an administrator has brought the whole clinic back to a backup.
///
/// Nodes of different epochs exchange no changes. Of two epochs the greater one counts for everybody: by number, then by the
/// node that decided, then by the time. A clinic that was never brought back has no epoch, which is smaller than all.
///
/// The value is read from a signed statement, and proves nothing: only the part that knows the clinic's authority can verify
/// the signature. See `docs/design/0029-whole-clinic.md`. The format, with big-endian integers:
///
///     magic "clinicsync epoch 1\n", clinic 16, number 8, node 16, decided at 8 (milliseconds since 1970), batches 8,
///     then what proves it
package struct Epoch: Sendable, Hashable, Comparable {
    /// The first bytes of a statement.
    package static let magic = Array("clinicsync epoch 1\n".utf8)
    /// The size of what a statement says, before its proof.
    package static let bodyBytes = Epoch.magic.count + 56
    /// The largest size of a statement.
    package static let bytesMax = 8 << 10
    /// The largest number: the largest integer that SQLite can store.
    package static let numberMax = UInt64(Int64.max)
    /// How much greater than its own a node lets the number of an epoch be.
    ///
    /// Without the limit, one statement with the largest number would be the last that the clinic can make.
    package static let stepMax: UInt64 = 1_024

    /// The clinic.
    package let clinic: NodeID
    /// From 1; one more than the largest number that the deciding node knew.
    package let number: UInt64
    /// The node on which the administrator decided.
    package let node: NodeID
    /// When, by that node's clock; milliseconds since 1970.
    package let decidedAt: Int64
    /// How many batches the restored state has.
    ///
    /// A node that has fewer does not have the state, so nobody takes the epoch over from this node.
    package let batches: UInt64
    /// The signed statement.
    package let statement: [UInt8]

    /// Reads a statement, without a check of its signature; `nil` when it has another format.
    package init?(statement: [UInt8]) {
        guard (Epoch.bodyBytes...Epoch.bytesMax).contains(statement.count), statement.starts(with: Epoch.magic) else {
            return nil
        }
        var rest = statement[Epoch.magic.count..<Epoch.bodyBytes]
        func take(_ count: Int) -> ArraySlice<UInt8> {
            defer { rest = rest.dropFirst(count) }
            return rest.prefix(count)
        }
        func integer() -> UInt64 { take(8).reduce(0) { $0 << 8 | UInt64($1) } }
        guard let clinic = NodeID(bytes: take(16)) else { return nil }
        let number = integer()
        guard let node = NodeID(bytes: take(16)) else { return nil }
        let (decidedAt, batches) = (integer(), integer())
        guard (1...Epoch.numberMax).contains(number), decidedAt <= UInt64(Bounds.millisecondsMax),
            batches <= UInt64(Int64.max)
        else { return nil }
        self.clinic = clinic
        self.number = number
        self.node = node
        self.decidedAt = Int64(clamping: decidedAt)
        self.batches = batches
        self.statement = statement
    }

    /// The bytes of a statement, without their proof.
    package static func body(
        clinic: NodeID,
        number: UInt64,
        node: NodeID,
        decidedAt: Int64,
        batches: UInt64
    ) -> [UInt8] {
        Epoch.magic + clinic.bytes + number.bigEndianBytes + node.bytes
            + UInt64(clamping: decidedAt).bigEndianBytes + batches.bigEndianBytes
    }

    /// Whether both are the same decision, whatever proves it.
    package static func == (left: Epoch, right: Epoch) -> Bool {
        (left.number, left.node, left.decidedAt) == (right.number, right.node, right.decidedAt)
    }

    /// Gives equal epochs equal hashes.
    package func hash(into hasher: inout Hasher) {
        hasher.combine(self.number)
        hasher.combine(self.node)
        hasher.combine(self.decidedAt)
    }

    /// Orders by number, deciding node, and time.
    package static func < (left: Epoch, right: Epoch) -> Bool {
        (left.number, left.node, left.decidedAt) < (right.number, right.node, right.decidedAt)
    }
}

extension Optional<Epoch> {
    /// Whether this epoch is greater than `other`; no epoch is smaller than all.
    package func exceeds(_ other: Epoch?) -> Bool {
        guard let own = self else { return false }
        return other.map { $0 < own } ?? true
    }
}
