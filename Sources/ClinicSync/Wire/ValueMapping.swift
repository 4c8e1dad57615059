import ClinicSyncModel
import FoundationEssentials

extension WireValue {
    /// The wire form of a primary key.
    init(_ value: SQLiteValue) {
        self.init()
        switch value {
        case .null: self.storageClass = .null(WireValue.Null())
        case .integer(let number): self.storageClass = .integer(number)
        case .real(let bits): self.storageClass = .real(bits)
        case .text(let bytes): self.storageClass = .text(Data(bytes))
        case .blob(let bytes): self.storageClass = .blob(Data(bytes))
        }
    }

    /// The primary key.
    func key(_ limits: WireLimits, _ field: String) throws(WireDecodingError) -> SQLiteValue {
        switch self.storageClass {
        case nil: throw .missing(field: field)
        case .null: .null
        case .integer(let number): .integer(number)
        case .real(let bits): .real(bits)
        case .text(let data): .text(try MessageCodec.bytes(data, max: limits.keyBytesMax, field))
        case .blob(let data): .blob(try MessageCodec.bytes(data, max: limits.keyBytesMax, field))
        }
    }
}

extension WireValue {
    /// The primary keys of `values`, at most `max`.
    static func keys(
        _ values: [WireValue],
        max: Int,
        _ limits: WireLimits,
        _ field: String
    ) throws(WireDecodingError) -> [SQLiteValue] {
        guard values.count <= max else { throw .limitExceeded(field: field) }
        var keys = [SQLiteValue]()
        keys.reserveCapacity(values.count)
        for value in values { keys.append(try value.key(limits, field)) }
        return keys
    }
}
