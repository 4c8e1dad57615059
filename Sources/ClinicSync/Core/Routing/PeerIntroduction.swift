package import ClinicSyncModel

/// A link's beginning.
package struct PeerIntroduction: Sendable, Hashable {
    /// The connection.
    package var connection: ConnectionID
    /// The peer.
    package var identity: PeerIdentity
    /// The peer's hello.
    package var hello: Hello
    /// The vector in this node's hello.
    package var greetedVector: VersionVector?
    /// What this node's hello said of the host.
    package var greetedReport: HostReport?

    /// Makes an introduction.
    package init(
        connection: ConnectionID,
        identity: PeerIdentity,
        hello: Hello,
        greetedVector: VersionVector? = nil,
        greetedReport: HostReport? = nil
    ) {
        self.connection = connection
        self.identity = identity
        self.hello = hello
        self.greetedVector = greetedVector
        self.greetedReport = greetedReport
    }
}
