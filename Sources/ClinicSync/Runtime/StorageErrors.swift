import ClinicSyncClinic
import ClinicSyncCore
import ClinicSyncStorage

/// Turns the errors of the store, and refusals about users and sessions, into the one error that people see.
package enum StorageErrors {
    /// Runs `body` and maps what it throws.
    static func mapping<Result>(_ body: () async throws -> Result) async throws -> Result {
        do {
            return try await body()
        } catch {
            throw self.map(error)
        }
    }

    /// Runs `body` and maps what it throws.
    package static func mapping<Result>(_ body: () throws -> Result) throws -> Result {
        do {
            return try body()
        } catch {
            throw self.map(error)
        }
    }

    private static func map(_ error: any Error) -> any Error {
        switch error {
        case let error as StoreError:
            ClinicSyncError(self.code(error.code), error.message, cause: error)
        case let error as SchemaError:
            ClinicSyncError(self.code(error), error.description, cause: error)
        case let damage as OwnDamage:
            ClinicSyncError(
                .corrupt,
                "The table clinicsync_\(damage.table.rawValue) of clinic.db is damaged (\(damage.reason)): restore clinic.db from a backup, or join again.",
                cause: damage
            )
        case let refusal as ClinicRefusal:
            ClinicSyncError(self.code(refusal.kind), refusal.message, cause: refusal)
        case let error as UnknownTable:
            ClinicSyncError(.usage, error.description, cause: error)
        default:
            error
        }
    }

    private static func code(_ kind: ClinicRefusal.Kind) -> ClinicSyncError.Code {
        switch kind {
        case .usage: .usage
        case .refused: .refused
        case .notFound: .notFound
        case .undecided: .notReachable
        }
    }

    private static func code(_ error: SchemaError) -> ClinicSyncError.Code {
        if case .newerDatabase = error { .newerDatabase } else { .storage }
    }

    private static func code(_ code: StoreError.Code) -> ClinicSyncError.Code {
        switch code {
        case .missing, .wrongNode, .schema, .locked, .failing, .database: .storage
        case .overwritten: .databaseReplaced
        case .exists: .refused
        case .corrupt: .corrupt
        case .diskFull: .diskFull
        case .readOnly: .permission
        case .newerDatabase: .newerDatabase
        }
    }
}
