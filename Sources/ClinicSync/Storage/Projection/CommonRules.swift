import ClinicSyncModel
import GRDB

/// The clinic's tables as the migrations alone make them, empty and in memory: they tell the clinic's constraints from those that
/// only this PC's file has.
///
/// A row that the clinic's constraints refuse is refused on every PC, and every PC says so in the journal. What only this PC's
/// file refuses is this PC's own matter. The tables are made at the first refusal, because most files never see one.
final class CommonRules {
    private let reading: SchemaReading
    private var connection: Connection?
    /// Keeps the connection's database open.
    private var database: DatabaseQueue?

    /// Judges by the migrations of `reading`.
    init(_ reading: SchemaReading) { self.reading = reading }

    /// Thrown to undo the trial.
    private struct Accepted: Error {}

    /// Whether the clinic's constraints accept a row with these values, by slot.
    ///
    /// UNIQUEs are not judged: the tables are empty. Columns that only this PC's file has are left out.
    ///
    /// - Throws: what SQLite reports.
    func accept(_ plan: TablePlan, key: SQLiteValue, values: [SQLiteValue]) throws -> Bool {
        let connection = try self.opened()
        let name = plan.definition.name
        var known: Set<String> = []
        try connection.query("SELECT name FROM pragma_table_info(?1)").bind(1, text: name)
            .forEach { known.insert($0.string(0)) }
        let columns = plan.definition.columns.filter { known.contains($0.name) }
        guard !columns.isEmpty else { return true }
        let names = SQLText.list(columns.map(\.name))
        let parameters = columns.indices.map { "?\($0 &+ 1)" }.joined(separator: ", ")
        do {
            return try connection.write(.relaxed) { transaction -> Ending<Bool> in
                let insert = try transaction.statement(
                    "INSERT INTO \(SQLText.name(name)) (\(names)) VALUES (\(parameters))"
                )
                for (index, column) in columns.enumerated() {
                    insert.bind(Int32(index + 1), column.slot == plan.keySlot ? key : values[column.slot])
                }
                try insert.run()
                throw Accepted()
            }
        } catch is Accepted {
            return true
        } catch let failure as SQLiteFailure where failure.isConstraint {
            return false
        }
    }

    private func opened() throws -> Connection {
        if let connection { return connection }
        let database = try DatabaseQueue(configuration: StoreDatabase.configuration(isFile: false))
        try ClinicMigrator(self.reading.migrations).migrate(database)
        let connection = try database.inDatabase { try Connection($0) }
        (self.database, self.connection) = (database, connection)
        return connection
    }
}
