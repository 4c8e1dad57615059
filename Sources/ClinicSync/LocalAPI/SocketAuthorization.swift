import NIOHTTP1

/// Who may use the WebSocket of the local API: whoever knows the node's token.
struct SocketAuthorization: Sendable {
    /// The subprotocol of the WebSocket.
    static let subprotocol = "clinicsync.v1"
    /// The token may follow this in a subprotocol of its own: the one header that a browser lets a page choose.
    static let tokenSubprotocol = "clinicsync.token."

    private let guardian: TokenGuard

    /// Asks for `token`.
    init(token: String) { self.guardian = TokenGuard(token: Array(token.utf8)) }

    /// Whether `token` is the node's.
    func accepts(_ token: String) -> Bool { self.guardian.accepts(Array(token.utf8)) }

    /// Whether the request that opens the WebSocket carries what is asked for; `nil` when it carries nothing, so that the first
    /// message must.
    func isAuthorized(_ head: HTTPRequestHead) -> Bool? {
        if let header = head.headers.first(name: "Authorization") {
            let scheme = "bearer "
            guard header.lowercased().hasPrefix(scheme) else { return false }
            return self.guardian.accepts(Array(header.utf8.dropFirst(scheme.utf8.count)))
        }
        let offered = head.headers[canonicalForm: "Sec-WebSocket-Protocol"]
        guard let token = offered.first(where: { $0.hasPrefix(SocketAuthorization.tokenSubprotocol) }) else {
            return nil
        }
        return self.guardian.accepts(Array(token.utf8.dropFirst(SocketAuthorization.tokenSubprotocol.utf8.count)))
    }
}
