import ClinicSyncModel

/// Tells what a disk does to a value from what a program writes.
///
/// Bookkeeping has 32 bits of the hash of each column's value, and not the value. So a flipped bit is found by flipping each bit
/// of the present value back and comparing the hash: one of them fits exactly when one bit was flipped. By chance one fits in a
/// value of 100 bytes once in five million times.
struct Rot {
    /// Values with more bytes are not searched for a flipped bit: the work grows with the square, and programs wait for it.
    static let bytesMax = 256

    let plan: TablePlan
    let slot: Int
    /// The 32 bits that the node keeps of the hash of the value that it knows; see ``RowMeta/columns``.
    let known: UInt32

    /// Whether `value`, which differs from the known one, looks like damage.
    func explains(_ value: ValueRef) -> Bool {
        switch value {
        case .null: false
        case .integer(let number): self.isImpossible(in: "TEXT") || self.hasFlipped(number)
        case .real(let bits): self.isImpossible(in: "TEXT") || self.hasFlipped(bits: bits)
        case .text(let bytes):
            String(validating: bytes, as: UTF8.self) == nil || self.isKnown(.blob(bytes))
                || self.hasFlipped(bytes, ValueRef.text)
        case .blob(let bytes): self.isKnown(.text(bytes)) || self.hasFlipped(bytes, ValueRef.blob)
        }
    }

    private func isKnown(_ value: ValueRef) -> Bool {
        RowMeta.short(of: value, self.plan, slot: self.slot) == self.known
    }

    /// SQLite turns each number that a program writes into a column declared as text into text.
    private func isImpossible(in type: String) -> Bool {
        self.plan.definition.column(slot: self.slot)?.declaredType.uppercased() == type
    }

    /// SQLite stores integers in 1, 2, 3, 4, 6 or 8 bytes, of which the uppermost bit is the sign.
    private func hasFlipped(_ number: Int64) -> Bool {
        for width: Int64 in [8, 16, 24, 32, 48, 64] {
            let unused = 64 - width
            func stored(_ number: Int64) -> Int64 { (number << unused) >> unused }
            guard stored(number) == number else { continue }
            for bit in 0..<width where self.isKnown(.integer(stored(number ^ (1 << bit)))) { return true }
        }
        return false
    }

    /// SQLite stores a real without fraction as an integer.
    private func hasFlipped(bits: UInt64) -> Bool {
        for bit: UInt64 in 0..<64 where self.isKnown(.real(bits ^ 1 << bit)) { return true }
        guard let whole = Int64(exactly: Double(bitPattern: bits)), whole.magnitude < 1 << 47 else { return false }
        for bit in 0..<48 where self.isKnown(.real(Double(whole ^ 1 << bit).bitPattern)) { return true }
        return false
    }

    private func hasFlipped(_ bytes: UnsafeRawBufferPointer, _ value: (UnsafeRawBufferPointer) -> ValueRef) -> Bool {
        guard bytes.count <= Rot.bytesMax else { return false }
        var copy = Array(bytes)
        return copy.withUnsafeMutableBytes { copy in
            for index in copy.indices {
                for bit: UInt8 in 0..<8 {
                    copy[index] ^= 1 << bit
                    defer { copy[index] ^= 1 << bit }
                    if self.isKnown(value(UnsafeRawBufferPointer(copy))) { return true }
                }
            }
            return false
        }
    }
}
