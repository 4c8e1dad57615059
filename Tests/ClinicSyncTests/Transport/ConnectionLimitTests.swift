import ClinicSyncModel
import NIOConcurrencyHelpers
import NIOCore
import Testing

@testable import ClinicSync

@Suite("Limits on strangers", .timeLimit(.minutes(1)))
struct ConnectionLimitTests {
    @Test(
        "no more sockets wait for their handshake than may, and a place becomes free again",
        arguments: [true, false]
    )
    func pending(isPerAddress: Bool) async throws {
        var limits = TestPeer.patient
        if isPerAddress { limits.pendingPerAddressMax = 3 } else { limits.pendingMax = 3 }
        let pair = try await TestPair(server: try TestPeer(limits: limits))
        var sockets: [RawSocket] = []
        // The event loops decide which connection exceeds the limit.
        for _ in 0..<4 { sockets.append(try await RawSocket(pair.address)) }
        try await pair.server.refused(.tooManyConnections)
        #expect(pair.server.transport.refusedConnections == 1)
        for socket in sockets { socket.close() }
        try await pair.server.refused(.leftEarly, times: 3)
        #expect(pair.server.transport.refusedConnections == 1)
        let client = pair.client
        var opened = false
        while !opened {
            let failures = client.seen.failedDials.count
            client.transport.dial(pair.address)
            opened = try await client.wait { seen in
                seen.opened.count == 2 ? true : seen.failedDials.count > failures ? false : nil
            }
        }
        try await pair.expectWorking()
    }

    @Test("a request may have 20 KiB and not 40", arguments: [(20 << 10, true), (40 << 10, false)])
    func requestSize(padding: Int, isAccepted: Bool) async throws {
        let pair = try await TestPair()
        let socket = try await pair.member()
        socket.send(RawSocket.request(padding: padding))
        if isAccepted {
            _ = try await pair.server.opened(1)
            socket.close()
            try await pair.server.wait { $0.closed.count == 1 ? true : nil }
        } else {
            #expect(try await socket.closed() == [])
            try await pair.server.refused(.tooManyBytes)
            #expect(pair.server.seen.opened.count == 1)
        }
        try await pair.expectWorking()
    }

    @Test("a stranger that floods the handshake is cut off")
    func handshakeFlood() async throws {
        let pair = try await TestPair()
        let socket = try await RawSocket(pair.address)
        // Records of a handshake message that announces 16 MiB, so that TLS waits for more.
        let head: [UInt8] = [0x16, 0x03, 0x01, 0x40, 0x00, 0x01, 0xFF, 0xFF, 0xFF]
        socket.send(head + Array(repeating: 0, count: (16 << 10) - 4))
        for _ in 0..<8 { socket.send(Array(head[..<5]) + Array(repeating: 0, count: 16 << 10)) }
        let answer = try await socket.closed()
        #expect(answer.isEmpty || answer[0] == 0x15)
        try await eventually { pair.server.transport.refusedConnections == 1 }
        try await pair.expectWorking()
    }

    @Test("a closed socket gives back everything it counted for")
    func registry() async throws {
        var limits = TestPeer.patient
        limits.acceptedPerAddressMax = 2
        let pair = try await TestPair(server: try TestPeer(limits: limits))
        for round in 1...5 as ClosedRange<UInt64> {
            let socket = try await RawSocket(pair.address)
            socket.send("nonsense, nonsense")
            _ = try await socket.closed()
            try await pair.server.refused(.handshakeFailed, times: round)
            try await eventually { pair.server.transport.registry.withLockedValue { $0.channels.count } == 1 }
        }
        #expect(pair.server.refusals(.tooManyConnections) == 0)
        try await pair.expectWorking()
    }
}

@Suite("Counting and logging refusals")
struct RefusalLogTests {
    private static let start = NIODeadline.uptimeNanoseconds(1_000_000_000)

    @Test("the first of an address is logged, then one a minute with the number since")
    func oncePerMinute() {
        var log = RefusalLog()
        let start = RefusalLogTests.start
        #expect(log.note(.foreign, address: "10.0.0.1", at: start) == 1)
        #expect(log.note(.foreign, address: "10.0.0.1", at: start + .seconds(1)) == nil)
        #expect(log.note(.expired, address: "10.0.0.1", at: start + .seconds(59)) == nil)
        #expect(log.note(.expired, address: "10.0.0.2", at: start + .seconds(59)) == 1)
        #expect(log.note(.foreign, address: "10.0.0.1", at: start + .seconds(60)) == 3)
        #expect(log.note(.foreign, address: "10.0.0.1", at: start + .seconds(61)) == nil)
        #expect(log.counts == [.foreign: 4, .expired: 2])
        #expect(log.total == 6)
    }

    @Test("a node that stops in order is not logged, and one that turns this node away again and again is")
    func leaving() {
        var log = RefusalLog()
        let start = RefusalLogTests.start
        #expect(log.note(.turnedAway, address: "10.0.0.1:7443", at: start) == nil)
        #expect(log.note(.leftEarly, address: "10.0.0.1", at: start) == nil)
        #expect(log.note(.turnedAway, address: "10.0.0.1:7443", at: start + .seconds(3)) == 2)
        #expect(log.note(.turnedAway, address: "10.0.0.1:7443", at: start + .seconds(9)) == nil)
        #expect(log.note(.leftEarly, address: "10.0.0.1", at: start + .seconds(90)) == nil)
        #expect(log.note(.foreign, address: "10.0.0.1", at: start + .seconds(91)) == 1)
    }

    @Test("more addresses than are remembered are counted and not logged, until a minute is over")
    func bounded() {
        var log = RefusalLog()
        let start = RefusalLogTests.start
        for index in 0..<RefusalLog.addressesMax {
            #expect(log.note(.foreign, address: "\(index)", at: start) == 1)
        }
        #expect(log.note(.foreign, address: "one more", at: start + .seconds(59)) == nil)
        #expect(log.note(.foreign, address: "one more", at: start + .seconds(60)) == 1)
        #expect(log.total == UInt64(RefusalLog.addressesMax) + 2)
    }

    @Test("every refusal of a certificate has its reason, and being refused is none")
    func reasons() {
        for refusal in PeerRefusal.allCases {
            #expect(RefusalReason(refusal).rawValue == refusal.rawValue)
        }
        var log = RefusalLog()
        #expect(log.note(.turnedAway, address: "10.0.0.1:7443", at: RefusalLogTests.start) == nil)
        #expect(log.note(.leftEarly, address: "10.0.0.1", at: RefusalLogTests.start) == nil)
        #expect(log.total == 0)
    }
}
