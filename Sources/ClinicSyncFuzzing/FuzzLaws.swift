import ClinicSync
import ClinicSyncDiscovery
import ClinicSyncModel
import ClinicSyncWire
import Foundation
import NIOCore

/// The promises of the decoders about every input that they accept.
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

    static func invitations(_ bytes: [UInt8]) throws(FuzzFailure) -> Bool {
        guard let book = FuzzLaws.decoded({ try InvitationBook(decoding: bytes) }) else { return false }
        let written = try FuzzLaws.written { try book.encoded() }
        try FuzzLaws.expect(
            FuzzLaws.decoded { try InvitationBook(decoding: written) } == book,
            "invitations are others after they were written and read again"
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

    /// The strings of a record, each on a line of its own.
    static func announcement(_ bytes: [UInt8]) throws(FuzzFailure) -> Bool {
        let strings = bytes.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false).map { Array($0) }
        guard let text = ServiceText(entries: strings) else { return false }
        try FuzzLaws.expect((1...65_535).contains(text.port), "a port that does not exist")
        let written = text.pairs.map { Array("\($0.key)=\($0.value)".utf8) }
        try FuzzLaws.expect(
            ServiceText(entries: written) == text,
            "an announcement is another after it was written and read again"
        )
        return true
    }

    // MARK: - Signed

    static func authority(_ bytes: [UInt8]) throws(FuzzFailure) -> Bool {
        guard let authority = try FuzzLaws.read({ try ClinicAuthority(der: bytes) }) else { return false }
        try FuzzLaws.expect(authority.der == bytes, "an authority's bytes are others than were read")
        // Anybody can make an authority of his own, but not with the key of another's.
        let other = try FuzzLaws.read { try ClinicAuthority(der: SignedSamples.authority) }
        try FuzzLaws.expect(
            authority.id != other?.id || authority.certificate == other?.certificate,
            "a changed certificate of the authority is accepted"
        )
        return true
    }

    static func grant(_ bytes: [UInt8], _ authority: ClinicAuthority) throws(FuzzFailure) -> Bool {
        guard let grant = try FuzzLaws.read({ try SigningGrant(verifying: bytes, authority: authority) }) else {
            return false
        }
        try FuzzLaws.expect(grant.node == SignedSamples.grantee, "a grant of a node that got none")
        try FuzzLaws.expect(grant.bytes == bytes, "a grant's bytes are others than were read")
        return true
    }

    static func revocation(_ bytes: [UInt8], _ authority: ClinicAuthority) throws(FuzzFailure) -> Bool {
        guard let entry = try FuzzLaws.read({ try Revocation(verifying: bytes, authority: authority) }) else {
            return false
        }
        try FuzzLaws.expect(entry.bytes == bytes, "a revocation's bytes are others than were read")
        try FuzzLaws.expect(bytes.count <= Revocation.bytesMax, "a revocation is too large")
        try FuzzLaws.expect(entry.vouched.count <= Revocation.vouchedMax, "a revocation vouches for too many")
        // The signed bytes come before the signature: with the same signature, any change to them is a forgery.
        let samples = [SignedSamples.revocation, SignedSamples.revocationByGrantee]
        try FuzzLaws.expect(
            samples.contains { $0.dropLast(64).elementsEqual(bytes.dropLast(64)) },
            "a revocation that nobody signed is accepted"
        )
        return true
    }

    static func nodeStatement(_ bytes: [UInt8], _ authority: ClinicAuthority) throws(FuzzFailure) -> Bool {
        guard let entry = try FuzzLaws.read({ try NodeStatement(verifying: bytes, clinic: authority.id) }) else {
            return false
        }
        try FuzzLaws.expect(entry.bytes == bytes, "a statement's bytes are others than were read")
        try FuzzLaws.expect(bytes.count <= NodeStatement.bytesMax, "a statement is too large")
        try FuzzLaws.expect(
            SignedSamples.nodeStatement.dropLast(64).elementsEqual(bytes.dropLast(64)),
            "a statement that nobody signed is accepted"
        )
        return true
    }

    static func nameStatement(_ bytes: [UInt8], _ authority: ClinicAuthority) throws(FuzzFailure) -> Bool {
        guard let entry = try FuzzLaws.read({ try NameStatement(verifying: bytes, authority: authority) }) else {
            return false
        }
        try FuzzLaws.expect(entry.bytes == bytes, "a name's bytes are others than were read")
        try FuzzLaws.expect(bytes.count <= NameStatement.bytesMax, "a name is too large")
        let samples = [SignedSamples.nameStatement, SignedSamples.nameStatementByGrantee]
        try FuzzLaws.expect(
            samples.contains { $0.dropLast(64).elementsEqual(bytes.dropLast(64)) },
            "a name that nobody signed is accepted"
        )
        return true
    }

    static func certificateRequest(_ bytes: [UInt8]) throws(FuzzFailure) -> Bool {
        guard let node = SignedSamples.grantee else { throw FuzzFailure("the sample's node has no id") }
        guard let key = CertificateRequest.publicKey(in: bytes, of: node) else { return false }
        try FuzzLaws.expect(NodeID(publicKey: key) == node, "a request for another's key is accepted")
        return true
    }

    // MARK: - Parts

    /// Returns the result of `body`; `nil` when it refuses the input.
    static func decoded<Value>(_ body: () throws -> Value) -> Value? {
        do { return try body() } catch { return nil }
    }

    /// Returns the result of `body`; `nil` when it refuses with a sentence for people, as decoders of people's input must.
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

    /// Returns the result of `body`, which must not fail.
    static func written(_ body: () throws -> [UInt8]) throws(FuzzFailure) -> [UInt8] {
        do { return try body() } catch { throw FuzzFailure("what was accepted cannot be written: \(error)") }
    }
}
