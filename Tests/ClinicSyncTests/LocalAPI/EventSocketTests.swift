import ClinicSyncModel
import Logging
import NIOCore
import NIOHTTP1
import NIOPosix
import NIOWebSocket
import ServiceLifecycle
import Testing

@testable import ClinicSync

@Suite(.timeLimit(.minutes(1))) struct EventSocketTests {
    /// Serves on a free port while `body` runs, then stops gracefully.
    ///
    /// No client of these tests answers a close frame, so the server does not wait long for it.
    private func serve(
        _ limits: EventSocketLimits = EventSocketLimits(),
        _ body: @escaping @Sendable (NetworkAddress, LoggedBroadcaster, ServiceGroup) async throws -> Void
    ) async throws {
        var limits = limits
        limits.goodbyeTime = .milliseconds(50)
        let control = FixedControl()
        let (addresses, listening) = AsyncStream<NetworkAddress>.makeStream(bufferingPolicy: .bufferingNewest(1))
        let logger = Logger(label: "test", factory: { _ in SwiftLogNoOpLogHandler() })
        let server = LocalAPIServer(
            address: NetworkAddress(host: "127.0.0.1", port: 0),
            token: FixedControl.token,
            control: control.all,
            socketLimits: limits,
            group: MultiThreadedEventLoopGroup.singleton,
            logger: logger
        ) { listening.yield($0) }
        let group = ServiceGroup(services: [server], logger: logger)
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            tasks.addTask { try await group.run() }
            var iterator = addresses.makeAsyncIterator()
            let address = try #require(await iterator.next())
            try await body(address, control.events, group)
            await group.triggerGracefulShutdown()
            try await tasks.waitForAll()
        }
    }

    private func client(_ address: NetworkAddress) -> EventSocketClient {
        EventSocketClient(address: address, token: FixedControl.token)
    }

    @Test("events come as they happen, after the answer to subscribe")
    func live() async throws {
        try await self.serve { address, events, _ in
            try await self.client(address).run { socket in
                try await socket.send(#"{"type":"subscribe","categories":["system"],"tables":[]}"#)
                let subscribed = #"{"categories":["system"],"position":0,"tables":[],"type":"subscribed","users":[]}"#
                try await expect(.text(subscribed), from: &socket)
                events.publishSystem("host_changed", details: ["name": "lab"])
                events.publish(named: [.sessionEnded("s", user: "u")])
                events.publishSystem("peer_lost")
                let first = try await socket.nextEvent()
                #expect(first?.type == "host_changed")
                #expect(first?.details == ["name": "lab"])
                let found1 = try await socket.nextEvent()?.position
                #expect(found1 == 3)
                try await socket.send(#"{"type":"ping"}"#)
                try await expect(.text(#"{"type":"pong"}"#), from: &socket)
                try await socket.send(#"{"type":"unsubscribe"}"#)
                try await expect(.text(#"{"type":"unsubscribed"}"#), from: &socket)
                events.publishSystem("peer_lost")
                try await socket.send(#"{"type":"subscribe","users":["u"],"since":1}"#)
                try await expectText(from: &socket, containing: #""position":1"#)
                let message = try await socket.nextText()
                let ended = try #require(message)
                #expect(ended.contains(#""recordId":"s""#))
                #expect(ended.contains(#""userId":"u""#))
                #expect(ended.contains(#""reason":"logout""#))
            }
        }
    }

    @Test("a program that comes back gets what it missed, in order and once")
    func resume() async throws {
        try await self.serve { address, events, _ in
            for round in 0..<700 { events.publishSystem("peer_lost", details: ["round": "\(round)"]) }
            let positions = try await self.client(address).run { socket in
                try await socket.send(#"{"type":"subscribe","since":100}"#)
                _ = try await socket.nextText()
                for _ in 0..<50 { events.publishSystem("peer_lost") }
                var positions: [UInt64] = []
                while positions.count < 650, let event = try await socket.nextEvent() {
                    positions.append(event.position)
                }
                return positions
            }
            #expect(positions == Array(101...750))
            try await self.client(address).run { socket in
                try await socket.send(#"{"type":"subscribe","since":9007199254740991}"#)
                _ = try await socket.nextText()
                let found6 = try await socket.nextEvent()?.type
                #expect(found6 == "resync_required")
            }
        }
    }

    @Test("the token may come as a header, as a subprotocol or as the first message")
    func authorized() async throws {
        try await self.serve { address, _, _ in
            let byProtocol = EventSocketClient(
                address: address,
                token: nil,
                headers: ["Sec-WebSocket-Protocol": "clinicsync.v1, clinicsync.token.\(FixedControl.token)"]
            )
            for client in [self.client(address), byProtocol] {
                try await client.run { socket in
                    try await socket.send(#"{"type":"ping"}"#)
                    try await expect(.text(#"{"type":"pong"}"#), from: &socket)
                }
            }
            try await EventSocketClient(address: address, token: nil).run { socket in
                try await socket.send(#"{"type":"auth","token":"\#(FixedControl.token)"}"#)
                try await socket.send(#"{"type":"ping"}"#)
                try await expect(.text(#"{"type":"pong"}"#), from: &socket)
            }
        }
    }

    @Test(
        "without the right token the socket is closed with 4401 and nothing was sent",
        arguments: [
            [#"{"type":"auth","token":"wrong"}"#], [#"{"type":"auth"}"#], [#"{"type":"subscribe"}"#], ["nonsense"], [],
        ] as [[String]]
    )
    func unauthorized(messages: [String]) async throws {
        var limits = EventSocketLimits()
        limits.authorizationTime = .milliseconds(50)
        try await self.serve(limits) { address, events, _ in
            try await EventSocketClient(address: address, token: nil).run { socket in
                for message in messages { try await socket.send(message) }
                events.publishSystem("host_changed")
                try await expect(.goodbye(4_401), from: &socket)
                try await expect(nil, from: &socket)
            }
        }
    }

    @Test("a wrong token in the request is not waited for")
    func wrongHeader() async throws {
        try await self.serve { address, _, _ in
            try await EventSocketClient(address: address, token: "wrong").run { socket in
                try await expect(.goodbye(4_401), from: &socket)
            }
        }
    }

    @Test(
        "a request from elsewhere, or for no WebSocket, is refused in words",
        arguments: [
            (["Host: evil.example"], "421", "wrong_host"),
            (["Host: 127.0.0.1", "Origin: http://evil.example"], "403", "wrong_origin"),
            (["Host: 127.0.0.1", "Origin: null"], "403", "wrong_origin"),
        ] as [([String], String, String)]
    )
    func refused(headers: [String], status: String, code: String) async throws {
        try await self.serve { address, _, _ in
            let upgrade = [
                "Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Version: 13",
                "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==", "Authorization: Bearer \(FixedControl.token)",
            ]
            let answer = try await FixedControl.exchange(address, ["GET /ws HTTP/1.1"] + headers + upgrade)
            #expect(answer.hasPrefix("HTTP/1.1 \(status)"))
            #expect(answer.contains("\"error\":\"\(code)\""))
            let plain = try await FixedControl.exchange(address, ["GET /ws?x HTTP/1.1", "Host: 127.0.0.1"])
            #expect(plain.hasPrefix("HTTP/1.1 426"))
            #expect(plain.contains("upgrade_required"))
        }
    }

    @Test("a page of the node's own address may open the socket")
    func sameOrigin() async throws {
        try await self.serve { address, _, _ in
            let client = EventSocketClient(
                address: address,
                token: FixedControl.token,
                headers: ["Origin": "http://\(address)"]
            )
            try await client.run { socket in
                try await socket.send(#"{"type":"ping"}"#)
                let found7 = try await socket.nextText()
                #expect(found7 != nil)
            }
        }
    }

    @Test("messages that make no sense are answered, and too many of them end it")
    func nonsense() async throws {
        var limits = EventSocketLimits()
        limits.messagesPerSecond = 1_000
        try await self.serve(limits) { address, _, _ in
            try await self.client(address).run { socket in
                let messages = [
                    ("{", "malformed"), (#"{"type":7}"#, "malformed"), (#"{"type":"shout"}"#, "unknown_type"),
                    (#"{"type":"subscribe","categories":["money"]}"#, "unknown_category"),
                    (#"{"type":"subscribe","since":-1}"#, "malformed"), ("[]", "malformed"), ("", "malformed"),
                ]
                for (message, code) in messages {
                    try await socket.send(message)
                    try await expectText(from: &socket, containing: "\"error\":\"\(code)\"")
                }
                try await socket.write(.binary, ByteBuffer(string: "x"))
                try await expectText(from: &socket, containing: "malformed")
                try await socket.send(#"{"type":"ping"}"#)
                try await expect(.text(#"{"type":"pong"}"#), from: &socket)
                for _ in 0..<3 { try await socket.send("?") }
                for _ in 0..<2 {
                    let found8 = try await socket.nextText()
                    #expect(found8 != nil)
                }
                try await expect(.goodbye(1_008), from: &socket)
            }
        }
    }

    @Test("too many messages, too large ones and too many sockets are refused")
    func limits() async throws {
        var limits = EventSocketLimits()
        limits.socketsMax = 2
        limits.messageBytesMax = 1_000
        try await self.serve(limits) { address, _, _ in
            try await self.client(address).run { socket in
                for _ in 0..<21 { try await socket.send(#"{"type":"ping"}"#) }
                var answers = 0
                while case .text? = try await socket.next() { answers += 1 }
                #expect(answers >= 20)
                #expect(answers < 25)
            }
            try await self.client(address).run { socket in
                try await socket.send(String(repeating: "x", count: 1_001))
                try await expect(.goodbye(1_009), from: &socket)
            }
            try await self.client(address).run { first in
                try await first.send(#"{"type":"ping"}"#)
                let found9 = try await first.nextText()
                #expect(found9 != nil)
                try await self.client(address).run { second in
                    try await second.send(#"{"type":"ping"}"#)
                    let found10 = try await second.nextText()
                    #expect(found10 != nil)
                    await #expect(throws: EventSocketClient.Refused.self) {
                        try await self.client(address).run { _ in }
                    }
                }
            }
        }
    }

    @Test("a message may come in parts, with a ping between them")
    func fragments() async throws {
        try await self.serve { address, _, _ in
            try await self.client(address).run { socket in
                try await socket.write(.text, ByteBuffer(string: #"{"type":"#), isFinal: false)
                try await socket.write(.ping, ByteBuffer(string: "p"))
                try await socket.write(.continuation, ByteBuffer(string: #""ping"}"#))
                try await expect(.text(#"{"type":"pong"}"#), from: &socket)
            }
        }
    }

    @Test("who answers no ping is dropped, who answers stays")
    func pings() async throws {
        var limits = EventSocketLimits()
        limits.pingInterval = .milliseconds(600)
        try await self.serve(limits) { address, events, _ in
            try await self.client(address).run { socket in
                socket.answersPings = false
                try await expect(nil, from: &socket)
            }
            try await self.client(address).run { socket in
                try await socket.send(#"{"type":"subscribe"}"#)
                _ = try await socket.nextText()
                // The node dropped the other socket after two intervals. This socket lives after several.
                let clock = ContinuousClock()
                let start = clock.now
                while clock.now - start < .milliseconds(2_000) {
                    events.publishSystem("peer_lost")
                    let found12 = try await socket.nextEvent()
                    #expect(found12 != nil)
                }
            }
        }
    }

    @Test("a program that takes nothing is closed, and holds up nobody")
    func stalled() async throws {
        var limits = EventSocketLimits()
        limits.stallTime = .milliseconds(200)
        limits.socketsMax = 2
        try await self.serve(limits) { address, events, _ in
            let stalled = try await RawSubscriber.connect(address)
            let details = ["text": String(repeating: "x", count: 20_000)]
            try await self.client(address).run { socket in
                try await socket.send(#"{"type":"subscribe"}"#)
                _ = try await socket.nextText()
                var positions: [UInt64] = []
                // Sends more than any socket buffer holds, until the stalled socket is gone and there is room for
                // another.
                while try await !self.isRoom(address) {
                    for _ in 0..<20 {
                        events.publishSystem("peer_lost", details: details)
                        if let event = try await socket.nextEvent() { positions.append(event.position) }
                    }
                }
                #expect(positions == Array(1...UInt64(max(1, positions.count))))
                try await socket.send(#"{"type":"ping"}"#)
                try await expect(.text(#"{"type":"pong"}"#), from: &socket)
            }
            try await stalled.close()
        }
    }

    /// Whether one more socket is admitted.
    private func isRoom(_ address: NetworkAddress) async throws -> Bool {
        do {
            try await self.client(address).run { _ in }
            return true
        } catch is EventSocketClient.Refused {
            return false
        }
    }

    @Test("when the node stops, sockets are told so, connections that said nothing are closed")
    func goodbye() async throws {
        try await self.serve { address, _, group in
            let silent = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
                .connect(host: address.host, port: address.port).get()
            try await self.client(address).run { socket in
                try await socket.send(#"{"type":"ping"}"#)
                _ = try await socket.nextText()
                await group.triggerGracefulShutdown()
                try await expect(.goodbye(1_001), from: &socket)
            }
            try await silent.closeFuture.get()
        }
    }

    @Test(
        "a connection's first bytes tell a request for the socket from others",
        arguments: [
            ("GET /ws HTTP/1.1", true), ("GET /ws?a=b HTTP/1.1", true), ("GET /wsx", false), ("GET / HTTP/1.1", false),
            ("GET /", nil),
            ("POST /ws ", false), ("G", nil), ("", nil), ("GET /ws", nil), ("get /ws ", false),
        ] as [(String, Bool?)]
    )
    func sniffing(line: String, isSocket: Bool?) {
        #expect(RequestLineSniffer.isForSocket(Array(line.utf8)) == isSocket)
    }
}

/// Checks that the next message contains `text`.
func expectText(
    from socket: inout EventSocketClient.Session,
    containing text: String,
    _ location: SourceLocation = #_sourceLocation
) async throws {
    let message = try await socket.nextText()
    #expect(message?.contains(text) == true, sourceLocation: location)
}

/// Checks the next message.
func expect(
    _ expected: EventSocketClient.Incoming?,
    from socket: inout EventSocketClient.Session,
    _ location: SourceLocation = #_sourceLocation
) async throws {
    let incoming = try await socket.next()
    #expect(incoming == expected, sourceLocation: location)
}

/// Opens a WebSocket, subscribes, and then reads no byte.
private enum RawSubscriber {
    static func connect(_ address: NetworkAddress) async throws -> any Channel {
        let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .channelOption(.autoRead, value: false)
            .connect(host: address.host, port: address.port).get()
        let lines = [
            "GET /ws HTTP/1.1", "Host: \(address)", "Connection: Upgrade", "Upgrade: websocket",
            "Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            "Authorization: Bearer \(FixedControl.token)",
        ]
        let message = Array(#"{"type":"subscribe"}"#.utf8)
        // A mask of zeros leaves the text unchanged.
        let frame = [0x81, 0x80 | UInt8(message.count), 0, 0, 0, 0] + message
        var bytes = ByteBuffer(string: lines.joined(separator: "\r\n") + "\r\n\r\n")
        bytes.writeBytes(frame)
        try await channel.writeAndFlush(bytes)
        return channel
    }
}
