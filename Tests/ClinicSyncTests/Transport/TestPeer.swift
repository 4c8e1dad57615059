import ClinicSyncCore
import ClinicSyncModel
import Logging
import NIOConcurrencyHelpers
import NIOCore
import NIOPosix
import Testing

@testable import ClinicSync

/// A transport whose inputs a test can wait for.
final class TestPeer: Sendable {
    /// The posted inputs so far, sorted by kind; messages by connection, in their order.
    struct Seen: Sendable {
        var opened: [(id: ConnectionID, dialled: String?, peer: NodeID)] = []
        var failedDials: [String] = []
        /// Why dials failed, in the order of ``failedDials``.
        var failures: [DialFailure] = []
        var messages: [ConnectionID: [Message]] = [:]
        var malformed: [ConnectionID] = []
        var closed: [ConnectionID] = []
        /// Inputs after the `connectionClosed` of their connection, or before its `connectionOpened`.
        var misplaced = 0

        mutating func note(_ input: Input) {
            switch input {
            case .connectionOpened(let id, let dialled, let peer): self.opened.append((id, dialled, peer))
            case .dialFailed(let address, let failure):
                self.failedDials.append(address)
                self.failures.append(failure)
            // A sign of life of a dial that goes on; its end is what tests look at.
            case .dialAnswered: break
            case .messageReceived(let id, let message, _):
                self.misplaced += self.closed.contains(id) || !self.isOpened(id) ? 1 : 0
                self.messages[id, default: []].append(message)
            case .malformedMessageReceived(let id):
                self.misplaced += self.closed.contains(id) || !self.isOpened(id) ? 1 : 0
                self.malformed.append(id)
            case .connectionClosed(let id):
                self.misplaced += self.closed.contains(id) || !self.isOpened(id) ? 1 : 0
                self.closed.append(id)
            case .started, .answerProbe, .peersFound, .membersChanged, .addressesChanged, .timerFired,
                .localCommitNoticed, .storageReplied, .eventOccurred, .commandReceived, .shutdownRequested,
                .storeLocked, .storeUnlocked, .syncsTakeLong, .roomIsShort:
                self.misplaced += 1
            }
        }

        private func isOpened(_ id: ConnectionID) -> Bool { self.opened.contains { $0.id == id } }
    }

    private struct State {
        var seen = Seen()
        var waiters: [@Sendable (Seen) -> Bool] = []
    }

    struct TimedOut: Error, CustomStringConvertible {
        let seen: Seen
        var description: String {
            "timed out with \(self.seen.opened.count) opened, \(self.seen.closed.count) closed, "
                + "\(self.seen.messages.values.map(\.count)) messages, \(self.seen.malformed.count) malformed, "
                + "\(self.seen.failedDials.count) failed dials"
        }
    }

    /// Limits for a busy machine: a debug build may need seconds for one large payload.
    static let patient: TransportLimits = {
        var limits = TransportLimits()
        limits.upgradeTimeout = .seconds(40)
        limits.closeTimeout = .seconds(40)
        return limits
    }()

    let transport: PeerTransport
    let identity: TestIdentity
    let authenticator: TestAuthenticator
    private let state: NIOLockedValueBox<State>

    /// Makes a peer; with `consumes`, every message counts as handled at once.
    init(
        _ identity: TestIdentity? = nil,
        limits: TransportLimits = TestPeer.patient,
        consumes: Bool = true,
        enrollment: (any EnrollmentService)? = nil,
        isLANOnly: Bool = true
    ) throws {
        let clinic = try TestClinic.shared.get()
        self.identity = try identity ?? clinic.issue()
        self.authenticator = try TestAuthenticator(self.identity, of: clinic)
        let state = NIOLockedValueBox(State())
        let consumer = NIOLockedValueBox<PeerTransport?>(nil)
        self.state = state
        self.transport = PeerTransport(
            group: MultiThreadedEventLoopGroup.singleton,
            limits: limits,
            authenticator: self.authenticator,
            enrollment: enrollment,
            isLANOnly: isLANOnly,
            logger: Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() })
        ) { input in
            let (waiters, seen) = state.withLockedValue { state in
                state.seen.note(input)
                return (state.waiters, state.seen)
            }
            let isWaiting = waiters.map { !$0(seen) }
            if isWaiting.contains(false) {
                state.withLockedValue { state in
                    // Waiters are only appended, so the first waiters are those that were just checked.
                    state.waiters =
                        zip(state.waiters, isWaiting).filter(\.1).map(\.0)
                        + state.waiters.dropFirst(isWaiting.count)
                }
            }
            if consumes, case .messageReceived(let id, _, _) = input {
                consumer.withLockedValue { $0 }?.consumed(id)
            }
        }
        consumer.withLockedValue { $0 = self.transport }
    }

    /// The posted inputs so far.
    var seen: Seen { self.state.withLockedValue { $0.seen } }

    /// Waits until `condition` finds a value in the posted inputs.
    @discardableResult
    func wait<Found: Sendable>(
        seconds: Int64 = 40,
        until condition: @escaping @Sendable (Seen) -> Found?
    ) async throws -> Found {
        let loop = MultiThreadedEventLoopGroup.singleton.any()
        let found = loop.makePromise(of: Found.self)
        let deadline = loop.scheduleTask(in: .seconds(seconds)) { found.fail(TimedOut(seen: self.seen)) }
        let check: @Sendable (Seen) -> Bool = { seen in
            guard let value = condition(seen) else { return false }
            found.succeed(value)
            return true
        }
        let now = self.state.withLockedValue { state in
            state.waiters.append(check)
            return state.seen
        }
        _ = check(now)
        defer { deadline.cancel() }
        return try await found.futureResult.get()
    }

    /// Waits for the connection number `index`.
    func opened(_ index: Int = 0) async throws -> ConnectionID {
        try await self.wait { $0.opened.count > index ? $0.opened[index].id : nil }
    }

    /// Waits for `count` messages of `connection`.
    func messages(_ count: Int, of connection: ConnectionID) async throws -> [Message] {
        try await self.wait { seen in
            let messages = seen.messages[connection] ?? []
            return messages.count >= count ? messages : nil
        }
    }

    /// How often a connection was refused for `reason`.
    func refusals(_ reason: RefusalReason) -> UInt64 {
        self.transport.refusals.withLockedValue { $0.counts[reason, default: 0] }
    }

    /// Waits until connections were refused for `reason` the given number of times.
    func refused(_ reason: RefusalReason, times: UInt64 = 1) async throws {
        try await eventually { self.refusals(reason) >= times }
    }

    /// Sends at once.
    func send(_ message: Message, over connections: [ConnectionID]) {
        self.transport.send(message, term: 0, over: connections)
        self.transport.flush()
    }
}

/// Two peers with one connection.
struct TestPair {
    let server: TestPeer
    let client: TestPeer
    let address: String
    /// The server's id of the connection.
    let serverSide: ConnectionID
    /// The client's id of the connection.
    let clientSide: ConnectionID

    init(server: TestPeer? = nil, client: TestPeer? = nil) async throws {
        let (server, client) = (try server ?? TestPeer(), try client ?? TestPeer())
        self.server = server
        self.client = client
        self.address = try await server.transport.listen(on: "127.0.0.1:0")
        client.transport.dial(self.address)
        self.clientSide = try await client.opened()
        self.serverSide = try await server.opened()
    }

    /// A socket to the server with the certificate of one more member.
    func member() async throws -> RawSocket {
        try await RawSocket(self.address, tls: try TestClinic.shared.get().issue().clientContext())
    }

    /// Checks that the first connection still works in both directions.
    ///
    /// Then ends both peers.
    func expectWorking() async throws {
        self.client.send(.ping(Ping(id: 1)), over: [self.clientSide])
        #expect(try await self.server.messages(1, of: self.serverSide) == [.ping(Ping(id: 1))])
        self.server.send(.ping(Ping(id: 2)), over: [self.serverSide])
        #expect(try await self.client.messages(1, of: self.clientSide) == [.ping(Ping(id: 2))])
        #expect(!self.server.seen.closed.contains(self.serverSide))
        #expect(self.server.seen.misplaced == 0)
        await self.shutdown()
    }

    func shutdown() async {
        await self.client.transport.shutdown()
        await self.server.transport.shutdown()
    }
}

/// Waits until `condition` holds, for conditions without an announcement.
func eventually(seconds: Int64 = 40, _ condition: @escaping @Sendable () -> Bool) async throws {
    struct NeverHeld: Error {}
    let loop = MultiThreadedEventLoopGroup.singleton.any()
    let held = loop.makePromise(of: Void.self)
    let look = loop.scheduleRepeatedTask(initialDelay: .zero, delay: .milliseconds(2)) { _ in
        if condition() { held.succeed() }
    }
    let deadline = loop.scheduleTask(in: .seconds(seconds)) { held.fail(NeverHeld()) }
    defer {
        look.cancel()
        deadline.cancel()
    }
    try await held.futureResult.get()
}
