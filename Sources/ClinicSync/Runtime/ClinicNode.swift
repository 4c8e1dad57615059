import ClinicSyncModel
import ClinicSyncStorage
import Foundation
package import Logging
import ServiceLifecycle

package final class ClinicNode: Service {
    private let directory: NodeDirectory
    private let configuration: NodeConfiguration
    private let logger: Logger
    private let onReady: @Sendable (ReadyInfo) -> Void
    private let events: EventBroadcaster
    private let identity: NodeIdentity

    package init(
        directory: NodeDirectory,
        configuration: NodeConfiguration,
        logger: Logger,
        onReady: @escaping @Sendable (ReadyInfo) -> Void
    ) throws {
        self.directory = directory
        self.configuration = configuration
        self.logger = logger
        self.onReady = onReady
        self.identity = try directory.identity()
        self.events = EventBroadcaster(lastPosition: 0) { Int64(Date().timeIntervalSince1970 * 1000) }
    }

    package var control: any NodeControl {
        PendingControl(identity: self.identity, directory: self.directory, broadcaster: self.events)
    }

    package func run() async throws {
        let lock = try self.directory.lockForRunning()
        defer { withExtendedLifetime(lock) {} }
        let server = LocalAPIServer(
            address: self.configuration.api,
            token: try self.directory.tokenMakingIfMissing(),
            control: self.control,
            logger: self.logger
        ) { address in
            try self.directory.writeAPIAddress(address)
            self.onReady(ReadyInfo(listen: self.configuration.listen.description, api: address.description))
        }
        try await server.run()
    }
}

private struct PendingControl: NodeControl {
    let identity: NodeIdentity
    let directory: NodeDirectory
    let broadcaster: EventBroadcaster

    func status() async throws -> NodeStatus {
        NodeStatus(
            node: .init(
                id: self.identity.nodeID.description,
                name: self.identity.nodeName,
                version: "0",
                schemaVersion: 2,
                uptimeSeconds: 1
            ),
            clinic: .init(id: self.identity.clinicID, name: self.identity.clinicName),
            role: .host,
            term: 1,
            host: nil,
            activeConnections: 0,
            pendingChanges: 0,
            clockOffsetMilliseconds: 0,
            lastReconciliation: nil,
            conflicts: .init(open: 0),
            tables: try await self.digest(table: nil).tables,
            peers: [],
            waiting: [],
            progress: nil
        )
    }
    func digest(table: String?) async throws -> DigestSummary {
        DigestSummary(try DatabaseDigest.compute(path: self.directory.databaseURL.path, table: table))
    }
    func sync(table: String?, timeout: Duration) async throws -> SyncSummary {
        SyncSummary(SyncReport(id: 1, result: .unreachable, repairedRows: 0, nodes: []), took: .zero)
    }
    func invite(ttl: Duration, uses: Int) async throws -> String {
        JoinCode(
            hostID: self.identity.nodeID,
            secret: [UInt8](repeating: 7, count: 16),
            addresses: [NetworkAddress(host: "127.0.0.1", port: 7450)]
        ).description
    }
    func events(_ filter: EventFilter) async throws -> EventSubscription { self.broadcaster.subscribe(filter) }
}
