import ClinicSyncCore
import ClinicSyncModel

extension NodeContext {
    /// The context of node 1, host.
    static func host(at seconds: Double = 100, vector: VersionVector = VersionVector()) -> NodeContext {
        .of(1, isHost: true, host: nil, at: seconds, vector: vector)
    }

    /// The context of node 2, a client of node 1 on connection 1.
    static func client(at seconds: Double = 100, vector: VersionVector = VersionVector()) -> NodeContext {
        .of(2, isHost: false, host: .c(1), at: seconds, vector: vector)
    }

    /// The context of node 2, which has no host.
    static func searching(at seconds: Double = 100) -> NodeContext {
        .of(2, isHost: false, host: nil, at: seconds, vector: VersionVector())
    }

    private static func of(
        _ node: UInt64,
        isHost: Bool,
        host: ConnectionID?,
        at seconds: Double,
        vector: VersionVector
    ) -> NodeContext {
        NodeContext(
            time: Now(monotonic: .seconds(seconds), wallMilliseconds: 1_000_000),
            offsetMilliseconds: 0,
            origin: .o(node),
            isHost: isHost,
            host: host,
            vector: vector
        )
    }
}

extension RequestID {
    static func r(_ number: UInt64) -> RequestID { RequestID(rawValue: number) }
}
