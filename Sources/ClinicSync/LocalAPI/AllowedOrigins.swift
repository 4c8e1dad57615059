import HTTPTypes

/// The origins of web pages that may use the local API besides the node's own pages; none by default.
///
/// Such a page still needs the token. The headers below only make the browser give the answers to the page. Source: WHATWG,
/// "Fetch Standard", CORS protocol.
struct AllowedOrigins: Sendable, Hashable {
    private let origins: Set<String>

    init(_ origins: [String] = []) { self.origins = Set(origins.map { $0.lowercased() }) }

    /// Returns whether pages of this origin may use the API.
    func contains(_ origin: String) -> Bool { self.origins.contains(origin.lowercased()) }

    /// Returns whether `origin` is the origin of the node's own pages.
    static func isOwn(_ origin: String, authority: String) -> Bool {
        origin.lowercased() == "http://" + authority.lowercased()
    }

    /// The headers that let the page read an answer.
    func fields(_ origin: String) -> HTTPFields {
        [.accessControlAllowOrigin: origin, .vary: "Origin", .accessControlExposeHeaders: "Retry-After"]
    }

    /// The headers that let the page send requests that a plain form cannot send.
    func preflight(_ origin: String) -> HTTPFields {
        var fields = self.fields(origin)
        fields[.accessControlAllowMethods] = "GET, POST, DELETE"
        fields[.accessControlAllowHeaders] = "Authorization, Content-Type"
        fields[.accessControlMaxAge] = "600"
        // Chromium asks for this before a page of a public address may reach loopback.
        if let name = HTTPField.Name("Access-Control-Allow-Private-Network") { fields[name] = "true" }
        return fields
    }
}
