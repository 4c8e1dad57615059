import ClinicSyncModel

/// Values that stay at their place in memory, so that references to them are valid as long as the object lives.
///
/// `@unchecked Sendable`: only the initialiser writes the memory, and the memory is freed together with the object.
final class PinnedValues: @unchecked Sendable {
    /// The values.
    let values: [SQLiteValue]
    /// References to the values, in their order.
    let refs: [ValueRef]
    private let memory: [UnsafeMutableRawBufferPointer]

    /// Copies `values`.
    init(_ values: [SQLiteValue]) {
        var memory: [UnsafeMutableRawBufferPointer] = []
        func pin(_ bytes: [UInt8]) -> UnsafeRawBufferPointer {
            let copy = UnsafeMutableRawBufferPointer.allocate(byteCount: bytes.count, alignment: 1)
            copy.copyBytes(from: bytes)
            memory.append(copy)
            return UnsafeRawBufferPointer(copy)
        }
        self.values = values
        self.refs = values.map { value in
            switch value {
            case .null: .null
            case .integer(let number): .integer(number)
            case .real(let bits): .real(bits)
            case .text(let bytes): .text(pin(bytes))
            case .blob(let bytes): .blob(pin(bytes))
            }
        }
        self.memory = memory
    }

    deinit {
        for buffer in self.memory { buffer.deallocate() }
    }
}
