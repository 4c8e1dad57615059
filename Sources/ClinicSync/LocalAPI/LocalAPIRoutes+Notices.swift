import HTTPTypes
import Hummingbird
import HummingbirdCore

// Notices to people, and latency measurements for people.
extension LocalAPIRoutes {
    /// The longest time that a measurement may wait for answers.
    static let probeTimeoutMax = Duration.seconds(60)

    /// The body of `POST /v1/notices`.
    private struct NoticeRequest: Decodable {
        var text: String
        var node: String?
        var user: String?
    }

    /// The answer of `POST /v1/notices`.
    private struct NoticeReply: Encodable {
        var id: String
    }

    /// The body of `POST /v1/probe`.
    private struct ProbeRequest: Decodable {
        var timeout: String?
    }

    /// Adds the endpoints of notices and measurements.
    func addNotices(to group: RouterGroup<BasicRequestContext>) {
        let group = self.allowing([.write], group)
        group.post("/notices") { request, _ in
            let notice = try await request.json(NoticeRequest.self)
            let id = try await self.control.notices.notify(notice.text, node: notice.node, user: notice.user)
            return try Response.json(NoticeReply(id: id), status: .created)
        }
        group.post("/probe") { request, _ in
            let text = try await request.json(ProbeRequest.self).timeout ?? "10s"
            guard let timeout = DurationText.parse(text), timeout > .zero, timeout <= LocalAPIRoutes.probeTimeoutMax
            else {
                throw ClinicSyncError(.usage, "timeout must be a time up to 60s, for example 10s.")
            }
            return try Response.json(try await self.control.probes.probe(timeout: timeout))
        }
    }
}
