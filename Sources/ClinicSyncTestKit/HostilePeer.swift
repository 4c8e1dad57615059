import ClinicSync
import ClinicSyncCore
package import ClinicSyncModel
import ClinicSyncStorage
package import Foundation
import Logging
import NIOConcurrencyHelpers
import NIOPosix

/// A member that says whatever a test wants, over the real transport and with the certificate of a real node.
///
/// ```swift
/// await clinic.nodes[2].kill()
/// let peer = try await HostilePeer.connect(to: clinic.host.address, as: clinic.nodes[2].directory)
/// try peer.send(.chunk(peer.chunk(payload: [1, 0xff, 0xff])))
/// try await peer.wait(for: "its end") { $0.isClosed }
/// #expect(peer.seen.goodbye == .protocolViolation)
/// ```
///
/// It answers pings, so that the connection lives, and acknowledges nothing. Its own bytes need be no message at all. The
/// node whose identity it uses must not run.
package final class HostilePeer: Sendable {
    /// What the other node said.
    package struct Seen: Sendable {
        /// Its messages in their order, without pings and pongs.
        package fileprivate(set) var messages: [Message] = []
        /// Whether the connection is gone.
        package fileprivate(set) var isClosed = false
        /// The highest term in its frames.
        package fileprivate(set) var term: UInt64 = 0
        fileprivate var connection: ConnectionID?
        fileprivate var hasFailed = false

        /// The reason of its goodbye; `nil` without one.
        package var goodbye: CloseReason? {
            for case .goodbye(let reason, _) in self.messages { return reason }
            return nil
        }

        /// How long its goodbye asks the peer to wait; `nil` without such a wish.
        package var retryAfter: Duration? {
            for case .goodbye(_, let wait?) in self.messages { return .milliseconds(wait) }
            return nil
        }

        /// Its chunks in their order.
        package var chunks: [BatchChunk] {
            self.messages.compactMap { if case .chunk(let chunk) = $0 { chunk } else { nil } }
        }

        /// The payload bytes that it has acknowledged so far.
        package var creditBytes: Int {
            self.messages.reduce(0) { if case .acknowledge(let ack) = $1 { $0 + Int(ack.creditBytes) } else { $0 } }
        }

        /// Its hello; `nil` before it said one.
        package var hello: Hello? {
            for case .hello(let hello) in self.messages { return hello }
            return nil
        }
    }

    /// The node whose identity the peer uses, as an author.
    package let origin: Origin
    /// What the node's file has applied.
    package let vector: VersionVector
    private let state: NIOLockedValueBox<Seen>
    private let transport: PeerTransport
    /// What the transport's inputs are answered with; empty after ``close()``.
    private let driver: NIOLockedValueBox<PeerTransport?>
    private let connection: ConnectionID
    private let limit: Duration

    /// Dials a node and waits until both sides have said hello.
    ///
    /// A node lets a member wait that broke the protocol before; then the peer dials again when the wait is over.
    ///
    /// - Parameters:
    ///   - address: where the node listens, `address:port`.
    ///   - directory: the files of the member; its database gives the hello's vector.
    ///   - limit: how long each wait lasts at most.
    ///   - change: what to change in the hello.
    /// - Returns: The peer.
    /// - Throws: ``TestClinicError`` when the node does not take the connection; ``ClinicSyncError``.
    package static func connect(
        to address: String,
        as directory: URL,
        limit: Duration = .seconds(10),
        changing change: (inout Hello) -> Void = { _ in }
    ) async throws -> HostilePeer {
        let end = ContinuousClock.now + limit
        while true {
            let peer = try await self.connectOnce(to: address, as: directory, limit: limit, changing: change)
            guard peer.seen.hello == nil, let wait = peer.seen.retryAfter, ContinuousClock.now + wait < end else {
                return peer
            }
            await peer.close()
            try await Task.sleep(for: wait)
        }
    }

    /// As ``connect(to:as:limit:changing:)``, but a peer that must wait is returned closed and without a hello.
    package static func connectOnce(
        to address: String,
        as directory: URL,
        limit: Duration = .seconds(10),
        changing change: (inout Hello) -> Void = { _ in }
    ) async throws -> HostilePeer {
        let files = NodeDirectory(url: directory)
        let identity = try files.identity()
        let state = NIOLockedValueBox(Seen())
        let driver = NIOLockedValueBox<PeerTransport?>(nil)
        let transport = PeerTransport(
            group: MultiThreadedEventLoopGroup.singleton,
            limits: TransportLimits(),
            authenticator: try TrustStore.load(directory: files) { HostilePeer.wallMilliseconds },
            enrollment: nil,
            isLANOnly: true,
            logger: Logger(label: "hostile-peer", factory: { _ in SwiftLogNoOpLogHandler() })
        ) { input in
            state.withLockedValue { $0.note(input) }
            guard case .messageReceived(let id, let message, let term) = input,
                let transport = driver.withLockedValue({ $0 })
            else { return }
            transport.consumed(id)
            guard case .ping(let ping) = message else { return }
            let pong = Pong(id: ping.id, wallMilliseconds: HostilePeer.wallMilliseconds)
            transport.send(.pong(pong), term: term, over: [id])
            transport.flush()
        }
        driver.withLockedValue { $0 = transport }
        transport.dial(address)
        try await Condition.wait(for: "\(address) to answer", within: limit) {
            state.withLockedValue { $0.connection != nil || $0.hasFailed }
        }
        guard let connection = state.withLockedValue({ $0.connection }) else {
            throw TestClinicError("\(address) refused the connection.")
        }
        let peer = try HostilePeer(identity.nodeID, directory, driver, transport, connection, state, limit: limit)
        var hello = try peer.hello(clinicID: identity.clinicID)
        change(&hello)
        peer.send(.hello(hello), term: hello.hostReport.term)
        try await peer.wait(for: "\(address) to say hello") { $0.hello != nil || $0.isClosed }
        return peer
    }

    private init(
        _ node: NodeID,
        _ directory: URL,
        _ driver: NIOLockedValueBox<PeerTransport?>,
        _ transport: PeerTransport,
        _ connection: ConnectionID,
        _ state: NIOLockedValueBox<Seen>,
        limit: Duration
    ) throws {
        self.driver = driver
        self.transport = transport
        self.connection = connection
        self.state = state
        self.limit = limit
        let database = try TestDatabase(url: directory.appending(path: "clinic.db"))
        defer { _ = Swift.Result { try database.close() } }
        let incarnation = try database.integer("SELECT value FROM clinicsync_setting WHERE name = 'incarnation'")
        self.origin = Origin(node: node, incarnation: UInt32(incarnation ?? 0))
        self.vector = try HostilePeer.vector(of: database)
    }

    /// The batches that a node's file has applied.
    package static func vector(of database: TestDatabase) throws -> VersionVector {
        VersionVector(
            try database.vector().compactMap { origin, sequence in
                let parts = origin.split(separator: ":")
                let digits = Array(parts[0])
                let bytes = stride(from: 0, to: digits.count, by: 2).compactMap {
                    UInt8(String(digits[$0..<min($0 + 2, digits.count)]), radix: 16)
                }
                guard let node = NodeID(bytes: bytes), let incarnation = UInt32(parts[1]) else { return nil }
                return VersionVector.Entry(
                    origin: Origin(node: node, incarnation: incarnation),
                    sequence: UInt64(sequence)
                )
            }
        )
    }

    private func hello(clinicID: String) throws -> Hello {
        let coverage = self.vector.entries.reduce(0) { $0 + $1.sequence }
        return Hello(
            protocolVersion: CoreLimits.protocolVersion,
            clinicID: clinicID,
            nodeName: "hostile",
            softwareVersion: "0",
            schemaVersion: 13,
            addresses: [],
            hostReport: HostReport(
                role: .searching,
                term: 0,
                reign: nil,
                addresses: [],
                // Priority 0: the others never wait for this peer to become host.
                candidacy: Candidacy(priority: 0, coverage: coverage, uptimeBucket: 0, node: self.origin.node),
                successors: []
            ),
            wallMilliseconds: HostilePeer.wallMilliseconds,
            vector: self.vector,
            partials: [],
            creditBytes: 8 << 20,
            runID: UInt64.random(in: 1 ... .max)
        )
    }

    /// This PC's time, milliseconds since 1970.
    package static var wallMilliseconds: Int64 { Int64(Date().timeIntervalSince1970 * 1_000) }

    // MARK: - Sending

    /// The name of the next batch of this peer's origin.
    package var next: BatchID { BatchID(origin: self.origin, sequence: self.vector[self.origin] + 1) }

    /// Sends a message; the frame's term is the highest that the other node has named, unless `term` is given.
    package func send(_ message: Message, term: UInt64? = nil) {
        self.transport.send(message, term: term ?? self.seen.term, over: [self.connection])
        self.transport.flush()
    }

    /// Sends bytes as one binary WebSocket message; they need be no frame.
    package func send(bytes: [UInt8]) {
        self.transport.send(bytes: bytes, over: [self.connection])
        self.transport.flush()
    }

    /// Makes a chunk with the right checksum; without `batch`, of the next batch of this peer's origin.
    package func chunk(
        _ batch: BatchID? = nil,
        index: UInt32 = 0,
        isLast: Bool = true,
        timestamp: HybridTimestamp? = nil,
        dependencies: VersionVector = VersionVector(),
        payload: [UInt8]
    ) -> BatchChunk {
        let header = BatchHeader(
            timestamp: timestamp ?? HybridTimestamp(milliseconds: HostilePeer.wallMilliseconds),
            dependencies: dependencies,
            schemaVersion: 13
        )
        return BatchChunk(
            batch: batch ?? self.next,
            index: index,
            header: index == 0 ? header : nil,
            isLast: isLast,
            checksum: BatchChunk.checksum(of: payload),
            payload: payload
        )
    }

    /// The payload of one insertion (`docs/PROTOCOL.md`, "Chunk payload"); names, key and values are text.
    package static func insertion(into table: String, key: String, _ values: KeyValuePairs<String, String>) -> [UInt8] {
        func text(_ string: String) -> [UInt8] {
            let bytes = Array(string.utf8)
            return HostilePeer.number(UInt64(bytes.count)) + bytes
        }
        var payload: [UInt8] = [1, 1] + text(table) + HostilePeer.number(UInt64(values.count))
        for (column, _) in values { payload += text(column) }
        payload += [0, 1, 3] + text(key) + [0] + HostilePeer.number(1 << UInt64(values.count) - 1)
        for (_, value) in values { payload += [3] + text(value) }
        return payload
    }

    /// A number as LEB128.
    package static func number(_ value: UInt64) -> [UInt8] {
        var bytes: [UInt8] = []
        var rest = value
        while rest >= 0x80 {
            bytes.append(UInt8(rest & 0x7f) | 0x80)
            rest >>= 7
        }
        return bytes + [UInt8(rest)]
    }

    // MARK: - Receiving

    /// What the other node has said so far.
    package var seen: Seen { self.state.withLockedValue { $0 } }

    /// Waits until `condition` holds for what the other node has said.
    ///
    /// - Throws: ``TestClinicError`` when the time is over.
    package func wait(for what: String, until condition: (Seen) throws -> Bool) async throws {
        try await Condition.wait(for: what, within: self.limit) { try condition(self.seen) }
    }

    /// Ends the connection.
    package func close() async {
        await self.transport.shutdown()
        self.driver.withLockedValue { $0 = nil }
    }
}

extension HostilePeer.Seen {
    fileprivate mutating func note(_ input: Input) {
        switch input {
        case .connectionOpened(let id, _, _): self.connection = id
        case .dialFailed: self.hasFailed = true
        case .messageReceived(_, let message, let term):
            self.term = max(self.term, term)
            switch message {
            case .ping, .pong: break
            default: self.messages.append(message)
            }
        case .connectionClosed: self.isClosed = true
        default: break
        }
    }
}
