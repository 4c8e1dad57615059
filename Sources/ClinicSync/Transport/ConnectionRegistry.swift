import ClinicSyncCore
import NIOCore

/// What a transport has open; a value behind the transport's lock.
struct ConnectionRegistry {
    /// Open WebSockets.
    private(set) var connections: [ConnectionID: PeerConnection] = [:]
    /// All sockets to peers, those not yet upgraded included, with the address that counts for the limit:
    /// `nil` for those we dialled.
    private var sockets: [ObjectIdentifier: (channel: any Channel, remote: String?)] = [:]
    /// Sockets that listen.
    private var listeners: [any Channel] = []
    private var acceptedCount = 0
    private var acceptedPerAddress: [String: Int] = [:]
    private var lastID: UInt64 = 0
    /// Whether nothing more may be opened.
    private(set) var isShutDown = false
    /// Whether the node is cut off: no socket is taken on, as if the cable were out.
    var isCut = false

    /// Whether a socket is taken on, and counts it if so.
    mutating func admit(_ channel: any Channel, acceptedFrom remote: String?, _ limits: TransportLimits) -> Bool {
        guard !self.isShutDown, !self.isCut else { return false }
        if let remote {
            let sameAddress = self.acceptedPerAddress[remote, default: 0]
            guard self.acceptedCount < limits.acceptedMax, sameAddress < limits.acceptedPerAddressMax else {
                return false
            }
            self.acceptedCount += 1
            self.acceptedPerAddress[remote] = sameAddress + 1
        }
        self.sockets[ObjectIdentifier(channel)] = (channel, remote)
        return true
    }

    /// Forgets a socket that was admitted and is closed.
    mutating func dismiss(_ channel: any Channel) {
        guard let socket = self.sockets.removeValue(forKey: ObjectIdentifier(channel)) else { return }
        guard let remote = socket.remote else { return }
        self.acceptedCount -= 1
        let rest = self.acceptedPerAddress[remote, default: 1] - 1
        self.acceptedPerAddress[remote] = rest == 0 ? nil : rest
    }

    /// Adds a listening socket, unless nothing more may be opened.
    mutating func listen(_ channel: any Channel) -> Bool {
        guard !self.isShutDown else { return false }
        self.listeners.append(channel)
        return true
    }

    /// A new id, larger than all before.
    mutating func nextID() -> ConnectionID {
        self.lastID += 1
        return ConnectionID(rawValue: self.lastID)
    }

    /// Adds an open WebSocket.
    mutating func add(_ connection: PeerConnection) {
        self.connections[connection.id] = connection
    }

    /// Removes a WebSocket that is gone.
    mutating func remove(_ id: ConnectionID) {
        self.connections[id] = nil
    }

    /// All sockets to peers.
    var channels: [any Channel] { self.sockets.values.map(\.channel) }

    /// Lets nothing more be opened, and returns the listeners, which the caller closes.
    mutating func shutDown() -> [any Channel] {
        self.isShutDown = true
        defer { self.listeners.removeAll() }
        return self.listeners
    }
}
