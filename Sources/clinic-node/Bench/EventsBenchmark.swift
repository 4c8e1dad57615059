import ClinicSync
import Foundation
import Glibc
import NIOConcurrencyHelpers
import NIOCore
import NIOPosix

/// Measures how soon a program on one PC receives the event of a change on another PC.
///
/// A host and two clients run as processes. A program writes to one client's file; a WebSocket is open at the other client.
struct EventsBenchmark {
    /// Repetitions.
    var rounds: Int
    /// Seconds of changes in one round.
    var secondsPerRound: Int

    /// Changes a second.
    private static let changesPerSecond = 50

    /// Measures in `files`.
    func run(in files: BenchFiles) throws -> [Measurement] {
        let nodes = try NodeProcess.clinic(of: ["writer", "observer"], in: files)
        defer { for node in nodes.reversed() { node.stop() } }
        let relay = try LoopbackRelay()
        defer { relay.close() }
        let receiver = try EventReceiver(directory: files.path("observer"), filter: #""tables":["patients"]"#)
        defer { receiver.stop() }
        let writer = try ProgramConnection(path: nodes[1].database, synchronous: .full)
        let insert = try writer.prepare(PatientRows.insertSQL)
        var samples: [Double] = []
        var baseline: [Double] = []
        for round in 0..<self.rounds {
            let data = PatientRows(count: EventsBenchmark.changesPerSecond * self.secondsPerRound, batch: 300 + round)
            var committed: [ContinuousClock.Instant] = []
            let clock = ContinuousClock()
            let start = clock.now
            for row in 0..<data.count {
                let due = start + Duration.seconds(1) / EventsBenchmark.changesPerSecond * row
                while clock.now < due { usleep(100) }
                try data.insert(row..<row + 1, with: insert)
                committed.append(clock.now)
                // In the pause that every change has behind it; the change's own way takes a part of it.
                if row.isMultiple(of: 10) { baseline.append(try relay.roundTrip()) }
            }
            for (row, instant) in committed.enumerated() {
                let key = String(decoding: data.key(row), as: UTF8.self)
                samples.append((try receiver.wait(for: key) - instant) / .milliseconds(1))
            }
        }
        return Measurement.delays(
            "commit on one client to event at a WebSocket of the other",
            samples,
            beside: baseline,
            medianAtMost: 10,
            percentile99AtMost: 30
        )
    }
}

/// Sends bytes over loopback to a relay that returns them: the cost of two hops without a node between them.
private final class LoopbackRelay {
    /// About the size of an event.
    private static let bytes = 300

    private let server: any Channel
    private let client: any Channel
    private let back = NIOLockedValueBox<EventLoopPromise<Void>?>(nil)

    init() throws {
        let group = MultiThreadedEventLoopGroup.singleton
        self.server = try ServerBootstrap(group: group)
            .childChannelOption(.socketOption(.tcp_nodelay), value: 1)
            .childChannelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(EchoHandler())
                }
            }
            .bind(host: "127.0.0.1", port: 0).wait()
        let back = self.back
        self.client = try ClientBootstrap(group: group)
            .channelOption(.socketOption(.tcp_nodelay), value: 1)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    try channel.pipeline.syncOperations.addHandler(
                        CountHandler(bytes: LoopbackRelay.bytes) {
                            back.withLockedValue { promise in
                                defer { promise = nil }
                                return promise
                            }?.succeed()
                        }
                    )
                }
            }
            .connect(to: self.server.localAddress ?? SocketAddress(ipAddress: "127.0.0.1", port: 0)).wait()
    }

    /// Milliseconds until the bytes are back.
    func roundTrip() throws -> Double {
        let promise = self.client.eventLoop.makePromise(of: Void.self)
        self.back.withLockedValue { $0 = promise }
        let clock = ContinuousClock()
        let start = clock.now
        try self.client.writeAndFlush(ByteBuffer(repeating: 0, count: LoopbackRelay.bytes)).wait()
        try promise.futureResult.wait()
        return (clock.now - start) / .milliseconds(1)
    }

    func close() {
        self.client.close(promise: nil)
        self.server.close(promise: nil)
    }
}

/// Returns all bytes that arrive.
private final class EchoHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        context.write(EchoHandler.wrapOutboundOut(EchoHandler.unwrapInboundIn(data)), promise: nil)
    }

    func channelReadComplete(context: ChannelHandlerContext) { context.flush() }
}

@available(*, unavailable)
extension EchoHandler: Sendable {}

/// Tells when so many bytes have come.
private final class CountHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    private let bytes: Int
    private let onComplete: () -> Void
    private var count = 0

    init(bytes: Int, onComplete: @escaping () -> Void) {
        self.bytes = bytes
        self.onComplete = onComplete
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        self.count += CountHandler.unwrapInboundIn(data).readableBytes
        guard self.count >= self.bytes else { return }
        self.count -= self.bytes
        self.onComplete()
    }
}

@available(*, unavailable)
extension CountHandler: Sendable {}
