import HTTPTypes
import Hummingbird
import HummingbirdCore
import NIOCore

/// The answer to `POST /v1/dashboard-links`.
package struct DashboardLink: Sendable, Hashable, Codable {
    /// The address to open in a browser of this PC, once.
    package var url: String
    /// How long the link is valid.
    package var expiresInSeconds: Int

    /// Makes an answer.
    package init(url: String, expiresInSeconds: Int) {
        self.url = url
        self.expiresInSeconds = expiresInSeconds
    }
}

// The dashboard and the metrics.
extension LocalAPIRoutes {
    /// Adds the dashboard and its links.
    func addDashboard(to router: Router<BasicRequestContext>) {
        router.get("/") { request, _ in
            self.access.hasCookie(RequestIdentity(request.head))
                ? DashboardPage.dashboard.response() : DashboardPage.closed.response(.unauthorized)
        }
        router.get("/dashboard/:code") { request, context in
            guard self.dashboard.open(link: try context.parameters.require("code")) else {
                return DashboardPage.closed.response(.unauthorized)
            }
            var headers = DashboardPage.protection
            headers[.location] = "/"
            headers[.setCookie] =
                "\(DashboardAccess.cookieName)=\(self.dashboard.makeCookie()); Path=/; Max-Age=\(DashboardAccess.cookieSeconds)"
                + "; HttpOnly; SameSite=Strict"
            return Response(status: .seeOther, headers: headers)
        }
    }

    /// Adds the dashboard's own requests and the endpoint that makes links.
    func addDashboard(to group: RouterGroup<BasicRequestContext>) {
        self.allowing([.read], group).get("/latency") { _, _ in
            try Response.json(try await self.control.status.latency())
        }
        self.allowing([.admin], group).post("/dashboard-links") { request, _ in
            let identity = RequestIdentity(request.head)
            // A cookie alone must not suffice to make new links. Otherwise a browser could renew its cookie forever.
            guard self.access.grant(identity)?.way != .dashboard else { throw TokenGuard.refusal }
            let link = DashboardLink(
                url: "http://\(identity.authority)/dashboard/\(self.dashboard.makeLink())",
                expiresInSeconds: Int(DashboardAccess.linkSeconds)
            )
            return try Response.json(link, status: .created)
        }
    }

    /// Adds the metrics.
    func addMetrics(to router: Router<BasicRequestContext>) {
        self.allowing([.read], router.group("/metrics")).get { _, _ in
            Response(
                status: .ok,
                headers: [.contentType: "text/plain; version=0.0.4; charset=utf-8", .cacheControl: "no-store"],
                body: ResponseBody(byteBuffer: ByteBuffer(string: try await self.control.status.metrics()))
            )
        }
    }
}
