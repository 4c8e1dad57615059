package import ClinicSyncModel

/// One connection from its opening to its end: who is at the other side, and whether it may stay.
///
/// Who is there is known from its certificate before the connection opens. Both sides say hello before anything
/// else; the side that dialled speaks first.
package struct PeerConnectionStateMachine: Sendable, Hashable {
    /// Where the connection stands.
    package enum State: Sendable, Hashable {
        /// Opened; the peer's first message is awaited. Entered by `init`. Can transition to `established`, `closed`.
        case awaitingHello
        /// Both may send everything. Can transition to `closed`.
        case established(PeerIdentity)
        /// Refused, replaced or gone; nothing more is sent or heard. Final.
        case closed(CloseReason)
    }

    /// The connection.
    package let id: ConnectionID
    /// The address we dialled; `nil` when the peer did.
    package let dialled: String?
    /// The node at the other end, as its certificate proves.
    package let peer: NodeID
    /// Where the connection stands.
    package private(set) var state: State = .awaitingHello
    /// The vector that our hello carried; `nil` until it was sent.
    package var greeted: VersionVector?
    /// What our hello said of the host; `nil` until it was sent.
    package var greetedReport: HostReport?
    /// What arrived before this node was ready to answer.
    package private(set) var early: [Message] = []

    /// Starts with the opened connection.
    package init(id: ConnectionID, dialled: String?, peer: NodeID) {
        self.id = id
        self.dialled = dialled
        self.peer = peer
    }

    /// Judges the peer's hello by `rules` and moves on accordingly.
    ///
    /// - Returns: The reason to close, or `nil` when the peer was accepted.
    package mutating func receive(_ hello: Hello, rules: HelloRules) -> CloseReason? {
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
            // Benign race: the hello was on its way when we closed.
            return reason
        }
    }

    /// Keeps a message until the node is ready.
    ///
    /// - Returns: Whether there was room.
    package mutating func keep(_ message: Message) -> Bool {
        guard self.early.count < CoreLimits.earlyMessagesMax else { return false }
        self.early.append(message)
        return true
    }

    /// Hands over what was kept.
    package mutating func takeEarly() -> [Message] {
        defer { self.early = [] }
        return self.early
    }
}

/// Who a peer is, as its certificate proves, and what it said of itself.
package struct PeerIdentity: Sendable, Hashable {
    /// The node.
    package var node: NodeID
    /// Its name.
    package var name: String
    /// Where it is reached, the likeliest first.
    package var addresses: [String]

    /// Takes the identity from a hello that was accepted.
    package init(_ node: NodeID, _ hello: Hello) {
        self.node = node
        self.name = hello.nodeName
        self.addresses = hello.addresses
    }
}

/// What a hello must say to be accepted.
package struct HelloRules: Sendable, Hashable {
    private let clinicID: String
    private let ownID: NodeID

    /// Takes the rules from the node's configuration.
    package init(_ configuration: CoreConfiguration) {
        self.clinicID = configuration.clinicID
        self.ownID = configuration.origin.node
    }

    /// Returns why `hello` of `peer` is refused, or `nil` when it is not.
    package func refusal(of hello: Hello, from peer: NodeID) -> CloseReason? {
        if hello.protocolVersion != CoreLimits.protocolVersion { return .protocolVersion }
        if hello.clinicID != self.clinicID { return .wrongClinic }
        if peer == self.ownID { return .duplicateIdentity }
        if hello.nodeName.utf8.count > CoreLimits.nodeNameBytesMax { return .protocolViolation }
        if hello.partials.count > CoreLimits.partialsMax { return .protocolViolation }
        // Whoever it is, it speaks for itself.
        if hello.hostReport.candidacy.node != peer { return .protocolViolation }
        return nil
    }
}
