import Foundation
package import NIOCore
package import NIOHTTP1
import NIOPosix

/// A client of the local API of a node on this PC; the commands use it.
///
/// The client opens one connection for each request, because each command sends one request.
package struct LocalAPIClient: Sendable {
    /// The largest size in bytes of an answer, or of one line of a stream.
    package static let answerBytesMax = 16 << 20

    /// The header that gives the position after which a stream of events begins.
    package static let positionHeader = "Clinicsync-Position"

    private typealias Connection = NIOAsyncChannel<HTTPClientResponsePart, HTTPClientRequestPart>

    private let address: NetworkAddress
    private let token: String
    private let notRunning: String
    private let group: any EventLoopGroup

    /// Makes a client; the error for a node that does not answer names `directory`.
    package init(
        address: NetworkAddress,
        token: String,
        directory: String,
        group: any EventLoopGroup = MultiThreadedEventLoopGroup.singleton
    ) {
        self.address = address
        self.token = token
        self.notRunning = LocalAPIClient.notRunning(directory)
        self.group = group
    }

    /// Makes a client of the node in `directory`.
    ///
    /// - Throws: ``ClinicSyncError`` of code `notANode`, or `notReachable` when the node does not run.
    package init(directory: NodeDirectory) throws {
        _ = try directory.identity()
        guard let address = try directory.apiAddress() else {
            throw ClinicSyncError(.notReachable, LocalAPIClient.notRunning(directory.url.path))
        }
        self.init(address: address, token: try directory.token(), directory: directory.url.path)
    }

    /// Sends a request and returns the body of the answer.
    ///
    /// `body` is JSON; see ``APICoding/encode(_:)``.
    ///
    /// - Throws: ``ClinicSyncError``: the node's own error, `notReachable`, or `timeout`.
    package func send(
        _ method: HTTPMethod,
        _ path: String,
        query: [(name: String, value: String)] = [],
        body: [UInt8]? = nil,
        timeout: Duration
    ) async throws -> [UInt8] {
        try await withThrowingTaskGroup(of: [UInt8]?.self) { tasks in
            tasks.addTask {
                var answer = [UInt8]()
                try await self.exchange(method, path, query: query, body: body) { bytes in
                    answer.append(contentsOf: bytes)
                    guard answer.count <= LocalAPIClient.answerBytesMax else { throw self.tooLarge }
                }
                return answer
            }
            tasks.addTask {
                try await Task.sleep(for: timeout)
                return nil
            }
            defer { tasks.cancelAll() }
            guard let first = try await tasks.next(), let body = first else {
                throw ClinicSyncError(
                    .timeout,
                    "The node did not answer within \(DurationText.format(timeout)): look at its log."
                )
            }
            return body
        }
    }

    /// Sends a `GET` request and reads the answer.
    ///
    /// - Throws: ``ClinicSyncError``: the node's own error, `notReachable`, or `timeout`; `DecodingError`.
    package func get<Answer: Decodable>(_ path: String, timeout: Duration) async throws -> Answer {
        try APICoding.decode(Answer.self, from: try await self.send(.GET, path, timeout: timeout))
    }

    /// Sends a `POST` request without a body, whose answer says nothing but that it is done.
    ///
    /// - Throws: ``ClinicSyncError``: the node's own error, `notReachable`, or `timeout`.
    package func post(_ path: String, timeout: Duration) async throws {
        _ = try await self.send(.POST, path, timeout: timeout)
    }

    /// Sends a request and hands over each line of the answer as it comes; returns when the stream ends.
    ///
    /// `onPosition` is called first, with the position after which a stream of events begins.
    package func lines(
        _ path: String,
        query: [(name: String, value: String)],
        onPosition: (UInt64) -> Void = { _ in },
        onLine: (ArraySlice<UInt8>) async throws -> Void
    ) async throws {
        var pending = [UInt8]()
        try await self.exchange(.GET, path, query: query, onPosition: onPosition) { bytes in
            pending.append(contentsOf: bytes)
            while let end = pending.firstIndex(of: UInt8(ascii: "\n")) {
                try await onLine(pending[..<end])
                pending.removeSubrange(...end)
            }
            guard pending.count <= LocalAPIClient.answerBytesMax else { throw self.tooLarge }
        }
    }

    // MARK: - Private

    private func exchange(
        _ method: HTTPMethod,
        _ path: String,
        query: [(name: String, value: String)],
        body: [UInt8]? = nil,
        onPosition: (UInt64) -> Void = { _ in },
        onBytes: ([UInt8]) async throws -> Void
    ) async throws {
        var parts: [HTTPClientRequestPart] = [.head(self.head(method, path, query, body))]
        if let body { parts.append(.body(.byteBuffer(ByteBuffer(bytes: body)))) }
        parts.append(.end(nil))
        let connection = try await self.connect()
        do {
            try await self.exchange(parts, over: connection, onPosition: onPosition, onBytes: onBytes)
        } catch let error where LocalAPIClient.isLoss(error) {
            throw LocalAPIClient.ended(cause: error)
        }
    }

    private func exchange(
        _ request: [HTTPClientRequestPart],
        over connection: Connection,
        onPosition: (UInt64) -> Void,
        onBytes: ([UInt8]) async throws -> Void
    ) async throws {
        try await connection.executeThenClose { inbound, outbound in
            // Send everything immediately. The node may answer and close after it has the head, and then a write fails.
            try await outbound.write(contentsOf: request)
            var failure: (status: Int, body: [UInt8])?
            for try await part in inbound {
                switch part {
                case .head(let head):
                    let status = Int(head.status.code)
                    if !(200..<300).contains(status) { failure = (status, []) }
                    let position = head.headers.first(name: LocalAPIClient.positionHeader).flatMap { UInt64($0) }
                    if let position { onPosition(position) }
                case .body(let buffer):
                    if failure == nil {
                        try await onBytes(Array(buffer.readableBytesView))
                    } else if failure?.body.count ?? 0 < 65_536 {
                        failure?.body.append(contentsOf: buffer.readableBytesView)
                    }
                case .end:
                    if let failure { throw APIError.error(status: failure.status, body: failure.body) }
                    return
                }
            }
            throw LocalAPIClient.ended()
        }
    }

    private func head(
        _ method: HTTPMethod,
        _ path: String,
        _ query: [(name: String, value: String)],
        _ body: [UInt8]?
    ) -> HTTPRequestHead {
        var uri = path
        if !query.isEmpty {
            let items = query.map { "\(LocalAPIClient.escape($0.name))=\(LocalAPIClient.escape($0.value))" }
            uri += "?" + items.joined(separator: "&")
        }
        var headers: HTTPHeaders = [
            "Host": self.address.description,
            "Authorization": "Bearer \(self.token)",
            "Connection": "close",
            "Content-Length": String(body?.count ?? 0),
        ]
        if body != nil { headers.add(name: "Content-Type", value: "application/json") }
        return HTTPRequestHead(version: .http1_1, method: method, uri: uri, headers: headers)
    }

    private func connect() async throws -> Connection {
        do {
            return try await ClientBootstrap(group: self.group)
                .connectTimeout(.seconds(5))
                .connect(host: self.address.host, port: self.address.port) { channel in
                    channel.eventLoop.makeCompletedFuture {
                        try channel.pipeline.syncOperations.addHTTPClientHandlers()
                        return try Connection(wrappingChannelSynchronously: channel)
                    }
                }
        } catch {
            throw ClinicSyncError(.notReachable, self.notRunning, cause: error)
        }
    }

    /// Whether the error means that the connection ended before, during, or after the head of the answer.
    private static func isLoss(_ error: any Error) -> Bool {
        switch error {
        case is IOError, is ChannelError: true
        case let error as HTTPParserError: error == .invalidEOFState
        default: false
        }
    }

    private static func ended(cause: (any Error)? = nil) -> ClinicSyncError {
        ClinicSyncError(
            .notReachable,
            "The node stopped before its answer was complete: start it again with clinic-node run.",
            cause: cause
        )
    }

    private var tooLarge: ClinicSyncError {
        ClinicSyncError(.notReachable, "The node's answer is larger than 16 MiB: ask for less, or restart the node.")
    }

    private static func notRunning(_ directory: String) -> String {
        "The node in \(directory) is not running: start it with clinic-node run --data \(directory)."
    }

    private static func escape(_ text: String) -> String {
        // The characters that RFC 3986, section 2.3, leaves unescaped.
        var unreserved = CharacterSet(charactersIn: "-._~")
        for range in ["a"..."z", "A"..."Z", "0"..."9"] as [ClosedRange<Unicode.Scalar>] {
            unreserved.insert(charactersIn: range)
        }
        return text.addingPercentEncoding(withAllowedCharacters: unreserved) ?? text
    }
}
