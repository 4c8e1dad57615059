import ClinicSyncCore
import ClinicSyncModel

extension OwnDamage {
    /// The damage of a row that its table shows and of which the node knows nothing any more.
    static func lostRow(table: Int, key: SQLiteValue) -> OwnDamage {
        OwnDamage(.row, "what the node knew of a row is missing", at: .row(table: table, key: key))
    }

    /// The damage of rows whose own states are missing: their table shows them in another form, or their keys are claimed.
    static func lostShadows(table: Int) -> OwnDamage {
        OwnDamage(.shadow, "own states of rows are missing", at: .row(table: table, key: .null))
    }

    /// The damage of an index that does not show the rows of its table; `nil`: the table is not known.
    static func index(of table: Int?) -> OwnDamage {
        OwnDamage(.file, "an index does not show the rows of its table", at: .index(table: table))
    }

    /// Runs `body`, which reads a part of the node's own tables; bytes and numbers that make no sense become an ``OwnDamage``.
    ///
    /// Decoders and checked conversions throw ``MalformedRecord``, because they do not know whose bytes they read.
    static func reading<Result>(
        _ table: Table,
        _ place: @autoclosure () -> Place = .somewhere,
        _ body: () throws -> Result
    ) throws -> Result {
        do {
            return try body()
        } catch let malformed as MalformedRecord {
            throw OwnDamage(table, malformed.reason, at: place())
        }
    }
}
