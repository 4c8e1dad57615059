package import ClinicSyncModel

/// One connection from its opening to its end: who is at the other side, and whether it may stay.
///
/// Both sides say hello before anything else. The side that dialled speaks first; the side that accepted
/// answers only after the peer has proved its membership, because a hello carries the clinic's secret.
package struct PeerConnectionStateMachine: Sendable, Hashable {
    /// Where the connection stands.
    package enum State: Sendable, Hashable {
        /// Opened; the peer's first message is awaited. Entered by `init`. Can transition to `joining`,
        /// `established`, `closed`.
        case awaitingHello
        /// The peer asked to become a member and waits for the store's verdict. Can transition to `closed`.
        case joining
        /// Both may send everything. Can transition to `closed`.
        case established(PeerIdentity)
        /// Refused, replaced or gone; nothing more is sent or heard. Final.
        case closed(CloseReason)
    }

    /// The connection.
    package let id: ConnectionID
    /// The address we dialled; `nil` when the peer did.
    package let dialled: String?
    /// Where the connection stands.
    package private(set) var state: State = .awaitingHello
    /// The vector that our hello carried; `nil` until it was sent.
    package var greeted: VersionVector?
    /// What arrived before this node was ready to answer.
    package private(set) var early: [Message] = []

    /// Starts with the opened connection.
    package init(id: ConnectionID, dialled: String?) {
        self.id = id
        self.dialled = dialled
    }

    /// Judges the peer's hello by `rules` and moves on accordingly.
    ///
    /// - Returns: The reason to close, or `nil` when the peer was accepted.
    package mutating func receive(_ hello: Hello, rules: HelloRules) -> CloseReason? {
        switch self.state {
        case .awaitingHello:
            if let refusal = rules.refusal(of: hello) {
                self.state = .closed(refusal)
                return refusal
            }
            self.state = .established(PeerIdentity(hello))
            return nil
        case .joining, .established:
            // Peer violation: a connection carries one identity from its first message to its last.
            self.state = .closed(.protocolViolation)
            return .protocolViolation
        case .closed(let reason):
            // Benign race: the hello was on its way when we closed.
            return reason
        }
    }

    /// Turns the connection into one that serves a join and nothing else.
    ///
    /// - Returns: Whether the wish came as the first message, as it must.
    package mutating func receiveJoin() -> Bool {
        guard self.state == .awaitingHello else { return false }
        self.state = .joining
        return true
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

/// Who a peer said it is.
package struct PeerIdentity: Sendable, Hashable {
    /// The node.
    package var node: NodeID
    /// Its name.
    package var name: String
    /// Where it listens.
    package var address: String
    /// Whether it is host.
    package var isHost: Bool

    /// Takes the identity from a hello that was accepted.
    package init(_ hello: Hello) {
        self.node = hello.nodeID
        self.name = hello.nodeName
        self.address = hello.listenAddress
        self.isHost = hello.isHost
    }
}

/// What a hello must say to be accepted.
package struct HelloRules: Sendable, Hashable {
    private let clinicID: String
    private let clinicSecret: [UInt8]
    private let ownID: NodeID
    private let hostPolicy: HostPolicy

    /// Takes the rules from the node's configuration.
    package init(_ configuration: CoreConfiguration) {
        self.clinicID = configuration.clinicID
        self.clinicSecret = configuration.clinicSecret
        self.ownID = configuration.origin.node
        self.hostPolicy = configuration.hostPolicy
    }

    /// Returns why `hello` is refused, or `nil` when it is not.
    ///
    /// The secret is compared before anything about members is revealed by the reason.
    package func refusal(of hello: Hello) -> CloseReason? {
        if hello.protocolVersion != CoreLimits.protocolVersion { return .protocolVersion }
        if hello.clinicID != self.clinicID { return .wrongClinic }
        if !HelloRules.equalInConstantTime(hello.clinicSecret, self.clinicSecret) { return .notAMember }
        if hello.nodeID == self.ownID { return .duplicateIdentity }
        if hello.nodeName.utf8.count > CoreLimits.nodeNameBytesMax { return .protocolViolation }
        if hello.partials.count > CoreLimits.partialsMax { return .protocolViolation }
        switch self.hostPolicy {
        case .local: return hello.isHost ? .notHost : nil
        case .remote(let host, _): return hello.isHost && hello.nodeID == host ? nil : .notHost
        }
    }

    /// Compares without stopping at the first difference, so that the time says nothing about the secret.
    private static func equalInConstantTime(_ left: [UInt8], _ right: [UInt8]) -> Bool {
        guard left.count == right.count else { return false }
        var difference: UInt8 = 0
        for (leftByte, rightByte) in zip(left, right) { difference |= leftByte ^ rightByte }
        return difference == 0
    }
}
