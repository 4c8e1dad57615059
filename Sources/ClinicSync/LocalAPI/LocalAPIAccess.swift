import ClinicSyncModel
import NIOConcurrencyHelpers

/// Decides who may use the local API, and for what.
struct LocalAPIAccess: Sendable {
    /// What a sender may do, and how it proved that.
    struct Grant: Sendable, Hashable {
        /// How the sender proved that it may use the API.
        enum Way: Sendable, Hashable {
            /// With the node's own token, `api.token`.
            case nodeToken
            /// With a token of its own.
            case programToken(ProgramToken)
            /// With the cookie of the dashboard, from the dashboard itself.
            case dashboard
        }

        let way: Way
        let rights: Set<TokenRight>
        /// The only tables whose changes it may see; empty: all.
        let tables: Set<String>

        static let node = Grant(way: .nodeToken, rights: Set(TokenRight.allCases), tables: [])
        static let dashboard = Grant(way: .dashboard, rights: Set(TokenRight.allCases), tables: [])

        /// Returns `filter` without the tables that the sender may not see; `nil` when nothing is left.
        func limiting(_ filter: EventFilter) -> EventFilter? {
            guard !self.tables.isEmpty else { return filter }
            var filter = filter
            filter.tables = filter.tables.isEmpty ? self.tables : filter.tables.intersection(self.tables)
            filter.isOfTablesOnly = true
            return filter.tables.isEmpty ? nil : filter
        }
    }

    private let token: [UInt8]
    private let dashboard: DashboardAccess
    private let programs: ProgramTokenBook?

    /// Admits the holders of `token`, of the tokens in `programs`, and the dashboard.
    init(token: String, programs: ProgramTokens? = nil, dashboard: DashboardAccess) {
        self.token = Array(token.utf8)
        self.programs = programs.map { ProgramTokenBook($0) }
        self.dashboard = dashboard
    }

    /// What the sender may do; `nil` when it proved nothing.
    ///
    /// A cookie is valid only when the browser says that the dashboard sent the request. A request that changes
    /// something also needs the mark, which a page of another origin cannot set.
    func grant(_ identity: RequestIdentity) -> Grant? {
        let scheme = "bearer "
        if let header = identity.authorization, header.lowercased().hasPrefix(scheme),
            let grant = self.grant(token: Array(header.utf8.dropFirst(scheme.utf8.count)))
        {
            return grant
        }
        guard identity.isSameOrigin, identity.isRead || identity.isMarked, self.hasCookie(identity) else { return nil }
        return .dashboard
    }

    /// Whether the sender has the dashboard's cookie, regardless of the other headers.
    func hasCookie(_ identity: RequestIdentity) -> Bool {
        identity.cookie.flatMap(DashboardAccess.cookie(in:)).map(self.dashboard.accepts(cookie:)) ?? false
    }

    /// What the holder of `candidate` may do; `nil` when it is no token.
    func grant(token candidate: [UInt8]) -> Grant? {
        if !self.token.isEmpty, ConstantTime.equal(candidate, self.token) { return .node }
        guard let token = self.programs?.token(of: candidate) else { return nil }
        return Grant(way: .programToken(token), rights: token.rights, tables: token.tables)
    }

    /// Whether a sender that proved something earlier may go on: its token was not removed meanwhile.
    func isCurrent(_ grant: Grant) -> Bool {
        guard case .programToken(let token) = grant.way else { return true }
        return self.programs?.token(ofDigest: token.digest) == token
    }
}

/// The tokens of programs as a running node knows them: read again when the file has changed.
private final class ProgramTokenBook: Sendable {
    private struct State {
        var version: ProgramTokens.FileVersion?
        var tokens: [String: ProgramToken] = [:]
    }

    private let file: ProgramTokens
    private let state = NIOLockedValueBox(State())

    init(_ file: ProgramTokens) { self.file = file }

    /// The token with this secret; `nil` when there is none.
    ///
    /// The secret's hash finds it, so that the time of the search tells nothing of other secrets. While the file cannot be read,
    /// no token of a program counts.
    func token(of secret: [UInt8]) -> ProgramToken? { self.token(ofDigest: ProgramToken.digest(of: secret)) }

    /// The token whose secret has this hash; `nil` when there is none.
    func token(ofDigest digest: String) -> ProgramToken? {
        let version = self.file.version()
        return self.state.withLockedValue { state in
            if state.version != version {
                state.tokens = [:]
                state.version = nil
                if let tokens = try? self.file.list() {
                    state.tokens = Dictionary(tokens.map { ($0.digest, $0) }) { first, _ in first }
                    state.version = version
                }
            }
            return state.tokens[digest]
        }
    }
}
