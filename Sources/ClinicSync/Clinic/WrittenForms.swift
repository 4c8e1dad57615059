/// SQL that reads switches and times in the forms that programs write.
///
/// The tables declare `isActive` INTEGER and the times TEXT, but SQLite stores any value in any column. Every node reads
/// the forms in the same way, because what they mean decides about sessions.
enum WrittenForms {
    /// Texts that mean "on"; `char(1)` is the bit that some databases export as a BLOB.
    private static let on = "'1', '1.0', 'true', 't', 'yes', 'y', 'on', 'active', char(1)"

    /// Returns SQL that is 1 when the column means "on", otherwise 0.
    ///
    /// Numbers other than 0 and the texts in ``on`` mean "on", in any case of letters. Every other text means "off", so
    /// a word that no node knows lets nobody in.
    ///
    /// - Parameters:
    ///   - column: the column's name.
    ///   - missing: the meaning of NULL.
    /// - Returns: An SQL expression.
    static func isOn(_ column: String, ifNull missing: Bool) -> String {
        """
        CASE typeof(\(column)) WHEN 'null' THEN \(missing ? 1 : 0) WHEN 'integer' THEN \(column) <> 0
            WHEN 'real' THEN \(column) <> 0 ELSE lower(trim(CAST(\(column) AS TEXT))) IN (\(self.on)) END
        """
    }

    /// Returns SQL with a time in milliseconds since 1970; NULL when the column is not a time.
    ///
    /// A number is seconds, milliseconds or microseconds since 1970, or a Julian day; its size tells which. The ranges
    /// overlap at no time after March 1973. A text is ISO 8601 as SQLite reads it, and begins with the year.
    static func milliseconds(_ column: String) -> String {
        let number = "CAST(\(column) AS REAL)"
        return """
            CASE WHEN \(self.isNumber(column)) THEN CASE
                WHEN \(number) BETWEEN 2e6 AND 4e6 THEN CAST(round((\(number) - 2440587.5) * 86400000.0) AS INTEGER)
                WHEN \(number) >= 1e8 AND \(number) < 1e11 THEN CAST(round(\(number) * 1000.0) AS INTEGER)
                WHEN \(number) >= 1e11 AND \(number) < 1e14 THEN CAST(round(\(number)) AS INTEGER)
                WHEN \(number) >= 1e14 AND \(number) < 1e17 THEN CAST(round(\(number) / 1000.0) AS INTEGER) END
            WHEN trim(\(column)) GLOB '[0-9][0-9][0-9][0-9]-*'
                THEN CAST(round((julianday(trim(\(column))) - 2440587.5) * 86400000.0) AS INTEGER) END
            """
    }

    /// Returns SQL that is 1 when a time is in the PC's local time: a text without `Z` and without an offset.
    static func isLocal(_ column: String) -> String {
        """
        NOT (\(self.isNumber(column)) OR trim(\(column)) GLOB '*[Zz]' OR trim(\(column)) GLOB '*[+-][0-9][0-9]:[0-9][0-9]')
        """
    }

    /// Returns SQL with the time as programs show it: a number as ISO 8601, everything else as it is.
    static func shown(_ column: String) -> String {
        """
        CASE WHEN \(self.isNumber(column)) THEN coalesce(\(self.text(of: self.milliseconds(column))), \(column))
            ELSE \(column) END
        """
    }

    /// Returns SQL that converts an expression of milliseconds since 1970 to the text that nodes write.
    static func text(of milliseconds: String) -> String {
        "strftime('%Y-%m-%dT%H:%M:%fZ', (\(milliseconds)) / 1000.0, 'unixepoch')"
    }

    /// Returns SQL that is 1 for a number, also for one that a TEXT column stores as text.
    private static func isNumber(_ column: String) -> String {
        """
        (typeof(\(column)) IN ('integer', 'real')
            OR trim(\(column)) GLOB '[0-9]*' AND trim(\(column)) NOT GLOB '*[^0-9.e+]*')
        """
    }
}
