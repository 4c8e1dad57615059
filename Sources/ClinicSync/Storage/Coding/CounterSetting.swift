import ClinicSyncCore
import ClinicSyncModel

/// What a counter column was set to, with what its author had seen counted: travels as a BLOB in the counter's place.
///
/// Whole numbers in this place are totals of counting. A program's own BLOB travels inside this one, as any value that is no
/// whole number. `docs/PROTOCOL.md`, "Counters", describes the format.
struct CounterSetting: Hashable {
    static let format: UInt8 = 1

    /// The value.
    var value: SQLiteValue
    /// The parts that the value stands for.
    var bases: [RowState.CounterPart]

    init(value: SQLiteValue, bases: [RowState.CounterPart]) {
        self.value = value
        self.bases = bases
    }

    /// Reads what ``encoded`` wrote for a counter column; `nil` for anything else, which every node ignores.
    init?(_ bytes: UnsafeRawBufferPointer, slot: Int) {
        let read = Result { () throws(MalformedRecord) in try CounterSetting(reading: bytes, slot: slot) }
        guard case .success(let setting) = read else { return nil }
        self = setting
    }

    private init(reading bytes: UnsafeRawBufferPointer, slot: Int) throws(MalformedRecord) {
        var reader = ByteReader(bytes)
        guard try reader.byte() == CounterSetting.format else {
            throw MalformedRecord(reason: "a counter has an unknown format")
        }
        let value = try reader.value().value
        guard value != .null else { throw MalformedRecord(reason: "a counter is NULL") }
        var bases: [RowState.CounterPart] = []
        for _ in 0..<(try reader.count(ofAtLeast: 19, limit: RecordLimits.counterPartsMax)) {
            bases.append(
                RowState.CounterPart(
                    slot: slot,
                    origin: try reader.origin(),
                    total: try reader.signed(),
                    sequence: try reader.sequence()
                )
            )
        }
        guard reader.isAtEnd else { throw MalformedRecord(reason: "a counter has more bytes than it should") }
        self.init(value: value, bases: bases)
    }

    /// The bytes.
    var encoded: [UInt8] {
        var writer = ByteWriter()
        writer.byte(CounterSetting.format)
        writer.value(self.value)
        writer.unsigned(UInt64(self.bases.count))
        for base in self.bases {
            writer.origin(base.origin)
            writer.signed(base.total)
            writer.unsigned(base.sequence)
        }
        return writer.bytes
    }
}

extension RowState {
    /// What a counter column was set to; `nil` if nobody has set it.
    func setting(slot: Int) -> CounterSetting? {
        self.value(slot: slot).map { CounterSetting(value: $0, bases: self.bases.filter { $0.slot == slot }) }
    }

    /// Enters what a counter column was set to.
    mutating func set(_ setting: CounterSetting, slot: Int, version: Version) {
        self.registers[slot] = Register(value: setting.value, version: version)
        self.merge(bases: setting.bases)
    }

    /// Takes out all that concerns the counters of a table, which a table of its own keeps.
    func withoutCounters(_ plan: TablePlan) -> RowState {
        var state = self
        state.counters = []
        state.bases = []
        for slot in plan.counterSlots.setBits where slot < state.registers.count { state.registers[slot] = nil }
        return state
    }
}
