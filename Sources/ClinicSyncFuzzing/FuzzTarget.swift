import ClinicSync
import ClinicSyncStorage

/// The decoders of all foreign input: of peers, people, and programs of the same PC.
package enum FuzzTarget: String, CaseIterable, Sendable {
    /// A message between members.
    case frame
    /// A message of an enrollment.
    case enrollment
    /// The payload of a chunk of changes.
    case changeChunk
    /// A page of row states.
    case rowStates
    /// A row state as the database keeps it.
    case storedState
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
    /// `identity/invitations.json`.
    case invitations
    /// The certificate of a clinic's authority, and with it all that reads certificates.
    case authority
    /// A grant of the right to sign.
    case grant
    /// A signed revocation.
    case revocation
    /// A request for a certificate.
    case certificateRequest
    /// `run/api.json`.
    case apiAddress
    /// A join code that a person typed.
    case joinCode
    /// An address that a person typed.
    case address
    /// The text record of a service on the LAN.
    case announcement
    /// What a node says of itself, signed with its own key.
    case nodeStatement
    /// A name that a node with the right to sign gave to another.
    case nameStatement
    /// A message of ranges of states.
    case ranges

    /// The decoder with its corpus.
    ///
    /// - Throws: An error of making the corpus, which is a fault of the fuzzer itself.
    package func subject() throws -> FuzzSubject {
        let corpus = try FuzzCorpus.entries(of: self)
        let decode: @Sendable ([UInt8]) throws(FuzzFailure) -> Bool
        switch self {
        case .frame: decode = FuzzLaws.frame
        case .enrollment: decode = FuzzLaws.enrollment
        case .changeChunk, .rowStates, .storedState, .vector, .header, .registers, .columns, .value, .ranges:
            decode = try self.record()
        case .configuration: decode = FuzzLaws.configuration
        case .identity: decode = FuzzLaws.identity
        case .invitations: decode = FuzzLaws.invitations
        case .authority: decode = FuzzLaws.authority
        case .grant: decode = try self.signed(FuzzLaws.grant)
        case .revocation: decode = try self.signed(FuzzLaws.revocation)
        case .certificateRequest: decode = FuzzLaws.certificateRequest
        case .apiAddress: decode = FuzzLaws.apiAddress
        case .joinCode: decode = FuzzLaws.joinCode
        case .address: decode = FuzzLaws.address
        case .announcement: decode = FuzzLaws.announcement
        case .nodeStatement: decode = try self.signed(by: SignedSamples.namingAuthority, FuzzLaws.nodeStatement)
        case .nameStatement: decode = try self.signed(by: SignedSamples.namingAuthority, FuzzLaws.nameStatement)
        }
        return FuzzSubject(name: self.rawValue, corpus: corpus, decode: decode)
    }

    /// Whether a signature protects every byte, so that hardly any mutated input is accepted.
    package var isSigned: Bool {
        switch self {
        case .authority, .grant, .revocation, .certificateRequest, .nodeStatement, .nameStatement: true
        case .frame, .enrollment, .changeChunk, .rowStates, .storedState, .vector, .header, .registers, .columns,
            .value,
            .configuration, .identity, .invitations, .apiAddress, .joinCode, .address, .announcement, .ranges:
            false
        }
    }

    private func signed(
        by der: [UInt8] = SignedSamples.authority,
        _ law: @escaping @Sendable (_ bytes: [UInt8], _ authority: ClinicAuthority) throws(FuzzFailure) -> Bool
    ) throws -> @Sendable ([UInt8]) throws(FuzzFailure) -> Bool {
        let authority = try ClinicAuthority(der: der)
        return { (bytes: [UInt8]) throws(FuzzFailure) -> Bool in try law(bytes, authority) }
    }

    private func record() throws -> @Sendable ([UInt8]) throws(FuzzFailure) -> Bool {
        let check = try RecordCheck(statesTable: FuzzCorpus.statesTable)
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
        case .storedState: check.storedState(bytes)
        case .vector: check.vector(bytes)
        case .header: check.header(bytes)
        case .registers: check.registers(bytes)
        case .columns: check.columns(bytes)
        case .value: check.value(bytes)
        case .ranges: check.ranges(bytes)
        case .frame, .enrollment, .configuration, .identity, .invitations, .authority, .grant, .revocation,
            .certificateRequest, .apiAddress, .joinCode, .address, .announcement, .nodeStatement, .nameStatement:
            .broken("\(self.rawValue) is no record")
        }
    }
}
