import NIOHTTP1

/// Decides who may use the WebSocket of the local API: programs that know the node's token, and the dashboard.
struct SocketAuthorization: Sendable {
    /// The subprotocol of the WebSocket.
    static let subprotocol = "clinicsync.v1"
    /// Before the token in a subprotocol of its own.
    ///
    /// A browser lets a page choose no other header of a WebSocket.
    static let tokenSubprotocol = "clinicsync.token."

    private let access: LocalAPIAccess

    /// Lets in whom `access` lets in.
    init(_ access: LocalAPIAccess) { self.access = access }

    /// Whether `token` is the node's.
    func accepts(_ token: String) -> Bool { self.access.accepts(Array(token.utf8)) }

    /// Whether the request that opens the WebSocket carries the token or the cookie; `nil` when it carries neither, so
    /// that the first message must carry the token.
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
