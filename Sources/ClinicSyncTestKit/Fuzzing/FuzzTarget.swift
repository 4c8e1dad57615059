import ClinicSync
import ClinicSyncModel
import ClinicSyncStorage
import ClinicSyncWire
import Foundation
import NIOCore

/// The decoders of everything that somebody else may have written: peers, people, programs of the same PC.
package enum FuzzTarget: String, CaseIterable, Sendable {
    /// A message between members.
    case frame
    /// A message of an enrollment.
    case enrollment
    /// The payload of a chunk of changes.
    case changeChunk
    /// A page of row states.
    case rowStates
    /// A vector as the database keeps it.
    case vector
    /// A batch's header as the database keeps it.
    case header
    /// Versions of a row's columns as the database keeps them.
    case registers
    /// Hashes of a row's columns as the database keeps them.
    case columns
    /// A value of a record.
    case value
    /// `node.json`.
    case configuration
    /// `identity/identity.json`.
    case identity
    /// `run/api.json`.
    case apiAddress
    /// A join code that somebody typed.
    case joinCode
    /// An address that somebody typed.
    case address

    /// The decoder with its corpus.
    ///
    /// - Throws: what making the corpus throws; that is a fault of the kit.
    package func subject() throws -> FuzzSubject {
        let corpus = try FuzzCorpus.entries(of: self)
        let decode: @Sendable ([UInt8]) throws(FuzzFailure) -> Bool
        switch self {
        case .frame: decode = FuzzLaws.frame
        case .enrollment: decode = FuzzLaws.enrollment
        case .changeChunk, .rowStates, .vector, .header, .registers, .columns, .value:
            decode = try self.record()
        case .configuration: decode = FuzzLaws.configuration
        case .identity: decode = FuzzLaws.identity
        case .apiAddress: decode = FuzzLaws.apiAddress
        case .joinCode: decode = FuzzLaws.joinCode
        case .address: decode = FuzzLaws.address
        }
        return FuzzSubject(name: self.rawValue, corpus: corpus, decode: decode)
    }

    private func record() throws -> @Sendable ([UInt8]) throws(FuzzFailure) -> Bool {
        let check = try RecordCheck()
        return { (bytes: [UInt8]) throws(FuzzFailure) -> Bool in
            switch self.verdict(check, bytes) {
            case .accepted: return true
            case .refused: return false
            case .broken(let reason): throw FuzzFailure(reason)
            }
        }
    }

    private func verdict(_ check: RecordCheck, _ bytes: [UInt8]) -> RecordCheck.Verdict {
        switch self {
        case .changeChunk: check.chunk(bytes)
        case .rowStates: check.rowStates(bytes)
        case .vector: check.vector(bytes)
        case .header: check.header(bytes)
        case .registers: check.registers(bytes)
        case .columns: check.columns(bytes)
        case .value: check.value(bytes)
        case .frame, .enrollment, .configuration, .identity, .apiAddress, .joinCode, .address:
            .broken("\(self.rawValue) is no record")
        }
    }
}

/// What the decoders promise of everything they accept.
enum FuzzLaws {
    /// Fails unless `holds`.
    static func expect(_ holds: Bool, _ reason: String) throws(FuzzFailure) {
        if !holds { throw FuzzFailure(reason) }
    }

    static func frame(_ bytes: [UInt8]) throws(FuzzFailure) -> Bool {
        guard let (message, term) = FuzzLaws.decoded({ try MessageCodec.decode(bytes) }) else { return false }
        try FuzzLaws.expect(term <= UInt64(Int64.max), "a term cannot be stored")
        if let fault = MessageLimits.fault(of: message) { throw FuzzFailure(fault) }
        let encoded = MessageCodec.encode(message, term: term)
        guard let again = FuzzLaws.decoded({ try MessageCodec.decode(encoded) }) else {
            throw FuzzFailure("a message that was accepted is refused after it was encoded again")
        }
        try FuzzLaws.expect(again.message == message && again.term == term, "a message is another after a round trip")
        return true
    }

    static func enrollment(_ bytes: [UInt8]) throws(FuzzFailure) -> Bool {
        guard let message = FuzzLaws.decoded({ try EnrollmentCodec.decode(ByteBuffer(bytes: bytes)) }) else {
            return false
        }
        if let fault = MessageLimits.fault(of: message) { throw FuzzFailure(fault) }
        guard let again = FuzzLaws.decoded({ try EnrollmentCodec.decode(EnrollmentCodec.encode(message)) }) else {
            throw FuzzFailure("an enrollment message that was accepted is refused after it was encoded again")
        }
        try FuzzLaws.expect(again == message, "an enrollment message is another after a round trip")
        return true
    }

    static func configuration(_ bytes: [UInt8]) throws(FuzzFailure) -> Bool {
        func read(_ bytes: [UInt8]) throws -> [ConfigurationKey: [String]] {
            let configuration = try NodeConfiguration(flags: [:], environment: [:], file: bytes)
            return Dictionary(uniqueKeysWithValues: configuration.effectiveValues.map { ($0.key, $0.values) })
        }
        guard let values = try FuzzLaws.read({ try read(bytes) }) else { return false }
        let written = try FuzzLaws.written {
            var object: [String: Any] = [:]
            for (key, values) in values where !values.isEmpty {
                object[key.rawValue] = values.count == 1 && key != .peers ? values[0] : values
            }
            return Array(try JSONSerialization.data(withJSONObject: object))
        }
        let again = try FuzzLaws.read { try read(written) }
        try FuzzLaws.expect(again == values, "settings are others after they were written and read again")
        return true
    }

    static func identity(_ bytes: [UInt8]) throws(FuzzFailure) -> Bool {
        func read(_ bytes: [UInt8]) throws -> NodeIdentity {
            try JSONDecoder().decode(NodeIdentity.self, from: Data(bytes))
        }
        guard let identity = FuzzLaws.decoded({ try read(bytes) }) else { return false }
        let written = try FuzzLaws.written { Array(try JSONEncoder().encode(identity)) }
        try FuzzLaws.expect(
            FuzzLaws.decoded { try read(written) } == identity,
            "an identity is another after it was written and read again"
        )
        return true
    }

    static func apiAddress(_ bytes: [UInt8]) throws(FuzzFailure) -> Bool {
        guard let address = FuzzLaws.decoded({ try NodeDirectory.apiAddress(in: bytes) }) else { return false }
        try FuzzLaws.expect(address.isLoopback, "the local API is elsewhere")
        try FuzzLaws.expect((0...65_535).contains(address.port), "a port that does not exist")
        return true
    }

    static func joinCode(_ bytes: [UInt8]) throws(FuzzFailure) -> Bool {
        let text = String(decoding: bytes, as: UTF8.self)
        guard let code = try FuzzLaws.read({ try JoinCode(parsing: text) }) else { return false }
        try FuzzLaws.expect(code.addresses.count <= JoinCode.addressesMax, "a join code with too many addresses")
        try FuzzLaws.expect(code.secret.count == JoinCode.secretBytes, "a join code's secret has another length")
        let again = try FuzzLaws.read { try JoinCode(parsing: code.description) }
        try FuzzLaws.expect(again == code, "a join code is another after it was written and read again")
        return true
    }

    static func address(_ bytes: [UInt8]) throws(FuzzFailure) -> Bool {
        let text = String(decoding: bytes, as: UTF8.self)
        guard let address = try FuzzLaws.read({ try NetworkAddress(parsing: text) }) else { return false }
        try FuzzLaws.expect((0...65_535).contains(address.port), "a port that does not exist")
        try FuzzLaws.expect(address.host.utf8.count <= 253, "a host's name is too long")
        let again = try FuzzLaws.read { try NetworkAddress(parsing: address.description) }
        try FuzzLaws.expect(again == address, "an address is another after it was written and read again")
        return true
    }

    /// What `body` returns; `nil` when it refuses.
    static func decoded<Value>(_ body: () throws -> Value) -> Value? {
        do { return try body() } catch { return nil }
    }

    /// What `body` returns; `nil` when it refuses with a sentence for people, as everything must that people write.
    static func read<Value>(_ body: () throws -> Value) throws(FuzzFailure) -> Value? {
        do {
            return try body()
        } catch let error as ClinicSyncError {
            try FuzzLaws.expect(!error.message.isEmpty, "an error without a message")
            return nil
        } catch {
            throw FuzzFailure("another error than ClinicSyncError: \(type(of: error))")
        }
    }

    /// What `body` writes, which cannot fail.
    static func written(_ body: () throws -> [UInt8]) throws(FuzzFailure) -> [UInt8] {
        do { return try body() } catch { throw FuzzFailure("what was accepted cannot be written: \(error)") }
    }
}
