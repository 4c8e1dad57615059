package import ClinicSyncModel

/// The identity of a peer: the node in its certificate, and what it said of itself.
package struct PeerIdentity: Sendable, Hashable {
    /// The node.
    package var node: NodeID
    /// Its name.
    package var name: String
    /// Where it is reached, the likeliest address first.
    package var addresses: [String]
    /// Whether it takes and passes on answers to probes.
    package var gathersProbes: Bool
    /// Whether it answers as host what it knows of the members.
    package var reportsMembers: Bool

    /// Takes the identity from a certificate's node and its accepted hello.
    package init(_ node: NodeID, _ hello: Hello) {
        self.node = node
        self.name = hello.nodeName
        self.addresses = hello.addresses
        self.gathersProbes = hello.gathersProbes
        self.reportsMembers = hello.reportsMembers
    }
}
