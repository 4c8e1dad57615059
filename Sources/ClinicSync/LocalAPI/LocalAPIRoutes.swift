import ClinicSyncModel
import HTTPTypes
import Hummingbird
import HummingbirdCore
import NIOCore
import ServiceLifecycle

/// The endpoints of the local API.
struct LocalAPIRoutes: Sendable {
    let control: NodeControl
    /// Decides who may send requests.
    let access: LocalAPIAccess
    /// Admits browsers.
    let dashboard: DashboardAccess
    /// Origins whose pages may send requests, besides the node's own.
    let origins: AllowedOrigins

    init(
        control: NodeControl,
        token: String,
        programs: ProgramTokens? = nil,
        origins: AllowedOrigins = AllowedOrigins()
    ) {
        self.control = control
        self.dashboard = DashboardAccess(token: token)
        self.access = LocalAPIAccess(token: token, programs: programs, dashboard: self.dashboard)
        self.origins = origins
    }

    /// The largest size of a request's body in bytes.
    static let bodyBytesMax = 65_536
    /// The longest time limit of a manual sync.
    static let syncTimeoutMax = Duration.seconds(3_600)
    /// The longest validity of a join code.
    static let invitationTimeMax = Duration.seconds(7 * 86_400)
    /// The largest number of uses of a join code.
    static let invitationUsesMax = 1_000

    func makeRouter() -> Router<BasicRequestContext> {
        let router = Router(context: BasicRequestContext.self)
        router.add(middleware: ErrorResponder())
        router.add(middleware: LoopbackGuard(origins: self.origins))
        router.add(middleware: RequestRate(access: self.access))
        router.add(middleware: BodyLimit(bytesMax: LocalAPIRoutes.bodyBytesMax))
        // The first request on a connection never arrives here: see `LocalAPIChannel`.
        router.get("/ws") { _, _ -> Response in
            throw RequestRefusal(
                status: .upgradeRequired,
                error: "upgrade_required",
                message: "This is a WebSocket: open it on a connection of its own."
            )
        }
        router.get("/health") { _, _ in Response(status: .ok) }
        self.addDashboard(to: router)
        self.addMetrics(to: router)
        let version = router.group("/v1")
        self.addState(to: version)
        self.addAdministration(to: version)
        self.addConflicts(to: version)
        self.addSessions(to: version)
        self.addDashboard(to: version)
        self.addNotices(to: version)
        return router
    }

    /// Returns a group below `group` whose requests need one of `rights`.
    func allowing(
        _ rights: Set<TokenRight>,
        _ group: RouterGroup<BasicRequestContext>
    ) -> RouterGroup<BasicRequestContext> {
        group.group().add(middleware: TokenGuard(access: self.access, rights: rights))
    }

    private func addState(to group: RouterGroup<BasicRequestContext>) {
        let guarded = self.allowing([.read], group)
        guarded.get("/status") { _, _ in try Response.json(try await self.control.status.status()) }
        guarded.get("/health") { _, _ in
            let health = await self.control.status.health()
            return try Response.json(health, status: health.isReady ? .ok : .serviceUnavailable)
        }
        guarded.get("/digest") { request, _ in
            try Response.json(try await self.control.tables.digest(table: Query(request)["table"]))
        }
        guarded.get("/nodes") { _, _ in try Response.json(try await self.control.members.nodes()) }
        self.allowing([.write], group).post("/sync") { request, _ in try await self.sync(Query(request)) }
        self.allowing([.events], group).get("/events") { request, _ in try await self.events(request) }
    }

    private func addAdministration(to group: RouterGroup<BasicRequestContext>) {
        let guarded = self.allowing([.admin], group)
        guarded.post("/nodes/revoke") { request, _ in
            try await self.control.members.revoke(node: try Query(request).text("node"))
            return Response(status: .noContent)
        }
        guarded.post("/nodes/grant") { request, _ in
            try await self.control.members.grant(node: try Query(request).text("node"))
            return Response(status: .noContent)
        }
        guarded.post("/nodes/rename") { request, _ in
            let query = Query(request)
            try await self.control.members.rename(node: try query.text("node"), to: try query.text("name"))
            return Response(status: .noContent)
        }
        guarded.post("/host/transfer") { request, _ in
            try await self.control.members.transferHost(to: try Query(request).text("node"))
            return Response(status: .noContent)
        }
        guarded.post("/backup") { _, _ in
            try await self.control.tables.prepareBackup()
            return Response(status: .noContent)
        }
        guarded.post("/invitations") { request, _ in try await self.invite(Query(request)) }
    }

    /// Every endpoint, written like `GET /v1/conflicts/{id}`.
    var endpoints: [String] { self.makeRouter().routes.map { "\($0.method.rawValue) \($0.path)" } }

    private func sync(_ query: Query) async throws -> Response {
        let timeout = try query.duration(
            "timeout",
            default: .seconds(60),
            in: .milliseconds(1)...LocalAPIRoutes.syncTimeoutMax
        )
        return try Response.json(try await self.control.tables.sync(table: query["table"], timeout: timeout))
    }

    private func invite(_ query: Query) async throws -> Response {
        let ttl = try query.duration(
            "ttl",
            default: .seconds(1_800),
            in: .seconds(1)...LocalAPIRoutes.invitationTimeMax
        )
        let uses = try query.number("uses", default: 1, in: 1...LocalAPIRoutes.invitationUsesMax)
        let code = try await self.control.members.invite(ttl: ttl, uses: uses)
        return try Response.json(Invitation(code: code), status: .created)
    }

    private func events(_ request: Request) async throws -> Response {
        let filter = try Query(request).filter()
        let grant = self.access.grant(RequestIdentity(request.head))
        guard let grant, let limited = grant.limiting(filter) else { throw TokenGuard.missing([.events]) }
        let subscription = self.control.events.subscribe(limited)
        let body = ResponseBody { writer in
            try await request.body.consumeWithInboundCloseHandler { _ in
                try await withGracefulShutdownHandler {
                    let feed = EventFeed(subscription: subscription)
                    while let batch = try await feed.next(), self.access.isCurrent(grant) {
                        var lines = ByteBuffer()
                        for object in batch.objects {
                            lines.writeImmutableBuffer(object)
                            lines.writeInteger(UInt8(ascii: "\n"))
                        }
                        try await writer.write(lines)
                    }
                } onGracefulShutdown: {
                    subscription.cancel()
                }
            } onInboundClosed: {
                subscription.cancel()
            }
            try await writer.finish(nil)
        }
        var headers: HTTPFields = [.contentType: "application/x-ndjson; charset=utf-8", .cacheControl: "no-store"]
        if let name = HTTPField.Name(LocalAPIClient.positionHeader) {
            headers[name] = String(subscription.startPosition)
        }
        return Response(status: .ok, headers: headers, body: body)
    }
}

/// The query part of a request's address.
struct Query {
    private let items: [(name: String, value: String)]

    init(_ request: Request) {
        self.items = request.uri.queryParameters.map { (name: String($0.key), value: String($0.value)) }
    }

    subscript(name: String) -> String? { self.items.first { $0.name == name }?.value }

    func text(_ name: String) throws -> String {
        guard let text = self[name], !text.isEmpty else {
            throw ClinicSyncError(.usage, "The request names no \(name): give it in the query.")
        }
        return text
    }

    func duration(
        _ name: String,
        default fallback: Duration,
        in range: ClosedRange<Duration>
    ) throws -> Duration {
        guard let text = self[name] else { return fallback }
        guard let duration = DurationText.parse(text), range.contains(duration) else {
            let bounds = "\(DurationText.format(range.lowerBound)) to \(DurationText.format(range.upperBound))"
            throw ClinicSyncError(.usage, "\(name) must be a time from \(bounds), for example 30s.")
        }
        return duration
    }

    func number(_ name: String, default fallback: Int, in range: ClosedRange<Int>) throws -> Int {
        guard let text = self[name] else { return fallback }
        guard let number = Int(text), range.contains(number) else {
            throw ClinicSyncError(.usage, "\(name) must be a number from \(range.lowerBound) to \(range.upperBound).")
        }
        return number
    }

    /// Returns a filter for the events that the query requests.
    func filter() throws -> EventFilter {
        let since = try self["since"].map { text in
            guard let position = UInt64(text) else {
                throw ClinicSyncError(.usage, "since must be the position of an event: a whole number.")
            }
            return position
        }
        do {
            return try EventFilter(
                categories: self.all("category"),
                tables: self.all("table"),
                users: self.all("user"),
                since: since
            )
        } catch let fault as EventFilterFault {
            throw ClinicSyncError(.usage, fault.message)
        }
    }

    private func all(_ name: String) -> [String] { self.items.filter { $0.name == name }.map(\.value) }
}
