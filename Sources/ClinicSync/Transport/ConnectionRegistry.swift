import ClinicSyncCore
import ClinicSyncModel
import NIOCore

/// The open sockets of a transport; a value behind the transport's lock.
struct ConnectionRegistry {
    /// An open WebSocket and its peer.
    struct Member {
        var connection: PeerConnection
        var credential: PeerCredential
    }

    /// The answer to a new socket.
    enum Admission: Equatable {
        case admitted
        /// Refused, because the transport is shutting down or is cut off.
        case ended
        /// Refused, because the number of sockets has reached a limit.
        case full
    }

    /// The progress of an accepted socket.
    private enum Stage {
        /// The handshake or the upgrade is in progress.
        case pending
        /// An enrollment.
        case enrolling
        /// A WebSocket of a member.
        case open
    }

    private struct Socket {
        var channel: any Channel
        /// The remote address that counts for the limits; `nil` when this node dialled.
        var remote: String?
        var stage: Stage
    }

    /// Counts of sockets, in total and for each address.
    private struct Tally {
        private(set) var total = 0
        private var perAddress: [String: Int] = [:]

        func hasRoom(for address: String, max: Int, perAddressMax: Int) -> Bool {
            self.total < max && self.perAddress[address, default: 0] < perAddressMax
        }

        mutating func add(_ address: String) {
            self.total += 1
            self.perAddress[address, default: 0] += 1
        }

        mutating func remove(_ address: String) {
            self.total -= 1
            let rest = self.perAddress[address, default: 1] - 1
            self.perAddress[address] = rest == 0 ? nil : rest
        }
    }

    /// Open WebSockets of members.
    private(set) var members: [ConnectionID: Member] = [:]
    /// All sockets to peers, including sockets before the upgrade.
    private var sockets: [ObjectIdentifier: Socket] = [:]
    /// Sockets that listen.
    private var listeners: [any Channel] = []
    private var accepted = Tally()
    private var pending = Tally()
    private var enrolling = Tally()
    private var lastID: UInt64 = 0
    /// Whether the registry accepts no more sockets.
    private(set) var isShutDown = false
    /// Whether the node is cut off.
    ///
    /// A node that is cut off refuses all sockets, as if the cable were unplugged.
    var isCut = false

    /// Returns the open WebSocket with that id.
    func connection(_ id: ConnectionID) -> PeerConnection? { self.members[id]?.connection }

    /// Admits a socket and counts it, or refuses it.
    mutating func admit(
        _ channel: any Channel,
        acceptedFrom remote: String?,
        _ limits: TransportLimits
    ) -> Admission {
        guard !self.isShutDown, !self.isCut else { return .ended }
        if let remote {
            let mayAccept = self.accepted.hasRoom(
                for: remote,
                max: limits.acceptedMax,
                perAddressMax: limits.acceptedPerAddressMax
            )
            let mayWait = self.pending.hasRoom(
                for: remote,
                max: limits.pendingMax,
                perAddressMax: limits.pendingPerAddressMax
            )
            guard mayAccept, mayWait else { return .full }
            self.accepted.add(remote)
            self.pending.add(remote)
        }
        self.sockets[ObjectIdentifier(channel)] = Socket(channel: channel, remote: remote, stage: .pending)
        return .admitted
    }

    /// Counts a pending socket as an enrollment, if the limit allows another enrollment.
    mutating func beginEnrollment(on channel: any Channel, _ limits: TransportLimits) -> Bool {
        let id = ObjectIdentifier(channel)
        guard let remote = self.sockets[id]?.remote else { return false }
        let hasRoom = self.enrolling.hasRoom(
            for: remote,
            max: limits.enrollmentsMax,
            perAddressMax: limits.enrollmentsPerAddressMax
        )
        guard hasRoom else { return false }
        self.move(id, to: .enrolling)
        return true
    }

    /// Removes a closed socket that was admitted.
    mutating func dismiss(_ channel: any Channel) {
        let id = ObjectIdentifier(channel)
        self.move(id, to: .open)
        guard let socket = self.sockets.removeValue(forKey: id), let remote = socket.remote else { return }
        self.accepted.remove(remote)
    }

    /// Adds a listening socket, unless the registry is shut down.
    mutating func listen(_ channel: any Channel) -> Bool {
        guard !self.isShutDown else { return false }
        self.listeners.append(channel)
        return true
    }

    /// Returns a new id that is larger than all earlier ids.
    mutating func nextID() -> ConnectionID {
        self.lastID += 1
        return ConnectionID(rawValue: self.lastID)
    }

    /// Adds an open WebSocket of a member.
    mutating func add(_ connection: PeerConnection, _ credential: PeerCredential) {
        self.members[connection.id] = Member(connection: connection, credential: credential)
        self.move(ObjectIdentifier(connection.channel), to: .open)
    }

    /// Removes a closed WebSocket.
    mutating func remove(_ id: ConnectionID) {
        self.members[id] = nil
    }

    /// All sockets to peers.
    var channels: [any Channel] { self.sockets.values.map(\.channel) }

    /// Accepts no more sockets, and returns the listeners, which the caller closes.
    mutating func shutDown() -> [any Channel] {
        self.isShutDown = true
        defer { self.listeners.removeAll() }
        return self.listeners
    }

    private mutating func move(_ id: ObjectIdentifier, to stage: Stage) {
        guard var socket = self.sockets[id] else { return }
        if let remote = socket.remote {
            switch socket.stage {
            case .pending: self.pending.remove(remote)
            case .enrolling: self.enrolling.remove(remote)
            case .open: break
            }
            switch stage {
            case .pending: self.pending.add(remote)
            case .enrolling: self.enrolling.add(remote)
            case .open: break
            }
        }
        socket.stage = stage
        self.sockets[id] = socket
    }
}
