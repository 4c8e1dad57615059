import ClinicSyncModel

/// The subject whose wrong passwords are counted.
///
/// Both users and PCs have a count. So an attacker can try neither one name with many passwords, nor one password with
/// many names. A login resets the user's count and keeps the PC's count, because a person who knows one password must
/// not get more guesses at others.
enum LoginSubject: Sendable, Hashable {
    /// A user name, whether the user exists or not.
    case user(SQLiteValue)
    /// A PC.
    case device(SQLiteValue)
}

extension LockOutPolicy {
    /// The policy for passwords, by user and by PC.
    ///
    /// Five wrong passwords lock the subject for a minute. Each further wrong password locks for twice as long, up to a
    /// quarter of an hour.
    static let passwords = LockOutPolicy(
        failuresMax: 5,
        window: .seconds(15 * 60),
        lockMin: .seconds(60),
        lockMax: .seconds(15 * 60),
        probation: .seconds(15 * 60),
        recordsMax: 2_048
    )
}
