import NIOCore
import NIOEmbedded
import Testing

@testable import ClinicSync

@Suite("What TLS gets between two flushes") struct RecordHandlerTests {
    /// The most bytes between two flushes, with what TLS adds to each write, and all bytes.
    private final class Flushes: ChannelOutboundHandler {
        typealias OutboundIn = ByteBuffer
        var bytes: [UInt8] = []
        var largest = 0
        private var size = 0

        func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
            let buffer = self.unwrapOutboundIn(data)
            self.bytes += buffer.readableBytesView
            self.size += buffer.readableBytes + 22
            self.largest = max(self.largest, self.size)
            promise?.succeed()
        }

        func flush(context: ChannelHandlerContext) {
            self.size = 0
            context.flush()
        }
    }

    @Test(
        "is one record at most, and all that was written, in order",
        arguments: [
            [0], [1], [16_362], [16_363], [100_000], [16_000, 16_000], [400, 70_000, 3],
            Array(repeating: 300, count: 200),
        ]
    )
    func oneRecord(sizes: [Int]) throws {
        let flushes = Flushes()
        let channel = EmbeddedChannel()
        try channel.pipeline.syncOperations.addHandlers([flushes, RecordHandler()])
        let written = sizes.enumerated().map { index, size in (0..<size).map { UInt8(truncatingIfNeeded: $0 + index) } }
        for round in 1...2 {
            var completed = 0
            for bytes in written {
                let promise = channel.eventLoop.makePromise(of: Void.self)
                promise.futureResult.assumeIsolated().whenSuccess { completed += 1 }
                channel.write(ByteBuffer(bytes: bytes), promise: promise)
            }
            channel.flush()
            #expect(completed == sizes.count)
            #expect(flushes.bytes == Array(repeating: written.joined(), count: round).flatMap { Array($0) })
        }
        #expect(flushes.largest <= RecordHandler.recordBytesMax)
        _ = try channel.finish()
    }
}
