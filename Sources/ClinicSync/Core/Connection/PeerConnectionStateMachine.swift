package import ClinicSyncModel

/// One connection from its opening to its end: the handshake, and the peer's identity.
///
/// The peer's certificate names the peer before the connection opens. Both ends say hello before anything else; the end
/// that dialled speaks first.
package struct PeerConnectionStateMachine: Sendable, Hashable {
    /// The state of the connection.
    package enum State: Sendable, Hashable {
        /// The connection is open and the peer has not said hello. Entered by `init`. Can transition to `established`,
        /// `closed`.
        case awaitingHello
        /// The peer's hello was accepted; both ends may send every message. Can transition to `closed`.
        case established(PeerIdentity)
        /// The connection was refused, replaced or lost; it carries no more messages. Final.
        case closed(CloseReason)
    }

    /// A peer's goodbye.
    package struct Farewell: Sendable, Hashable {
        /// When the peer wants to be dialled again; `nil` when it named no time.
        package var retryAfter: Duration?
    }

    /// The connection.
    package let id: ConnectionID
    /// The address that this node dialled; `nil` when the peer dialled.
    package let dialled: String?
    /// The node in the peer's certificate.
    package let peer: NodeID
    /// The state of the connection.
    package private(set) var state: State = .awaitingHello
    /// The vector in this node's hello; `nil` until the hello was sent, and when the link has begun.
    package var greeted: VersionVector?
    /// What this node's hello said of the host; `nil` until the hello was sent.
    package var greetedReport: HostReport?
    /// The process at the other end; `nil` before its hello.
    package private(set) var process: PeerBackOff.Process?
    /// What the peer's goodbye said; `nil` when it said none.
    package var farewell: Farewell?
    /// Messages that arrived before this node was ready to answer.
    package private(set) var early: [Message] = []

    /// Starts with the opened connection.
    package init(id: ConnectionID, dialled: String?, peer: NodeID) {
        self.id = id
        self.dialled = dialled
        self.peer = peer
    }

    /// Judges the peer's hello by `rules`.
    ///
    /// - Returns: The reason to close, or `nil` when the peer was accepted.
    package mutating func receive(_ hello: Hello, rules: HelloRules) -> CloseReason? {
        self.process = PeerBackOff.Process(hello)
        switch self.state {
        case .awaitingHello:
            if let refusal = rules.refusal(of: hello, from: self.peer) {
                self.state = .closed(refusal)
                return refusal
            }
            self.state = .established(PeerIdentity(self.peer, hello))
            return nil
        case .established:
            // Peer violation: a connection carries one identity from its first message to its last.
            self.state = .closed(.protocolViolation)
            return .protocolViolation
        case .closed(let reason):
            // Race: the hello was on its way when this node closed the connection.
            return reason
        }
    }

    /// Keeps a message until the node is ready.
    ///
    /// Only the messages with which a connection may begin are kept. The others could be large, and no peer may send them
    /// before this node's hello.
    ///
    /// - Returns: Whether the peer may send the message now, and there was room.
    package mutating func keep(_ message: Message) -> Bool {
        guard message.isFirst, self.early.count < CoreLimits.earlyMessagesMax else { return false }
        self.early.append(message)
        return true
    }

    /// Returns the messages that were kept, and forgets them.
    package mutating func takeEarly() -> [Message] {
        defer { self.early = [] }
        return self.early
    }
}

/// The rules by which a hello is accepted.
package struct HelloRules: Sendable, Hashable {
    private let clinicID: String
    private let ownID: NodeID
    private let epoch: Epoch?

    /// Takes the rules from the node's configuration.
    package init(_ configuration: CoreConfiguration) {
        self.clinicID = configuration.clinicID
        self.ownID = configuration.origin.node
        self.epoch = configuration.epoch
    }

    /// Returns why `hello` of `peer` is refused, or `nil` when it is not.
    package func refusal(of hello: Hello, from peer: NodeID) -> CloseReason? {
        if hello.protocolVersion != CoreLimits.protocolVersion { return .protocolVersion }
        if hello.clinicID != self.clinicID { return .wrongClinic }
        if peer == self.ownID { return .duplicateIdentity }
        if hello.nodeName.utf8.count > CoreLimits.nodeNameBytesMax { return .protocolViolation }
        if hello.partials.count > CoreLimits.partialsMax { return .protocolViolation }
        // A node may report its own worth as host only.
        if hello.hostReport.candidacy.node != peer { return .protocolViolation }
        if hello.epoch != self.epoch { return hello.knowsEpochs ? .otherEpoch : .protocolVersion }
        return nil
    }
}
