import ClinicSyncCore
import ClinicSyncModel
import ClinicSyncStorage
import Logging
import NIOConcurrencyHelpers

/// Synchronises what this node knows by signatures with the agents' replicated tables.
///
/// Any program on any PC can write the tables. So the exchange believes no row without a valid signature, restores what
/// was lost or overwritten from this node's own files, and lets the host remove rows that nobody signed.
final class TrustExchange: Sendable {
    /// The parts that the exchange uses.
    struct Surroundings: Sendable {
        var trust: TrustStore
        var register: MemberRegister
        var storage: StorageService
        /// Called after rows were written, so that the collector makes a batch of them.
        var wrote: @Sendable () -> Void
        /// Returns this node's current row, without its statement.
        var ownRow: @Sendable () -> AgentTables.Node
        /// Called when something new is known of members.
        var membersChanged: @Sendable () -> Void
        /// Returns whether this node is host.
        var isHost: @Sendable () -> Bool
        /// Called with the verdict about an epoch that a peer offered.
        var judgedEpoch: @Sendable (TrustStore.EpochVerdict) -> Void = { _ in }
        var wallClock: @Sendable () -> Int64
        /// A monotonic clock.
        var monotonic: @Sendable () -> Duration
        /// Adopts the name that a person gave this node.
        var renamed: @Sendable (String) throws -> Void
        var logger: Logger
    }

    private struct State {
        var offers: [SignedEntry] = []
        var lastDay: Int64 = 0
        /// Nodes that this run met in a TLS handshake, and whose rows it therefore looks after.
        var met: Set<NodeID> = []
        var places: TrustLook.Places = [:]
        var unsigned: UnsignedRows
        /// Whether the exchange must look again although no table has changed.
        var isUnfinished = false
        var lastKnown: KnownMembers?
        /// Limits the rows that are put back: one every ten seconds in the long run.
        var repairs = TokenBucket(rate: 0.1, burst: 32)
    }

    /// The largest number of waiting signed entries from peers, of at most 32 KiB each.
    ///
    /// A revoked node's connection brings one entry. A node that was off gets one for each new member.
    private static let offersMax = 256
    /// The largest number of nodes whose rows this node looks after because it met them.
    private static let metMax = 1_024

    private let surroundings: Surroundings
    private let state: NIOLockedValueBox<State>
    private let wakes: AsyncStream<Void>
    private let wake: AsyncStream<Void>.Continuation

    private var trust: TrustStore { self.surroundings.trust }
    private var register: MemberRegister { self.surroundings.register }

    /// Makes an exchange, which does nothing before ``run()``.
    init(_ surroundings: Surroundings, unsigned: UnsignedRows = UnsignedRows()) {
        self.surroundings = surroundings
        self.state = NIOLockedValueBox(State(unsigned: unsigned))
        (self.wakes, self.wake) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
        self.wake.yield()
    }

    /// The number of rows in the tables that nobody signed, as far as this node has looked.
    var unsignedRows: Int { self.state.withLockedValue { $0.unsigned.count } }

    /// Requests a check of the tables soon; from any thread.
    func tablesChanged() { self.wake.yield() }

    /// A member showed its certificate; from any thread.
    ///
    /// Its row must be in the tables before others get its changes.
    func met(_ node: NodeID) {
        self.state.withLockedValue { if $0.met.count < TrustExchange.metMax { $0.met.insert(node) } }
        self.wake.yield()
    }

    /// Milliseconds of a day.
    private static let dayMilliseconds: Int64 = 86_400_000

    /// Returns the beginning of the day.
    ///
    /// Members write this time to show that they still run.
    static func day(of milliseconds: Int64) -> Int64 { milliseconds / self.dayMilliseconds * self.dayMilliseconds }

    /// Rewrites this node's row after a new day has begun, and goes on with what is unfinished; from any thread.
    func clockLookedAt() {
        let day = TrustExchange.day(of: self.surroundings.wallClock())
        let isDue = self.state.withLockedValue { state in
            defer { state.lastDay = day }
            return state.lastDay != day || state.isUnfinished
        }
        if isDue { self.wake.yield() }
    }

    /// Accepts a signed entry from a peer; from any thread.
    ///
    /// The exchange drops entries beyond the limit. A dropped revocation is also in the replicated table, or arrives again
    /// with the next connection. The core asks again for a dropped proof.
    func offer(_ entry: SignedEntry) {
        self.state.withLockedValue { state in
            if state.offers.count < TrustExchange.offersMax { state.offers.append(entry) }
        }
        self.wake.yield()
    }

    /// Exchanges until cancelled.
    ///
    /// - Parameter reviewPeers: called when a peer's standing may have changed.
    /// - Throws: ``ClinicSyncError`` of code `revoked` when this node is revoked, otherwise the store's errors.
    func run(reviewPeers: @escaping @Sendable () -> Void) async throws {
        for await _ in self.wakes {
            try await StorageErrors.mapping { try await self.exchange(reviewPeers: reviewPeers) }
            if let refusal = self.trust.refusal { throw refusal }
        }
    }

    /// Looks at the tables once, takes what is signed, and puts right what is wrong.
    ///
    /// - Parameter reviewPeers: called when a peer's standing may have changed, before anything is written.
    /// - Throws: ``StoreError``, and ``ClinicSyncError`` when a file cannot be written.
    func exchange(reviewPeers: @Sendable () -> Void) async throws {
        let look = TrustLook(trust: self.trust, register: self.register)
        let (places, offers) = self.state.withLockedValue { state in
            defer { state.offers = [] }
            return (state.places, state.offers)
        }
        var (findings, next) = try await self.surroundings.storage.read { reader in
            var next = places
            return (try look.look(reader, from: &next), next)
        }
        findings.learn(offers, self.trust, self.register)
        if findings.hasNewRevocation { reviewPeers() }
        // After the revocations that came with it.
        for verdict in findings.epochs { self.surroundings.judgedEpoch(verdict) }
        let isWhole = places.isEmpty && next.isEmpty
        self.adopt(findings, next, isWhole: isWhole)
        let own = try self.own()
        var isUnfinished = !next.isEmpty
        isUnfinished = try await self.restore(own) || isUnfinished
        isUnfinished = try await self.removeUnsigned(findings.unsigned) || isUnfinished
        self.state.withLockedValue { [isUnfinished] state in state.isUnfinished = isUnfinished }
        do { try self.register.save() } catch {
            self.surroundings.logger.warning(
                "The members could not be written down",
                metadata: ["error.message": "\(error)"]
            )
        }
    }

    /// Takes over the findings of a look.
    private func adopt(_ findings: TrustLook.Findings, _ places: TrustLook.Places, isWhole: Bool) {
        let now = self.surroundings.monotonic()
        self.register.note(unsigned: findings.facts, isWhole: isWhole)
        let known = self.register.known
        let isNew = self.state.withLockedValue { state in
            defer { state.lastKnown = known }
            state.places = places
            state.unsigned.found(findings.unsigned, isWhole: isWhole, at: now)
            return state.lastKnown != known
        }
        if findings.isGranted { self.surroundings.logger.notice("This node may invite now") }
        if isNew || findings.hasNewMember || !findings.facts.isEmpty { self.surroundings.membersChanged() }
        for failure in findings.failures {
            self.surroundings.logger.error(
                "A signed entry could not be written down",
                metadata: ["error.message": "\(failure)"]
            )
        }
    }

    /// This node's row, signed; the node first takes over a name that another node with the right to sign gave it.
    private func own() throws -> AgentTables.Node {
        var own = self.surroundings.ownRow()
        if let member = self.register.member(own.id), let renaming = self.register.renaming(of: member) {
            if renaming.name != own.name {
                try self.surroundings.renamed(renaming.name)
                self.surroundings.logger.notice("This node has a new name")
            }
            own.name = renaming.name
        }
        self.register.learn(chain: self.trust.certificates)
        if let grant = self.trust.ownGrant { self.register.learn(grant: grant.bytes, of: own.id) }
        own.statement = try self.register.state(own.facts).bytes
        return own
    }

    /// Takes over the name that a person gave this node here.
    ///
    /// - Throws: those of writing the node's files.
    func renameSelf(_ name: String) throws {
        try self.surroundings.renamed(name)
        var own = self.surroundings.ownRow()
        own.name = name
        _ = try self.register.state(own.facts)
    }

    // MARK: - Putting rows right

    /// Writes the rows that must be in the tables and are not.
    ///
    /// Whoever has a revocation puts it back. A node looks after its own rows. The host, and whoever has met the node, look
    /// after the proof of every other member.
    ///
    /// - Returns: Whether rows are left for later.
    private func restore(_ own: AgentTables.Node) async throws -> Bool {
        let (isHost, met) = (self.surroundings.isHost(), self.state.withLockedValue { $0.met })
        let members = self.register.members.filter { member in
            member.node != own.id && (isHost || met.contains(member.node)) && self.register.isPresent(member)
        }
        let repair = TrustRepair(trust: self.trust, register: self.register)
        let wallClock = self.surroundings.wallClock
        let missing = try await self.surroundings.storage.read { reader in
            try repair.missing(own: own, others: members, joinedAt: wallClock(), reader)
        }
        let now = self.surroundings.monotonic()
        let affordable = self.state.withLockedValue { state in
            missing.prefix { _ in state.repairs.take(now: now) == nil }
        }
        guard !affordable.isEmpty else { return !missing.isEmpty }
        try await self.surroundings.storage.write { writer in
            for row in affordable { try writer.putAgentRow(table: row.table, values: row.values) }
        }
        self.surroundings.wrote()
        return affordable.count < missing.count
    }

    /// On the host, deletes rows that have been without a signature for a while.
    ///
    /// - Returns: Whether there are such rows.
    private func removeUnsigned(_ found: [TrustLook.Row]) async throws -> Bool {
        guard self.surroundings.isHost() else { return !found.isEmpty }
        let now = self.surroundings.monotonic()
        let due = self.state.withLockedValue { $0.unsigned.due(among: found, at: now) }
        guard !due.isEmpty else { return !found.isEmpty }
        let removed = try await self.surroundings.storage.write { writer in
            try Dictionary(grouping: due, by: \.table)
                .reduce(0) { $0 + (try writer.deleteAgentRows(table: $1.key, keys: $1.value.map(\.key))) }
        }
        self.surroundings.logger.warning("Rows that nobody signed were removed", metadata: ["rows": "\(removed)"])
        self.surroundings.wrote()
        return true
    }
}
