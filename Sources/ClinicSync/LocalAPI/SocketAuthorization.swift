import NIOHTTP1

/// Decides who may use the WebSocket of the local API: programs with a token, and the dashboard.
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

    /// What the holder of `token` may do; `nil` when it is no token.
    func grant(_ token: String) -> LocalAPIAccess.Grant? { self.access.grant(token: Array(token.utf8)) }

    /// Whether a program that was admitted earlier may stay.
    func isCurrent(_ grant: LocalAPIAccess.Grant) -> Bool { self.access.isCurrent(grant) }

    /// What the request that opens a WebSocket carries.
    enum Opening {
        /// A valid token or cookie.
        case granted(LocalAPIAccess.Grant)
        /// A wrong token.
        case wrong
        /// Neither; the first message must carry the token.
        case none
    }

    /// Reads the request that opens a WebSocket.
    func opening(_ head: HTTPRequestHead) -> Opening {
        if let grant = self.access.grant(RequestIdentity(head)) { return .granted(grant) }
        guard head.headers.first(name: "Authorization") == nil else { return .wrong }
        let offered = head.headers[canonicalForm: "Sec-WebSocket-Protocol"]
        guard let token = offered.first(where: { $0.hasPrefix(SocketAuthorization.tokenSubprotocol) }) else {
            return .none
        }
        let secret = Array(token.utf8.dropFirst(SocketAuthorization.tokenSubprotocol.utf8.count))
        return self.access.grant(token: secret).map { .granted($0) } ?? .wrong
    }
}
