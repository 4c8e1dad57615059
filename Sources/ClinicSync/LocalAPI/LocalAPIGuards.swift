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
            return try self.response(refusal.status, APIError(error: refusal.error, message: refusal.message))
        } catch let error as ClinicSyncError {
            let (status, body) = APIError.response(to: error)
            return try self.response(status, body)
        } catch let error as HTTPError where error.status == .notFound {
            return try self.response(.notFound, APIError(error: "not_found", message: "There is no such endpoint."))
        } catch let error as HTTPError {
            return try self.response(error.status, APIError(error: "refused", message: "The request was refused."))
        } catch {
            context.logger.warning("request failed", metadata: ["error.type": "\(type(of: error))"])
            return try self.response(
                .internalServerError,
                APIError(error: "internal", message: "The node could not do this: its log says why.")
            )
        }
    }

    private func response(_ status: HTTPResponse.Status, _ body: APIError) throws -> Response {
        try Response.json(body, status: status)
    }
}

/// Lets only programs of this PC pass, and no web page.
///
/// A page that the browser of this PC shows can reach loopback: through its own script (it then sends
/// `Origin`), or by a name that its author's DNS points to 127.0.0.1 (it then sends that name as `Host`).
struct LoopbackGuard: RouterMiddleware {
    typealias Context = BasicRequestContext

    func handle(
        _ request: Request,
        context: BasicRequestContext,
        next: @concurrent (Request, BasicRequestContext) async throws -> Response
    ) async throws -> Response {
        let refusal = LoopbackGuard.refusal(
            authority: request.head.authority ?? "",
            origin: request.headers[.origin]
        )
        if let refusal { throw refusal }
        return try await next(request, context)
    }

    /// Why a request for `authority`, from a page of `origin` if there is one, is refused; `nil` when it is not.
    static func refusal(authority: String, origin: String?) -> RequestRefusal? {
        guard LoopbackGuard.isLoopback(authority: authority) else {
            return RequestRefusal(
                status: .misdirectedRequest,
                error: "wrong_host",
                message:
                    "The local API answers only to 127.0.0.1, [::1] and localhost: use one of these in the address."
            )
        }
        guard let origin, origin.lowercased() != "http://" + authority.lowercased() else { return nil }
        return RequestRefusal(
            status: .forbidden,
            error: "wrong_origin",
            message: "Pages of other origins may not use the local API."
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

/// Asks for the bearer token.
struct TokenGuard: RouterMiddleware {
    typealias Context = BasicRequestContext

    let token: [UInt8]

    func handle(
        _ request: Request,
        context: BasicRequestContext,
        next: @concurrent (Request, BasicRequestContext) async throws -> Response
    ) async throws -> Response {
        let header = request.headers[.authorization] ?? ""
        let scheme = "bearer "
        guard header.lowercased().hasPrefix(scheme), self.accepts(Array(header.utf8.dropFirst(scheme.utf8.count)))
        else {
            throw RequestRefusal(
                status: .unauthorized,
                error: "unauthorized",
                message: "Send the content of the node's api.token as \"Authorization: Bearer TOKEN\"."
            )
        }
        return try await next(request, context)
    }

    /// Compares in a time that depends on the length alone, so that a token cannot be guessed byte by byte.
    func accepts(_ candidate: [UInt8]) -> Bool {
        guard candidate.count == self.token.count, !self.token.isEmpty else { return false }
        return zip(candidate, self.token).reduce(UInt8(0)) { $0 | ($1.0 ^ $1.1) } == 0
    }
}

/// Reads and drops the body of a request, up to a limit; no endpoint has one yet.
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
        // A stream of events watches its request for the end of the connection, so that stays unread.
        guard request.method != .get else { return try await next(request, context) }
        do {
            _ = try await request.body.collect(upTo: self.bytesMax)
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
