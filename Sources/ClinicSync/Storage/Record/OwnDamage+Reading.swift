import ClinicSyncCore

extension OwnDamage {
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
