import ClinicSyncCore
import Logging
import NIOCore

/// The constant settings of a node, the same for each run.
struct NodeSettings: Sendable {
    /// The node's files.
    var directory: NodeDirectory
    /// Validated settings.
    var configuration: NodeConfiguration
    /// Where the node logs, with the node's id in the metadata.
    var logger: Logger
    /// The event loops.
    var group: any EventLoopGroup
    /// The node's clocks.
    var clock: NodeClock
    /// The node's metrics.
    var metrics: NodeMetrics
    /// How often the node checks whether it must renew the certificate.
    var renewalPace: CertificateRenewal.Pace
    /// Changes the core's limits, in tests.
    var tuning: @Sendable (inout CoreConfiguration) -> Void
    /// Called once in each run, when the node is ready.
    var onReady: @Sendable (ReadyInfo) -> Void
}
