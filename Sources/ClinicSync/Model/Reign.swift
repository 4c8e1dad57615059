/// How good a host a node would make.
///
/// Ordered by the administrator's priority, then by what the node has of the clinic's changes, then by how long it has
/// been running, then by its id, so that any two nodes have a better one.
package struct Candidacy: Sendable, Hashable, Comparable {
    /// The administrator's wish; 0: never host.
    package var priority: UInt32
    /// The number of batches applied: who has all that another has, and more, has a larger one.
    package var coverage: UInt64
    /// The doublings of a minute that the node has been running; coarse, so that a second more is no reason.
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

    /// Orders by worth, the better host last.
    package static func < (left: Candidacy, right: Candidacy) -> Bool {
        (left.priority, left.coverage, left.uptimeBucket, left.node)
            < (right.priority, right.coverage, right.uptimeBucket, right.node)
    }
}

/// A claim to be host: the term, and what the claimant was when it made the claim.
///
/// A node claims a term once, and with itself in it: no two hosts share a reign, whatever the network does. All reigns
/// are ordered, and everybody follows the highest it hears of; that is how two hosts that meet become one.
package struct Reign: Sendable, Hashable, Comparable {
    /// The term, from 1; higher than any the claimant had heard of.
    package var term: UInt64
    /// The claimant as it was then.
    package var candidacy: Candidacy

    /// Makes a reign.
    package init(term: UInt64, candidacy: Candidacy) {
        self.term = term
        self.candidacy = candidacy
    }

    /// The host.
    package var host: NodeID { self.candidacy.node }

    /// Orders by term, then by candidacy; the one to follow last.
    package static func < (left: Reign, right: Reign) -> Bool {
        (left.term, left.candidacy) < (right.term, right.candidacy)
    }
}

/// What a node is to its clinic, as it says itself.
package enum MemberRole: UInt8, Sendable, Hashable, CaseIterable {
    /// It has no host.
    case searching = 0
    /// It has a connection with its host.
    case client = 1
    /// It is host.
    case host = 2
}

/// Where a node is reached.
package struct NodeAddresses: Sendable, Hashable {
    /// The node.
    package var node: NodeID
    /// Each as `address:port`, the likeliest first; at most ``addressesMax``.
    package var addresses: [String]

    /// Addresses of one node at most.
    package static let addressesMax = 4

    /// Makes a list.
    package init(node: NodeID, addresses: [String]) {
        self.node = node
        self.addresses = addresses
    }
}

/// What a node says of the clinic's host: in its hello, and whenever that changes.
package struct HostReport: Sendable, Hashable {
    /// What the sender is.
    package var role: MemberRole
    /// The highest term that the sender has heard of.
    package var term: UInt64
    /// The reign the sender follows, or its own; `nil` exactly when it is searching.
    package var reign: Reign?
    /// Where the host of ``reign`` is reached; empty when the sender is searching.
    package var addresses: [String]
    /// How good a host the sender would make.
    package var candidacy: Candidacy
    /// Of a host: who shall claim first when it is gone, in this order; at most ``successorsMax``.
    package var successors: [NodeAddresses]

    /// Successors named at most.
    package static let successorsMax = 3

    /// Makes a report.
    package init(
        role: MemberRole,
        term: UInt64,
        reign: Reign?,
        addresses: [String],
        candidacy: Candidacy,
        successors: [NodeAddresses]
    ) {
        self.role = role
        self.term = term
        self.reign = reign
        self.addresses = addresses
        self.candidacy = candidacy
        self.successors = successors
    }
}
