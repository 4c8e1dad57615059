package import ClinicSyncModel

/// Why a dial opened no connection.
package enum DialFailure: String, Sendable, Hashable, CaseIterable {
    /// The PC at the address refused the connection: no program listens at the port.
    case refused
    /// Nothing answered: the PC is off or elsewhere, or a firewall drops what arrives.
    case timedOut
    /// The network has no way to the address.
    case unreachable
    /// A program took the connection and did not finish the handshake in time.
    case silent
    /// The program at the address closed the connection without a certificate, or does not speak this protocol.
    case notANode
    /// The node at the address showed a certificate of another clinic.
    case foreign
    /// The node at the address showed a certificate that is not valid.
    case certificate
    /// The certificate of the node at the address has expired.
    case expired
    /// The node at the address was revoked.
    case revoked
    /// The node at the address is a member, and closed the connection: it does not accept this node, or is overloaded.
    case turnedAway
    /// The address is malformed, or outside the local network.
    case notAllowed
    /// Another failure.
    case other

    /// The failure in words, for the end of a sentence.
    package var words: String {
        switch self {
        case .refused: "connection refused"
        case .timedOut: "no answer"
        case .unreachable: "the network has no way to it"
        case .silent: "a program took the connection and said nothing"
        case .notANode: "the program there is not a node of ClinicSync, or closed the connection at once"
        case .foreign: "the PC there belongs to another clinic"
        case .certificate: "the certificate of the PC there is not valid"
        case .expired: "the certificate of the PC there has expired"
        case .revoked: "the PC there was revoked"
        case .turnedAway: "the PC there did not let this PC in"
        case .notAllowed: "not an address of the local network"
        case .other: "the connection failed"
        }
    }
}

/// What came of a dial.
package enum DialAnswer: Sendable, Hashable {
    /// The node at the address said hello and was accepted.
    case linked
    /// No connection was opened.
    case failed(DialFailure)
    /// A connection was opened and has ended. `isPeersWord`: the peer gave the reason, otherwise this node did.
    case closed(CloseReason, isPeersWord: Bool)

    /// The name that programs see.
    package var name: String {
        switch self {
        case .linked: "linked"
        case .failed(let failure): failure.rawValue
        case .closed(let reason, _): "\(reason)"
        }
    }

    /// The answer in words, for the end of a sentence.
    package var words: String {
        switch self {
        case .linked: "connected"
        case .failed(let failure): failure.words
        case .closed(let reason, let isPeersWord): DialAnswer.words(reason, isPeersWord: isPeersWord)
        }
    }

    private static func words(_ reason: CloseReason, isPeersWord: Bool) -> String {
        switch reason {
        case .shuttingDown: isPeersWord ? "the node there was stopped" : "this node was stopped"
        case .peerSilent: "the node there fell silent"
        case .handshakeTimeout: "the node there said nothing"
        case .connectionLost: "the connection broke"
        case .notHost: "the node there is not host"
        case .replaced: "another connection took its place"
        case .protocolVersion: "the version there cannot talk to this one"
        case .protocolViolation:
            isPeersWord ? "the PC there rejects what this PC sends" : "the PC there sends what makes no sense"
        case .wrongClinic: "the PC there belongs to another clinic"
        case .notAMember:
            isPeersWord ? "the PC there does not know this PC as a member" : "the PC there is not a member"
        case .duplicateIdentity: "two PCs run with one node's key"
        case .overloaded: "too many connections at once"
        case .storageFailed: isPeersWord ? "the PC there cannot use its file" : "this PC cannot use its file"
        case .revoked: isPeersWord ? "this PC was revoked" : "the PC there was revoked"
        case .otherEpoch: "one of the two PCs has not followed the clinic's restore yet"
        }
    }
}

/// The newest answer that came of dialling an address.
package struct DialRecord: Sendable, Hashable {
    /// The answer.
    package var answer: DialAnswer
    /// When it came, by the monotonic clock.
    package var at: Duration
    /// When this answer came for the first time in a row.
    package var since: Duration
    /// How often this answer came in a row.
    package var tries: Int

    /// Records an answer, `earlier` being what was recorded before.
    init(_ answer: DialAnswer, at time: Duration, after earlier: DialRecord?) {
        let isSame = earlier?.answer == answer
        self.answer = answer
        self.at = time
        self.since = isSame ? earlier?.since ?? time : time
        self.tries = isSame ? (earlier?.tries ?? 0) &+ 1 : 1
    }
}
