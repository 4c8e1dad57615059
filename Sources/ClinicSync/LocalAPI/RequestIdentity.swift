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
