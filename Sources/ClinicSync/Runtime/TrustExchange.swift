import ClinicSyncModel
import ClinicSyncStorage
import Logging
import NIOConcurrencyHelpers

/// Keeps what this node trusts and the agents' replicated tables in step.
///
/// Any program on any PC can write the tables, so nothing in them is believed without its signature, and what they
/// have lost is put back from this node's own files.
final class TrustExchange: Sendable {
    /// What the exchange acts on.
    struct Surroundings: Sendable {
        var trust: TrustStore
        var storage: StorageService
        /// Called when rows were written, so that they are collected.
        var wrote: @Sendable () -> Void
        /// Called when a standing may have changed.
        var reviewPeers: @Sendable () -> Void
        /// This node's row as it is now.
        var ownRow: @Sendable () -> AgentTables.Node
        /// Called with the members' rows at the start and whenever something in the tables has changed.
        var membersRead: @Sendable ([AgentTables.Node]) -> Void
        var wallClock: @Sendable () -> Int64
        /// Takes over the name that somebody gave this node.
        var renamed: @Sendable (String) throws -> Void
        var logger: Logger
    }

    /// Signed entries that peers sent and that wait to be looked at: one for each connection is the rule.
    private static let offersMax = 64

    private let surroundings: Surroundings
    private let offers = NIOLockedValueBox<[[UInt8]]>([])
    private let lastDay = NIOLockedValueBox<Int64>(0)
    private let wakes: AsyncStream<Void>
    private let wake: AsyncStream<Void>.Continuation

    /// Makes an exchange; nothing happens before ``run()``.
    init(_ surroundings: Surroundings) {
        self.surroundings = surroundings
        (self.wakes, self.wake) = AsyncStream.makeStream(bufferingPolicy: .bufferingNewest(1))
        self.wake.yield()
    }

    /// Asks for a look at the tables, soon; from any thread.
    func tablesChanged() { self.wake.yield() }

    /// Milliseconds of a day.
    private static let dayMilliseconds: Int64 = 86_400_000

    /// The beginning of the day, by which members tell each other that they are still there.
    static func day(of milliseconds: Int64) -> Int64 { milliseconds / self.dayMilliseconds * self.dayMilliseconds }

    /// Has this node's row written anew when another day has begun; from any thread.
    func clockLookedAt() {
        let day = TrustExchange.day(of: self.surroundings.wallClock())
        let isNew = self.lastDay.withLockedValue { last in
            defer { last = day }
            return last != day
        }
        if isNew { self.wake.yield() }
    }

    /// Takes a signed revocation that a peer sent; from any thread.
    ///
    /// Beyond the limit it is dropped: it is in the replicated table as well, or comes again with the next connection.
    func offer(revocation: [UInt8]) {
        self.offers.withLockedValue { offers in
            if offers.count < TrustExchange.offersMax { offers.append(revocation) }
        }
        self.wake.yield()
    }

    /// Exchanges until cancelled.
    ///
    /// - Throws: ``ClinicSyncError`` of code `revoked` when this node was sent away, else what the store throws.
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
        // The name in the list is the one that counts: whoever renames a node, here or on another PC, writes it there.
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
        var isNew = false
        for entry in entries {
            do {
                isNew = try self.surroundings.trust.learn(revocation: entry) || isNew
            } catch {
                // It holds all the same, until the node stops.
                self.surroundings.logger.error(
                    "A revocation could not be written down",
                    metadata: ["error.message": "\(error)"]
                )
                isNew = true
            }
        }
        if isNew { self.surroundings.reviewPeers() }
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
