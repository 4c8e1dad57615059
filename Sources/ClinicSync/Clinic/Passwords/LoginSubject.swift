import ClinicSyncModel

/// Whose wrong passwords are counted.
///
/// Users and PCs are counted alike, so that neither one name can be tried with many passwords, nor one password with many
/// names. After a login the user's count is forgotten and the PC's is kept: who knows one password must not have more guesses
/// at the others.
enum LoginSubject: Sendable, Hashable {
    /// A user name, whether there is such a user or not.
    case user(String)
    /// A PC.
    case device(String)
}

extension LockOutPolicy {
    /// For passwords, by user and by PC: five lock for a minute, each further one for twice as long, up to a quarter of an hour.
    static let passwords = LockOutPolicy(
        failuresMax: 5,
        window: .seconds(15 * 60),
        lockMin: .seconds(60),
        lockMax: .seconds(15 * 60),
        probation: .seconds(15 * 60),
        recordsMax: 2_048
    )
}
