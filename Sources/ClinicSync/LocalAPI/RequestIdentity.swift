import ClinicSyncModel
import HTTPTypes
import NIOHTTP1

/// The parts of a request that identify its sender; for HTTP requests and for the opening of a WebSocket.
struct RequestIdentity: Sendable, Hashable {
    /// A browser adds this header to a request of another origin only after a successful preflight.
    static let markName = "X-ClinicSync"

    /// `Host`.
    var authority: String
    /// `Authorization`.
    var authorization: String?
    /// `Cookie`.
    var cookie: String?
    /// `Origin`.
    var origin: String?
    /// `Sec-Fetch-Site`.
    var fetchSite: String?
    /// Whether the request changes nothing: GET or HEAD, and the opening of a WebSocket.
    var isRead: Bool
    /// Whether the header ``markName`` is `1`.
    var isMarked: Bool

    /// Whether the browser says that a page of the same address sent the request.
    var isSameOrigin: Bool {
        if let fetchSite = self.fetchSite, fetchSite != "same-origin" { return false }
        if let origin = self.origin { return AllowedOrigins.isOwn(origin, authority: self.authority) }
        return self.fetchSite == "same-origin"
    }
}

extension RequestIdentity {
    /// Reads an HTTP request.
    init(_ head: HTTPRequest) {
        let fields = head.headerFields
        func value(_ name: String) -> String? { HTTPField.Name(name).flatMap { fields[$0] } }
        self.init(
            authority: head.authority ?? "",
            authorization: fields[.authorization],
            cookie: fields[.cookie],
            origin: fields[.origin],
            fetchSite: value("Sec-Fetch-Site")?.lowercased(),
            isRead: head.method == .get || head.method == .head,
            isMarked: value(RequestIdentity.markName) == "1"
        )
    }
}

extension RequestIdentity {
    /// Reads the request that opens a WebSocket.
    init(_ head: HTTPRequestHead) {
        func value(_ name: String) -> String? { head.headers.first(name: name) }
        self.init(
            authority: value("Host") ?? "",
            authorization: value("Authorization"),
            cookie: value("Cookie"),
            origin: value("Origin"),
            fetchSite: value("Sec-Fetch-Site")?.lowercased(),
            isRead: head.method == .GET,
            isMarked: value(RequestIdentity.markName) == "1"
        )
    }
}

/// Decides who may use the local API.
struct LocalAPIAccess: Sendable {
    /// How the sender proved that it may use the API.
    enum Way: Sendable, Hashable {
        /// With the token of the API.
        case token
        /// With the cookie of the dashboard, from the dashboard itself.
        case dashboard
    }

    private let token: [UInt8]
    private let dashboard: DashboardAccess

    init(token: String, dashboard: DashboardAccess) {
        self.token = Array(token.utf8)
        self.dashboard = dashboard
    }

    /// How the sender proved that it may use the API; `nil` when it did not.
    ///
    /// A cookie is valid only when the browser says that the dashboard sent the request. A request that changes
    /// something also needs the mark, which a page of another origin cannot set.
    func way(_ identity: RequestIdentity) -> Way? {
        let scheme = "bearer "
        if let header = identity.authorization, header.lowercased().hasPrefix(scheme),
            self.accepts(Array(header.utf8.dropFirst(scheme.utf8.count)))
        {
            return .token
        }
        guard identity.isSameOrigin, identity.isRead || identity.isMarked, self.hasCookie(identity) else { return nil }
        return .dashboard
    }

    /// Whether the sender has the dashboard's cookie, regardless of the other headers.
    func hasCookie(_ identity: RequestIdentity) -> Bool {
        identity.cookie.flatMap(DashboardAccess.cookie(in:)).map(self.dashboard.accepts(cookie:)) ?? false
    }

    /// Whether `candidate` is the token.
    func accepts(_ candidate: [UInt8]) -> Bool {
        !self.token.isEmpty && ConstantTime.equal(candidate, self.token)
    }
}
