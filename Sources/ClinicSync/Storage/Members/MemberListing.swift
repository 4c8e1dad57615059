package import ClinicSyncModel
import Foundation
import GRDB

/// The list of members as the file has it; any program of any member may have written it.
package struct MemberListing: Sendable {
    /// A row of the list.
    package struct Node: Sendable, Hashable {
        /// The node.
        package var id: NodeID
        /// Its name.
        package var name: String
        /// Its certificate in DER; empty when there is none.
        package var certificate: [UInt8]
        /// What it says of itself, signed; empty when there is nothing.
        package var statement: [UInt8]
        /// The number of the newest migration in its program.
        package var schemaVersion: Int64
        /// The day on which its program last ran, milliseconds since 1970.
        package var aliveAt: Int64

        /// Makes a row.
        package init(
            id: NodeID,
            name: String,
            certificate: [UInt8],
            statement: [UInt8],
            schemaVersion: Int64,
            aliveAt: Int64
        ) {
            self.id = id
            self.name = name
            self.certificate = certificate
            self.statement = statement
            self.schemaVersion = schemaVersion
            self.aliveAt = aliveAt
        }
    }

    /// Returns the members that count, without the node itself.
    package typealias Judge = @Sendable (MemberListing) -> [Node]

    /// The rows.
    package var nodes: [Node]
    /// The certificates that grant the right to sign, in DER.
    package var grants: [[UInt8]]

    private static let rowsMax = 4_096
    /// The largest size of a row's proofs in bytes that is examined.
    private static let proofBytesMax = 16 << 10

    /// Reads the list; the oldest schemas lack some columns.
    static func read(_ db: Database) throws -> MemberListing {
        let columns = try db.columns(in: "clinicsync_node").map(\.name)
        let statement = columns.contains("statement") ? "statement" : "NULL"
        let limit = self.proofBytesMax
        let rows = try Row.fetchAll(
            db,
            sql: """
                SELECT id, substr(name, 1, 64) AS name, certificate, \(statement) AS statement, schemaVersion, aliveAt
                FROM clinicsync_node
                WHERE length(id) <= 64 AND coalesce(length(certificate), 0) + coalesce(length(\(statement)), 0) <= ?
                ORDER BY id LIMIT ?
                """,
            arguments: [limit, self.rowsMax]
        )
        let grants = try Data.fetchAll(
            db,
            sql: """
                SELECT certificate FROM clinicsync_grant
                WHERE typeof(certificate) = 'blob' AND length(certificate) <= ? LIMIT ?
                """,
            arguments: [limit, self.rowsMax]
        )
        return MemberListing(
            nodes: rows.compactMap { row in
                guard let id = String.fromDatabaseValue(row["id"]).flatMap({ NodeID($0) }) else { return nil }
                return Node(
                    id: id,
                    name: String.fromDatabaseValue(row["name"]) ?? "",
                    certificate: Data.fromDatabaseValue(row["certificate"]).map { Array($0) } ?? [],
                    statement: Data.fromDatabaseValue(row["statement"]).map { Array($0) } ?? [],
                    schemaVersion: Int64.fromDatabaseValue(row["schemaVersion"]) ?? 0,
                    aliveAt: Int64.fromDatabaseValue(row["aliveAt"]) ?? 0
                )
            },
            grants: grants.map { Array($0) }
        )
    }
}
