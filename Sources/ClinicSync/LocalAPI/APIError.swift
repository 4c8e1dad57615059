import Foundation
import HTTPTypes

/// An error as it travels over the local API: `{"error":"code","message":"one sentence"}`.
struct APIError: Error, Codable {
    var error: String
    var message: String

    /// The kinds of error of the library, their names on the wire and their HTTP statuses.
    private static let table: [(code: ClinicSyncError.Code, name: String, status: Int)] = [
        (.usage, "usage", 400),
        (.malformedAddress, "malformed_address", 400),
        (.addressNotAllowed, "address_not_allowed", 400),
        (.configuration, "configuration", 400),
        (.notFound, "not_found", 404),
        (.sessionConflict, SessionConflict.code, 409),
        (.refused, "refused", 409),
        (.alreadyRunning, "already_running", 409),
        (.portInUse, "port_in_use", 409),
        (.notANode, "not_a_node", 500),
        (.storage, "storage", 500),
        (.corrupt, "corrupt", 500),
        (.newerDatabase, "newer_database", 500),
        (.permission, "permission", 500),
        (.notReachable, "not_reachable", 503),
        (.timeout, "timeout", 504),
        (.diskFull, "disk_full", 507),
    ]

    /// The error's status and body.
    static func response(to error: ClinicSyncError) -> (status: HTTPResponse.Status, body: APIError) {
        let row = APIError.table.first { $0.code == error.code }
        return (
            HTTPResponse.Status(code: row?.status ?? 500),
            APIError(error: row?.name ?? "internal", message: error.message)
        )
    }

    /// The library's error for an answer of the local API.
    static func error(status: Int, body: [UInt8]) -> ClinicSyncError {
        let decoded: APIError
        do {
            decoded = try JSONDecoder().decode(APIError.self, from: Data(body))
        } catch {
            return ClinicSyncError(
                .notReachable,
                "Something other than the node answers at its address (status \(status)): restart the node.",
                cause: error
            )
        }
        let code = APIError.table.first { $0.name == decoded.error }?.code
        return ClinicSyncError(code ?? .refused, decoded.message)
    }
}
