import Hummingbird
import HummingbirdCore

// The conflict journal.
extension LocalAPIRoutes {
    /// Adds the endpoints of the conflict journal.
    func addConflicts(to group: RouterGroup<BasicRequestContext>) {
        let readers = self.allowing([.read], group)
        let writers = self.allowing([.write], group)
        readers.get("/conflicts") { request, _ in
            let name = Query(request)["state"] ?? ConflictFilter.open.rawValue
            guard let filter = ConflictFilter(rawValue: name) else {
                throw ClinicSyncError(.usage, "There is no state \"\(name)\": use open or all.")
            }
            return try Response.json(try await self.control.conflicts.conflicts(filter))
        }
        readers.get("/conflicts/:id") { _, context in
            try Response.json(try await self.control.conflicts.conflict(try context.parameters.require("id")))
        }
        // The query holds the path, because a key may contain slashes.
        readers.get("/why") { request, _ in
            try Response.json(try await self.control.conflicts.why(try Query(request).text("path")))
        }
        writers.post("/conflicts/resolve") { request, _ in
            let decision = try await request.json(ConflictsDecision.self)
            return try Response.json(try await self.control.conflicts.resolve(decision))
        }
        writers.post("/conflicts/:id/resolve") { request, context in
            let decision = try await request.json(ConflictDecision.self)
            let id = try context.parameters.require("id")
            return try Response.json(try await self.control.conflicts.resolve(conflict: id, decision))
        }
    }
}
