import ClinicSyncModel

/// Single values of the store: the table `clinicsync_setting`.
enum Settings {
    /// The name of a value.
    enum Name: String {
        /// The node that the file belongs to.
        case node
        /// The highest term that the node claimed or followed.
        case term
        /// The digest of the file's place.
        case place
        /// The incarnation in which the node makes batches.
        case incarnation
        /// An incarnation whose numbers another node used.
        case renounced
        /// The position before the first event since the file's numbering of events last began.
        case eventBase
        /// The id of the running system on which the file was last opened; empty after the file was closed.
        case eventBoot
        /// The columns of the tables as they were when rows were hashed.
        case schema
        /// The authors by their small numbers; see ``AuthorNames``.
        case authors
        /// The tables by their small numbers, with their columns; see ``TableNames``.
        case tables
        /// Set when every row whose key another row claims is among the shadows.
        case contested
        /// The numbers of the tables whose rows have to be brought back.
        case incompleteTables
        /// When the node last got a state in place of history: this PC's time, milliseconds since 1970.
        case stateTaken
        /// What tells the tables from others of their names that programs make later.
        case tableIdentities
        /// A number of the opening: a copy of the file that was made in an earlier one has another.
        case opening
        /// The signed statement of the epoch of the data; see `docs/design/0029-whole-clinic.md`.
        case epoch
        /// What is written to find out whether the disk takes writes; there for a moment.
        case probe
        /// What a backup says of itself; only in the file of a backup.
        case backup
        /// The deletions that count in no sum; see ``ForgottenRows``.
        case forgotten
        /// The deletions whose tombstones may be gone from the file.
        case removed
        /// Set when this file once lost rows without a deletion: that it lacks a row says nothing.
        case lostRows
    }

    /// Reads a value with `body`; `nil` when it is not set.
    static func read<Result>(_ name: Name, on connection: Connection, _ body: (Statement) throws -> Result) throws
        -> Result?
    {
        try connection.query("SELECT value FROM clinicsync_setting WHERE name = ?1")
            .bind(1, text: name.rawValue)
            .first(body)
    }

    /// Sets a value.
    static func set(_ name: Name, to value: SQLiteValue, in transaction: borrowing WriteTransaction) throws {
        try transaction
            .statement(
                "INSERT INTO clinicsync_setting (name, value) VALUES (?1, ?2) ON CONFLICT (name) DO UPDATE SET value = ?2"
            )
            .bind(1, text: name.rawValue)
            .bind(2, value)
            .run()
    }

    /// Removes a value.
    static func remove(_ name: Name, in transaction: borrowing WriteTransaction) throws {
        try transaction.statement("DELETE FROM clinicsync_setting WHERE name = ?1").bind(1, text: name.rawValue).run()
    }
}
