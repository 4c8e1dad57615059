import Foundation
import HTTPTypes
import Hummingbird
import HummingbirdCore
import Logging
import NIOCore

/// A request that is refused before it reaches the node.
struct RequestRefusal: Error {
    var status: HTTPResponse.Status
    var error: String
    var message: String
    /// The number of seconds after which the program may try again, if known.
    var retryAfterSeconds: Int?
}

/// Turns every error into the API's JSON form.
struct ErrorResponder: RouterMiddleware {
    typealias Context = BasicRequestContext

    func handle(
        _ request: Request,
        context: BasicRequestContext,
        next: @concurrent (Request, BasicRequestContext) async throws -> Response
    ) async throws -> Response {
        do {
            return try await next(request, context)
        } catch let refusal as RequestRefusal {
            var response = try self.response(
                refusal.status,
                APIError(error: refusal.error, message: refusal.message)
            )
            if let seconds = refusal.retryAfterSeconds { response.headers[.retryAfter] = String(seconds) }
            return response
        } catch let error as ClinicSyncError {
            let (status, body) = APIError.response(to: error)
            return try self.response(status, body)
        } catch let error as HTTPError where error.status == .notFound {
            return try self.response(
                .notFound,
                APIError(error: "not_found", message: "There is no such endpoint: docs/openapi.yaml lists them.")
            )
        } catch let error as HTTPError {
            return try self.response(
                error.status,
                APIError(
                    error: "refused",
                    message: "The request is malformed: correct it as docs/openapi.yaml describes."
                )
            )
        } catch {
            context.logger.warning("request failed", metadata: ["error.type": "\(type(of: error))"])
            return try self.response(
                .internalServerError,
                APIError(
                    error: "internal",
                    message: "The node failed because of an internal error: its log has the cause."
                )
            )
        }
    }

    private func response(_ status: HTTPResponse.Status, _ body: APIError) throws -> Response {
        try Response.json(body, status: status)
    }
}

/// Admits programs on this PC and only the web pages that the configuration names.
///
/// A page in a browser of this PC can reach loopback in two ways. Its script sends requests, which then carry `Origin`.
/// Or the page's author makes a DNS name resolve to 127.0.0.1 (DNS rebinding); requests then carry this name as `Host`.
struct LoopbackGuard: RouterMiddleware {
    typealias Context = BasicRequestContext

    let origins: AllowedOrigins

    func handle(
        _ request: Request,
        context: BasicRequestContext,
        next: @concurrent (Request, BasicRequestContext) async throws -> Response
    ) async throws -> Response {
        let authority = request.head.authority ?? ""
        let origin = request.headers[.origin]
        if let refusal = self.refusal(authority: authority, origin: origin) { throw refusal }
        guard let origin, !AllowedOrigins.isOwn(origin, authority: authority) else {
            return try await next(request, context)
        }
        if request.method == .options { return Response(status: .noContent, headers: self.origins.preflight(origin)) }
        var response = try await next(request, context)
        response.headers.append(contentsOf: self.origins.fields(origin))
        return response
    }

    /// Returns why the node refuses a request for `authority` from a page of `origin`; `nil` when the node accepts it.
    func refusal(authority: String, origin: String?) -> RequestRefusal? {
        guard LoopbackGuard.isLoopback(authority: authority) else {
            return RequestRefusal(
                status: .misdirectedRequest,
                error: "wrong_host",
                message:
                    "The local API answers only to 127.0.0.1, [::1] and localhost: use one of these in the address."
            )
        }
        guard let origin, !AllowedOrigins.isOwn(origin, authority: authority), !self.origins.contains(origin) else {
            return nil
        }
        return RequestRefusal(
            status: .forbidden,
            error: "wrong_origin",
            message: "Pages of this origin may not use the local API: name it in api.allowedOrigins of node.json."
        )
    }

    static func isLoopback(authority: String) -> Bool {
        let name: Substring
        if authority.hasPrefix("[") {
            guard let end = authority.firstIndex(of: "]") else { return false }
            name = authority[authority.index(after: authority.startIndex)..<end]
        } else {
            name = authority.prefix { $0 != ":" }
        }
        return NetworkAddress.isLoopback(host: String(name))
    }
}

/// Requires a token with a right, or the dashboard's cookie.
struct TokenGuard: RouterMiddleware {
    typealias Context = BasicRequestContext

    let access: LocalAPIAccess
    /// One of these rights is enough.
    let rights: Set<TokenRight>

    func handle(
        _ request: Request,
        context: BasicRequestContext,
        next: @concurrent (Request, BasicRequestContext) async throws -> Response
    ) async throws -> Response {
        guard let grant = self.access.grant(RequestIdentity(request.head)) else { throw TokenGuard.refusal }
        LocalAPIConnections.current?.trust()
        guard !grant.rights.isDisjoint(with: self.rights) else { throw TokenGuard.missing(self.rights) }
        return try await next(request, context)
    }

    static let refusal = RequestRefusal(
        status: .unauthorized,
        error: "unauthorized",
        message: "Send the content of the node's api.token as \"Authorization: Bearer TOKEN\"."
    )

    /// The refusal of a token that has none of `rights`.
    static func missing(_ rights: Set<TokenRight>) -> RequestRefusal {
        let names = rights.map(\.rawValue).sorted().joined(separator: " or ")
        return RequestRefusal(
            status: .forbidden,
            error: "right_missing",
            message: "This token does not have the right \(names): make one that has with clinic-node tokens add."
        )
    }
}

/// Reads the body of a request up to a limit, so that endpoints receive the whole body.
struct BodyLimit: RouterMiddleware {
    typealias Context = BasicRequestContext

    let bytesMax: Int

    func handle(
        _ request: Request,
        context: BasicRequestContext,
        next: @concurrent (Request, BasicRequestContext) async throws -> Response
    ) async throws -> Response {
        let announced = request.headers[.contentLength].flatMap { Int($0) } ?? 0
        guard announced <= self.bytesMax else { throw self.refusal }
        // A stream of events detects the end of the connection through its request, so the body must stay unread.
        guard request.method != .get else { return try await next(request, context) }
        var request = request
        do {
            request.body = RequestBody(buffer: try await request.body.collect(upTo: self.bytesMax))
        } catch is NIOTooManyBytesError {
            throw self.refusal
        }
        return try await next(request, context)
    }

    private var refusal: RequestRefusal {
        RequestRefusal(
            status: .contentTooLarge,
            error: "too_large",
            message: "The body is larger than \(self.bytesMax) bytes: send less."
        )
    }
}

extension Response {
    /// A response whose body is `value` as JSON with sorted keys.
    static func json(_ value: some Encodable, status: HTTPResponse.Status = .ok) throws -> Response {
        var bytes = try APICoding.encode(value)
        bytes.append(UInt8(ascii: "\n"))
        return Response(
            status: status,
            headers: [.contentType: "application/json; charset=utf-8", .cacheControl: "no-store"],
            body: ResponseBody(byteBuffer: ByteBuffer(bytes: bytes))
        )
    }
}
