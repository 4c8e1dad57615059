import NIOHTTP1

/// Who may use the WebSocket of the local API: whoever knows the node's token, and the dashboard.
struct SocketAuthorization: Sendable {
    /// The subprotocol of the WebSocket.
    static let subprotocol = "clinicsync.v1"
    /// The token may follow this in a subprotocol of its own: the one header that a browser lets a page choose.
    static let tokenSubprotocol = "clinicsync.token."

    private let access: LocalAPIAccess

    /// Lets in whom `access` lets in.
    init(_ access: LocalAPIAccess) { self.access = access }

    /// Whether `token` is the node's.
    func accepts(_ token: String) -> Bool { self.access.accepts(Array(token.utf8)) }

    /// Whether the request that opens the WebSocket carries what is asked for; `nil` when it carries nothing, so that the first
    /// message must.
    func isAuthorized(_ head: HTTPRequestHead) -> Bool? {
        if self.access.way(RequestIdentity(head)) != nil { return true }
        guard head.headers.first(name: "Authorization") == nil else { return false }
        let offered = head.headers[canonicalForm: "Sec-WebSocket-Protocol"]
        guard let token = offered.first(where: { $0.hasPrefix(SocketAuthorization.tokenSubprotocol) }) else {
            return nil
        }
        return self.access.accepts(Array(token.utf8.dropFirst(SocketAuthorization.tokenSubprotocol.utf8.count)))
    }
}
