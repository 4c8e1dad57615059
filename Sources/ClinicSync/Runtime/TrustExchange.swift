import ClinicSyncModel
import ClinicSyncStorage
import Logging
import NIOConcurrencyHelpers

/// Synchronises this node's trust store with the agents' replicated tables.
///
/// Any program on any PC can write the tables. So the exchange trusts no row without a valid signature. It restores
/// lost rows from this node's own files.
final class TrustExchange: Sendable {
    /// The parts that the exchange uses.
    struct Surroundings: Sendable {
        var trust: TrustStore
        var storage: StorageService
        /// Called after rows were written, so that the collector makes a batch of them.
        var wrote: @Sendable () -> Void
        /// Called when a peer's standing may have changed.
        var reviewPeers: @Sendable () -> Void
        /// Returns this node's current row.
        var ownRow: @Sendable () -> AgentTables.Node
        /// Called with the members' rows at the start and after each change of the tables.
        var membersRead: @Sendable ([AgentTables.Node]) -> Void
        var wallClock: @Sendable () -> Int64
        /// Adopts the name that a person gave this node.
        var renamed: @Sendable (String) throws -> Void
        var logger: Logger
    }

    /// The largest number of waiting signed entries from peers.
    ///
    /// Each connection usually brings one entry.
    private static let offersMax = 64

    private let surroundings: Surroundings
    private let offers = NIOLockedValueBox<[[UInt8]]>([])
    private let lastDay = NIOLockedValueBox<Int64>(0)
    private let wakes: AsyncStream<Void>
    private let wake: AsyncStream<Void>.Continuation

    /// Makes an exchange, which does nothing before ``run()``.
    init(_ surroundings: Surroundings) {
        self.surroundings = surroundings
        (self.wakes, self.wake) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
        self.wake.yield()
    }

    /// Requests a check of the tables soon; from any thread.
    func tablesChanged() { self.wake.yield() }

    /// Milliseconds of a day.
    private static let dayMilliseconds: Int64 = 86_400_000

    /// Returns the beginning of the day.
    ///
    /// Members write this time to show that they still run.
    static func day(of milliseconds: Int64) -> Int64 { milliseconds / self.dayMilliseconds * self.dayMilliseconds }

    /// Rewrites this node's row after a new day has begun; from any thread.
    func clockLookedAt() {
        let day = TrustExchange.day(of: self.surroundings.wallClock())
        let isNew = self.lastDay.withLockedValue { last in
            defer { last = day }
            return last != day
        }
        if isNew { self.wake.yield() }
    }

    /// Accepts a signed revocation from a peer; from any thread.
    ///
    /// The exchange drops revocations beyond the limit. A dropped revocation is also in the replicated table, or
    /// arrives again with the next connection.
    func offer(revocation: [UInt8]) {
        self.offers.withLockedValue { offers in
            if offers.count < TrustExchange.offersMax { offers.append(revocation) }
        }
        self.wake.yield()
    }

    /// Exchanges until cancelled.
    ///
    /// - Throws: ``ClinicSyncError`` of code `revoked` when this node is revoked, otherwise the store's errors.
    func run() async throws {
        for await _ in self.wakes {
            try await StorageErrors.mapping { try await self.exchange() }
            if let refusal = self.surroundings.trust.refusal { throw refusal }
        }
    }

    private func exchange() async throws {
        let trust = self.surroundings.trust
        let (revocationRows, grantRows, nodeRows) = try await self.surroundings.storage.read { reader in
            (
                try reader.agentRows(AgentTables.revocations), try reader.agentRows(AgentTables.grants),
                try reader.agentRows(AgentTables.nodes)
            )
        }
        let offered = self.offers.withLockedValue { offers in
            defer { offers = [] }
            return offers
        }
        let entries = offered + revocationRows.compactMap { AgentTables.blob($0["entry"]) }
        self.learn(revocations: entries)
        for row in grantRows {
            guard let certificate = AgentTables.blob(row["certificate"]) else { continue }
            self.learn(grant: certificate)
        }
        let inTable = Dictionary(
            revocationRows.compactMap { row in
                AgentTables.node(row["node"]).flatMap { node in
                    AgentTables.blob(row["entry"]).map { (node, $0) }
                }
            },
            uniquingKeysWith: { first, _ in first }
        )
        let missing = trust.knownRevocations.filter { known in
            inTable[known.node].map { !trust.accepts(revocation: $0, of: known.node) } ?? true
        }
        let members = nodeRows.compactMap(AgentTables.Node.init)
        self.surroundings.membersRead(members)
        var own = self.surroundings.ownRow()
        let ownRow = members.first { $0.id == own.id }
        // The name in the list takes precedence: a rename, here or on another PC, writes the name there.
        if let name = ownRow?.name, name != own.name, DisplayName.isName(name) {
            try self.surroundings.renamed(name)
            own.name = name
            self.surroundings.logger.notice("This node has a new name")
        }
        guard !missing.isEmpty || ownRow != own else { return }
        var ownValues = own.values
        if ownRow == nil { ownValues["joinedAt"] = .integer(self.surroundings.wallClock()) }
        try await self.surroundings.storage.write { [values = ownValues, own] writer in
            for revocation in missing {
                try writer.putAgentRow(
                    table: AgentTables.revocations,
                    values: AgentTables.revocationValues(
                        of: revocation.node,
                        number: revocation.number,
                        entry: revocation.bytes
                    )
                )
            }
            if ownRow != own { try writer.putAgentRow(table: AgentTables.nodes, values: values) }
        }
        self.surroundings.wrote()
    }

    private func learn(revocations entries: [[UInt8]]) {
        do {
            guard try self.surroundings.trust.learn(revocations: entries) else { return }
        } catch {
            // The revocations still take effect until the node stops.
            self.surroundings.logger.error(
                "A revocation could not be written down",
                metadata: ["error.message": "\(error)"]
            )
        }
        self.surroundings.reviewPeers()
    }

    private func learn(grant certificate: [UInt8]) {
        do {
            guard try self.surroundings.trust.learn(grant: certificate) else { return }
            self.surroundings.logger.notice("This node may invite now")
        } catch {
            self.surroundings.logger.warning(
                "The grant could not be written down",
                metadata: ["error.message": "\(error)"]
            )
        }
    }
}
