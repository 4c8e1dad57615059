import ArgumentParser
import ClinicSync
import Foundation

/// The exit statuses scripts rely on.
enum ExitCodes {
    /// It failed, or the nodes are not proven equal.
    static let failed: Int32 = 1
    /// A refusal the caller must decide on: another code, a new join, perhaps `--force`.
    static let refused: Int32 = 2
    /// The command was called wrongly.
    static let usage: Int32 = 64
    /// The node is not running or not reachable.
    static let unreachable: Int32 = 69
    /// A setting is wrong, or there is no node.
    static let configuration: Int32 = 78

    /// The status for an error's code.
    static func status(of code: ClinicSyncError.Code) -> Int32 {
        switch code {
        case .usage: ExitCodes.usage
        case .notReachable: ExitCodes.unreachable
        case .configuration, .addressNotAllowed, .malformedAddress, .notANode: ExitCodes.configuration
        case .enrollmentRefused, .revoked, .sessionConflict: ExitCodes.refused
        default: ExitCodes.failed
        }
    }
}

/// A refusal that the caller can overrule.
struct Refusal: Error {
    /// One sentence that says how.
    var message: String
}

/// Prints an error, always as `Error: ` and a sentence, and ends the process.
enum ErrorReport {
    static func exit(with error: any Error) -> Never {
        switch error {
        case let error as ClinicSyncError:
            Output.report("Error: \(error.message)")
            Foundation.exit(ExitCodes.status(of: error.code))
        case let refusal as Refusal:
            Output.report("Error: \(refusal.message)")
            Foundation.exit(ExitCodes.refused)
        default:
            ClinicNodeCommand.exit(withError: error)
        }
    }
}
