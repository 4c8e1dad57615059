package import ClinicSyncStorage

/// What of the clinic's tables a backup leaves out.
package enum ClinicBackup {
    /// The sessions: nobody is logged in on a PC that was restored from a backup, until the other PCs say so.
    package static let exclusions = BackupExclusions(
        replicated: ["user_sessions", "clinicsync_provisional"],
        local: ["clinicsync_session"]
    )
}
