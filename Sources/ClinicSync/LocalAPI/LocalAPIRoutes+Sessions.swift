import ClinicSyncModel
import HTTPTypes
import Hummingbird
import HummingbirdCore

// Sessions of users.
extension LocalAPIRoutes {
    /// The largest age that the cleanup of ended sessions accepts.
    private static let cleanTimeMax = Duration.seconds(3_650 * 86_400)

    /// Adds the endpoints of sessions.
    func addSessions(to group: RouterGroup<BasicRequestContext>) {
        let readers = self.allowing([.read, .sessions], group)
        let holders = self.allowing([.sessions], group)
        readers.get("/sessions") { request, _ in
            let state = Query(request)["state"] ?? "active"
            guard state == "active" || state == "all" else {
                throw ClinicSyncError(.usage, "There is no state \"\(state)\": use active or all.")
            }
            return try Response.json(try await self.control.sessions.sessions(onlyActive: state == "active"))
        }
        holders.post("/sessions") { request, _ in
            try self.response(to: try await self.control.sessions.login(try await request.json(LoginInput.self)))
        }
        holders.delete("/sessions") { request, _ in
            let count = try await self.control.sessions.endSessions(of: try Query(request).text("user"))
            return try Response.json(["ended": count])
        }
        self.allowing([.admin], group).post("/sessions/clean") { request, _ in
            let age = try Query(request).duration(
                "olderThan",
                default: .seconds(30 * 86_400),
                in: .zero...LocalAPIRoutes.cleanTimeMax
            )
            return try Response.json(["removed": try await self.control.sessions.cleanSessions(olderThan: age)])
        }
        holders.delete("/sessions/:id") { _, context in
            try await self.control.sessions.endSession(try context.parameters.require("id"))
            return Response(status: .noContent)
        }
        holders.post("/sessions/:id/activity") { _, context in
            try await self.control.sessions.touchSession(try context.parameters.require("id"))
            return Response(status: .noContent)
        }
    }

    private func response(to result: LoginResult) throws -> Response {
        switch result {
        case .granted(let grant):
            return try Response.json(grant, status: .created)
        case .conflict(let conflict):
            return try Response.json(conflict, status: .conflict)
        case .wrongPassword:
            throw RequestRefusal(
                status: .unauthorized,
                error: "wrong_password",
                message: "User name or password is wrong: type both again."
            )
        case .tooMany(let time):
            let seconds = max(1, Int((time / .seconds(1)).rounded(.up)))
            var response = try Response.json(
                APIError(
                    error: "too_many_attempts",
                    message:
                        "There were too many wrong passwords, or too many logins at once: try again in \(seconds) s."
                ),
                status: .tooManyRequests
            )
            response.headers[.retryAfter] = String(seconds)
            return response
        }
    }
}
