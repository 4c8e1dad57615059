import ClinicSyncCore
import ClinicSyncModel

/// Hashes states of rows that their tables do not show as they are: hidden rows, rows in another form, and deleted rows.
///
/// The hash is a function of the merged state alone, so that nodes with the same batches have the same hashes. It covers the key,
/// the version of the newest insertion, values and versions of columns in the order of their names, and what deleters had seen. Two
/// things are left out, because nodes may know them and be equal:
/// * a column with its default whose version is that of the insertion or of no batch. A node whose schema got the column later,
///   or that never showed the row, has nothing for it.
/// * counters, which are stored apart from the state.
struct StateHasher {
    private var scratch = ByteWriter()

    /// The hash of a state; `deletion` is its deletion as ``DeletionContexts/encoded(_:)``.
    mutating func hash(_ plan: TablePlan, _ state: RowState, deletion: UnsafeRawBufferPointer?) -> Digest {
        self.scratch.removeAll()
        self.scratch.value(state.key)
        self.append(state.birth)
        for slot in plan.hashing.order where plan.counterSlots & (1 << UInt64(slot)) == 0 {
            guard slot < state.registers.count, let register = state.registers[slot] else { continue }
            let value = ValueRef.with(register.value, RowHashes.column)
            let hash = RowHashes.relative(value, to: plan.hashing.defaults[slot])
            let isOfBirth = register.version == state.birth
            if hash == 0, isOfBirth || register.version == .genesis { continue }
            self.scratch.fixed64(plan.hashing.names[slot])
            self.scratch.fixed64(hash)
            self.scratch.byte(isOfBirth ? 0 : 1)
            if !isOfBirth { self.append(register.version) }
        }
        if let deletion { self.scratch.raw(deletion) }
        let (low, high) = self.scratch.bytes.withUnsafeBytes { SipHash.hash128($0) }
        return Digest(high: high, low: low)
    }

    /// The hash of a state with its deletion.
    mutating func hash(_ plan: TablePlan, _ state: RowState) -> Digest {
        guard let deletion = state.deletion else { return self.hash(plan, state, deletion: nil) }
        return DeletionContexts.encoded(deletion).withUnsafeBytes { self.hash(plan, state, deletion: $0) }
    }

    private mutating func append(_ version: Version) {
        self.scratch.fixed64(version.timestamp.rawValue)
        self.scratch.origin(version.origin)
        self.scratch.unsigned(version.sequence)
    }
}
