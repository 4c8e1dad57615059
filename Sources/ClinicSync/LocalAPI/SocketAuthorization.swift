import NIOHTTP1

/// Decides who may use the WebSocket of the local API: programs with the node's token, and the dashboard.
struct SocketAuthorization: Sendable {
    /// The subprotocol of the WebSocket.
    static let subprotocol = "clinicsync.v1"
    /// The prefix before the token in a separate subprotocol.
    ///
    /// A browser lets a page set no other header of a WebSocket.
    static let tokenSubprotocol = "clinicsync.token."

    private let access: LocalAPIAccess

    /// Admits the same senders as `access`.
    init(_ access: LocalAPIAccess) { self.access = access }

    /// Whether `token` is the node's token.
    func accepts(_ token: String) -> Bool { self.access.accepts(Array(token.utf8)) }

    /// Returns whether the request that opens the WebSocket carries a valid token or cookie.
    ///
    /// The result is `nil` when the request carries neither. Then the first message must carry the token.
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
