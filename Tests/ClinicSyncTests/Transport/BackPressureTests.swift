import ClinicSync
import ClinicSyncCore
import ClinicSyncModel
import NIOCore
import NIOPosix
import Testing

@Suite("Slow and silent receivers", .timeLimit(.minutes(1)))
struct BackPressureTests {
    private static let chunk = Message.chunk(
        BatchChunk(
            batch: MessageSamples.batch,
            index: 1,
            header: nil,
            isLast: true,
            checksum: 1,
            payload: Array(repeating: 5, count: 64 << 10)
        )
    )

    @Test("a receiver that handles nothing stops reading, and goes on when it handles again")
    func pausesReading() async throws {
        let pair = try await TestPair(server: try TestPeer(consumes: false))
        let count = 400
        for _ in 0..<count { pair.client.transport.send(BackPressureTests.chunk, term: 0, over: [pair.clientSide]) }
        pair.client.transport.flush()
        let limit = TransportLimits().unconsumedMessagesMax
        _ = try await pair.server.messages(limit, of: pair.serverSide)
        // A message on a second connection of the same loops completes a round trip while the first connection is
        // blocked.
        pair.client.transport.dial(pair.address)
        let second = try await pair.client.opened(1)
        let secondAtServer = try await pair.server.opened(1)
        for id in 0..<20 as Range<UInt64> {
            pair.client.send(.ping(Ping(id: id)), over: [second])
            _ = try await pair.server.messages(Int(id) + 1, of: secondAtServer)
        }
        let posted = pair.server.seen.messages[pair.serverSide]?.count ?? 0
        // One read brings at most four packets of 16 KiB beyond the limit. The rest waits in the kernel and at the
        // sender.
        #expect(posted <= limit + 8)
        #expect(pair.client.transport.outboundBytes(of: pair.clientSide) > 0)
        var consumed = 0
        while consumed < count {
            let available = try await pair.server.messages(consumed + 1, of: pair.serverSide).count
            for _ in consumed..<available { pair.server.transport.consumed(pair.serverSide) }
            consumed = available
        }
        #expect(consumed == count)
        await pair.shutdown()
        #expect(pair.client.seen.misplaced + pair.server.seen.misplaced == 0)
    }

    @Test("a peer that takes nothing is dropped at the limit, and memory stays within it")
    func dropsAtLimit() async throws {
        var limits = TestPeer.patient
        limits.outboundBytesMax = 4 << 20
        let pair = try await TestPair(server: try TestPeer(consumes: false), client: try TestPeer(limits: limits))
        var largest = 0
        for _ in 0..<1_000 {
            pair.client.send(BackPressureTests.chunk, over: [pair.clientSide])
            largest = max(largest, pair.client.transport.outboundBytes(of: pair.clientSide))
        }
        try await pair.client.wait { $0.closed == [pair.clientSide] ? true : nil }
        #expect(largest <= limits.outboundBytesMax)
        #expect(pair.client.transport.outboundBytes(of: pair.clientSide) == 0)
        await pair.shutdown()
    }
}
