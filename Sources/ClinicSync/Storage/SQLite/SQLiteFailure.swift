import GRDBSQLite

/// An error that SQLite reported.
package struct SQLiteFailure: Error, Hashable, CustomStringConvertible {
    /// SQLite's extended result code.
    package var code: Int32
    /// SQLite's message: it names tables and columns, never values.
    package var message: String

    /// Whether a constraint of the schema refused the row.
    package var isConstraint: Bool { self.code & 0xff == SQLITE_CONSTRAINT }

    /// Whether SQLite found that an index does not show the rows of its table.
    package var isOfIndex: Bool { self.code == SQLITE_CORRUPT | (3 << 8) }

    /// The message and the code.
    package var description: String { "\(self.message) (SQLite \(self.code))" }
}
