package import ClinicSyncModel

/// The answer of `clinic-node digest --json` and `GET /v1/digest`.
public struct DigestSummary: Sendable, Hashable, Codable {
    /// One table.
    public struct Table: Sendable, Hashable, Codable {
        /// Its name.
        public var name: String
        /// Its rows.
        public var rows: UInt64
        /// The digest of its content, 32 hexadecimal digits.
        public var digest: String

        /// Describes a table.
        package init(_ table: TableDigest) {
            self.name = table.name
            self.rows = table.rows
            self.digest = table.digest.description
        }
    }

    /// The tables in the order of their names.
    public var tables: [Table]
    /// The sum of the tables' digests.
    public var digest: String

    /// Describes tables.
    package init(_ tables: [TableDigest]) {
        var sum = Digest.zero
        for table in tables { sum += table.digest }
        self.tables = tables.sorted { $0.name < $1.name }.map(Table.init)
        self.digest = sum.description
    }
}

/// The answer of `clinic-node sync --json` and `POST /v1/sync`.
public struct SyncSummary: Sendable, Hashable, Codable {
    /// One node's part.
    public struct Node: Sendable, Hashable, Codable {
        /// Its id.
        public var id: String
        /// Its name for people.
        public var name: String
        /// The node's result, compared with the host; `unreachable` for a member that was not compared.
        public var result: String
        /// For a member that is not connected: when it was last heard of; `null` when it never was.
        @Nullable public var since: UTCTimestamp?
        /// Why the node was not compared; `null` when it was.
        @Nullable public var reason: String?

        /// Makes a node's part.
        public init(id: String, name: String, result: String, since: UTCTimestamp? = nil, reason: String? = nil) {
            self.id = id
            self.name = name
            self.result = result
            self.since = since
            self.reason = reason
        }
    }

    /// The verdict about the whole clinic: `equal` or `repaired` only when every member that has not lapsed is proven equal;
    /// `differs`; `alone` when no other PC was compared and the clinic has others; `unreachable` when a member is missing.
    public var verdict: String
    /// The worst of the compared nodes' results: `equal`, `repaired`, `differs` or `unreachable`.
    public var result: String
    /// The number of rows repaired on all nodes.
    public var repairedRows: UInt64
    /// How long it took.
    public var milliseconds: Int64
    /// Every node that took part, including the host, then the members that could not be compared.
    public var nodes: [Node]

    /// Whether all reached nodes are proven equal.
    public var isConverged: Bool {
        self.result == ReconciliationResult.equal.name || self.result == ReconciliationResult.repaired.name
    }

    /// Whether every member that has not lapsed is proven equal.
    public var isWhole: Bool {
        self.verdict == ReconciliationResult.equal.name || self.verdict == ReconciliationResult.repaired.name
    }

    /// Whether every node that answers is proven equal, and there was one to compare with unless the clinic has one PC.
    public var isReachableEqual: Bool { self.isConverged && self.verdict != "alone" }

    /// Describes a report.
    ///
    /// - Parameters:
    ///   - report: the report of the host.
    ///   - missing: the members that have not lapsed and are not in the report.
    ///   - took: how long it took.
    package init(_ report: SyncReport, missing: [Node] = [], took: Duration) {
        let compared = report.nodes.map { node in
            let isMissing = node.result == .unreachable
            return Node(
                id: node.id.description,
                name: node.name,
                result: node.result.name,
                reason: isMissing ? "did not answer in time, or cannot use its file" : nil
            )
        }
        self.result = report.result.name
        self.repairedRows = report.repairedRows
        self.milliseconds = took.wholeMilliseconds
        self.nodes = compared + missing
        switch report.result {
        case .differs: self.verdict = report.result.name
        case .equal, .repaired, .unreachable:
            let isAlone = !missing.isEmpty && report.nodes.count < 2
            self.verdict =
                isAlone ? "alone" : missing.isEmpty ? report.result.name : ReconciliationResult.unreachable.name
        }
    }
}

extension ReconciliationResult {
    /// The public name of the result.
    package var name: String {
        switch self {
        case .equal: "equal"
        case .repaired: "repaired"
        case .differs: "differs"
        case .unreachable: "unreachable"
        }
    }
}

/// The answer to `POST /v1/invitations`.
package struct Invitation: Sendable, Hashable, Codable {
    /// The join code.
    package var code: String

    /// Makes an answer.
    package init(code: String) { self.code = code }
}
