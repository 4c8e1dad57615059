/// The term: which reign of a host the node last claimed or followed.
extension ReplicaWriter {
    /// The name under which the settings keep the term.
    private static let termSetting = "term"

    /// The highest term that was recorded; 0 when none was.
    func term() throws -> UInt64 {
        try self.connection.statement("SELECT value FROM clinicsync_setting WHERE name = ?1")
            .bind(1, text: ReplicaWriter.termSetting)
            .first { $0.unsigned(0) } ?? 0
    }

    /// Records a term so that it survives a power cut; one that is not higher than what is recorded changes nothing.
    ///
    /// A node that forgot a term could claim it, or follow another host in it, a second time.
    ///
    /// - Returns: the term that is recorded now.
    /// - Throws: ``StoreError``; the recorded term is as before then.
    package func recordTerm(_ term: UInt64) throws -> UInt64 {
        let known = try self.perform { try self.term() }
        guard term > known else { return known }
        try self.durably {
            try self.transaction {
                try self.connection
                    .statement(
                        """
                        INSERT INTO clinicsync_setting (name, value) VALUES (?1, ?2)
                        ON CONFLICT (name) DO UPDATE SET value = ?2
                        """
                    )
                    .bind(1, text: ReplicaWriter.termSetting)
                    .bind(2, term)
                    .run()
            }
        }
        return term
    }
}
