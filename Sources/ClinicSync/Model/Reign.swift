/// How suitable a node is as host.
///
/// Candidacies are ordered by the administrator's priority, then by the number of applied batches, then by the time
/// since the start, then by the id. So of any two nodes one is better.
package struct Candidacy: Sendable, Hashable, Comparable {
    /// The administrator's number; 0 means never host.
    package var priority: UInt32
    /// The number of applied batches.
    ///
    /// A node that has all batches of another node, and more, has a larger coverage.
    package var coverage: UInt64
    /// The doublings of a minute since the node's start.
    ///
    /// It is coarse, so that a second more does not count.
    package var uptimeBucket: UInt32
    /// The node.
    package var node: NodeID

    /// Makes a candidacy.
    package init(priority: UInt32, coverage: UInt64, uptimeBucket: UInt32, node: NodeID) {
        self.priority = priority
        self.coverage = coverage
        self.uptimeBucket = uptimeBucket
        self.node = node
    }

    /// Raises this candidacy above `other`, as far as numbers go.
    package mutating func raise(above other: Candidacy) {
        self.priority = max(self.priority, other.priority)
        let coverage = max(self.coverage, other.coverage)
        self.coverage = coverage == .max ? coverage : coverage &+ 1
    }

    /// Orders by suitability, the better host last.
    package static func < (left: Candidacy, right: Candidacy) -> Bool {
        (left.priority, left.coverage, left.uptimeBucket, left.node)
            < (right.priority, right.coverage, right.uptimeBucket, right.node)
    }
}

/// A claim to be host: the term, and the claimant's candidacy when it made the claim.
///
/// A node claims a term below the largest one once, and its id is in the claim. So no two hosts share a reign, whatever
/// the network does. Reigns are ordered, and every node follows the highest reign that it meets. So one host remains when
/// two hosts meet.
package struct Reign: Sendable, Hashable, Comparable {
    /// The term, from 1; higher than every term that the claimant had heard of, except that ``Bounds/termMax`` has no
    /// successor.
    package var term: UInt64
    /// The claimant's candidacy at that time.
    package var candidacy: Candidacy

    /// Makes a reign.
    package init(term: UInt64, candidacy: Candidacy) {
        self.term = term
        self.candidacy = candidacy
    }

    /// The host.
    package var host: NodeID { self.candidacy.node }

    /// Orders by term, then by candidacy; nodes follow the largest.
    package static func < (left: Reign, right: Reign) -> Bool {
        (left.term, left.candidacy) < (right.term, right.candidacy)
    }
}

/// A node's role, as the node reports it.
package enum MemberRole: UInt8, Sendable, Hashable, CaseIterable {
    /// The node has no host.
    case searching = 0
    /// The node has a connection with its host.
    case client = 1
    /// The node is host.
    case host = 2
}

/// A node and its addresses.
package struct NodeAddresses: Sendable, Hashable {
    /// The node.
    package var node: NodeID
    /// Each as `address:port`, the likeliest first; at most ``addressesMax``.
    package var addresses: [String]

    /// The largest number of addresses of one node.
    package static let addressesMax = 4

    /// Makes a list.
    package init(node: NodeID, addresses: [String]) {
        self.node = node
        self.addresses = addresses
    }
}

/// A node's view of the clinic's host.
///
/// A node sends it in its hello, and whenever the view changes.
package struct HostReport: Sendable, Hashable {
    /// The sender's role.
    package var role: MemberRole
    /// The highest term that the sender has heard of.
    package var term: UInt64
    /// The reign that the sender follows, or its own; `nil` exactly when the sender is searching.
    package var reign: Reign?
    /// The addresses of the host of ``reign``; empty when the sender is searching.
    package var addresses: [String]
    /// The sender's candidacy.
    package var candidacy: Candidacy
    /// From a host: the nodes that claim first when the host is lost, in this order; at most ``successorsMax``.
    package var successors: [NodeAddresses]
    /// Since when a program's write transaction has kept the sender from writing: the clinic's time, milliseconds since
    /// 1970; `nil` when the sender writes.
    package var lockedSince: Int64?
    /// From a host: its clients that a program's write transaction keeps from writing; at most ``lockedPeersMax``.
    package var lockedPeers: [LockedPeer]

    /// A node that a program's write transaction keeps from writing.
    package struct LockedPeer: Sendable, Hashable {
        /// The node.
        package var node: NodeID
        /// Since when: the clinic's time, milliseconds since 1970.
        package var since: Int64

        /// Makes an entry.
        package init(node: NodeID, since: Int64) {
            self.node = node
            self.since = since
        }
    }

    /// The largest number of locked clients; further ones are left out.
    package static let lockedPeersMax = 16

    /// The largest number of successors.
    package static let successorsMax = 3

    /// Makes a report.
    package init(
        role: MemberRole,
        term: UInt64,
        reign: Reign?,
        addresses: [String],
        candidacy: Candidacy,
        successors: [NodeAddresses],
        lockedSince: Int64? = nil,
        lockedPeers: [LockedPeer] = []
    ) {
        self.role = role
        self.term = term
        self.reign = reign
        self.addresses = addresses
        self.candidacy = candidacy
        self.successors = successors
        self.lockedSince = lockedSince
        self.lockedPeers = lockedPeers
    }
}
