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
        /// The node's result, compared with the host.
        public var result: String

        /// Makes a node's part.
        public init(id: String, name: String, result: String) {
            self.id = id
            self.name = name
            self.result = result
        }
    }

    /// The worst of the nodes' results: `equal`, `repaired`, `differs` or `unreachable`.
    public var result: String
    /// The number of rows repaired on all nodes.
    public var repairedRows: UInt64
    /// How long it took.
    public var milliseconds: Int64
    /// Every node that took part, including the host.
    public var nodes: [Node]

    /// Whether all reached nodes are proven equal.
    public var isConverged: Bool {
        self.result == ReconciliationResult.equal.name || self.result == ReconciliationResult.repaired.name
    }

    /// Describes a report.
    package init(_ report: SyncReport, took: Duration) {
        self.result = report.result.name
        self.repairedRows = report.repairedRows
        self.milliseconds = took.wholeMilliseconds
        self.nodes = report.nodes.map { Node(id: $0.id.description, name: $0.name, result: $0.result.name) }
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
