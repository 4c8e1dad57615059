import ClinicSyncStorage
import Glibc
import NIOCore
import NIOPosix

/// Notices that a program has committed something to the database.
///
/// inotify on the directory says when to check; a watch on the `-wal` file would end with that file. `PRAGMA
/// data_version` says whether a commit happened. The event arrives before the commit is visible, nearly always with
/// `synchronous=FULL`. So after a check without a result, the watcher checks again with growing delays. It also checks
/// once a second.
final class CommitWatcher: Sendable {
    /// The delays in microseconds of the repeated checks after an event without a visible commit.
    ///
    /// The delays are dense where a commit with an fsync usually becomes visible, so that the watcher adds little
    /// latency. A check costs 2 µs.
    static let recheckMicroseconds: [Int64] = [
        50, 100, 150, 200, 200, 300, 300, 400, 500, 800, 1_500, 3_000, 10_000, 30_000, 100_000,
    ]
    /// The repeated check with which events are read again.
    ///
    /// Up to then, 1.7 ms after the event, the checks are so dense that a further event would find no commit sooner than they do. A large
    /// transaction writes thousands of pages, and each of them is an event: the system keeps equal ones that nobody reads as one.
    static let recheckWithEvents = 8
    /// The time between two checks without an event.
    static let pollInterval = TimeAmount.seconds(1)
    /// The time between two checks when the system has no free watch; 128 instances per user is a common limit.
    static let pollIntervalWithoutEvents = TimeAmount.milliseconds(5)

    private let channel: any Channel

    /// Starts watching, and calls `notice` on an event loop after each commit.
    ///
    /// When inotify has no free instance or watch, the watcher checks every 5 ms instead.
    ///
    /// - Throws: ``StoreError`` when the database cannot be opened; an `IOError` when no file descriptor is free.
    static func start(
        databasePath path: String,
        on loop: any EventLoop,
        notice: @escaping @Sendable () -> Void
    ) async throws -> CommitWatcher {
        let slash = path.lastIndex(of: "/")
        let directory = slash.map { String(path[..<$0]) } ?? "."
        let name = slash.map { String(path[path.index(after: $0)...]) } ?? path
        let watch = CommitWatcher.watch(directory)
        let bootstrap = NIOPipeBootstrap(group: loop)
            .channelOption(.autoRead, value: false)
            .channelInitializer { channel in
                channel.eventLoop.makeCompletedFuture {
                    let handler = CommitWatchHandler(
                        probe: try CommitProbe(path: path),
                        fileName: name,
                        pollInterval: watch == nil ? self.pollIntervalWithoutEvents : self.pollInterval,
                        notice: notice
                    )
                    try channel.pipeline.syncOperations.addHandler(handler)
                }
            }
        guard let watch else {
            // A pipe without a writer gives the handler its channel.
            var ends: [Int32] = [-1, -1]
            guard pipe(&ends) == 0 else { throw IOError(errnoCode: errno, reason: "pipe") }
            return CommitWatcher(
                channel: try await bootstrap.takingOwnershipOfDescriptors(input: ends[0], output: ends[1]).get()
            )
        }
        return CommitWatcher(channel: try await bootstrap.takingOwnershipOfDescriptor(input: watch).get())
    }

    /// Returns an inotify descriptor that watches `directory`; `nil` when the system has no free watch.
    private static func watch(_ directory: String) -> Int32? {
        let descriptor = inotify_init1(Int32(IN_NONBLOCK) | Int32(IN_CLOEXEC))
        guard descriptor >= 0 else { return nil }
        let mask = UInt32(IN_MODIFY) | UInt32(IN_CREATE) | UInt32(IN_MOVED_TO)
        guard inotify_add_watch(descriptor, directory, mask) >= 0 else {
            close(descriptor)
            return nil
        }
        return descriptor
    }

    /// Whether the account has a free instance and a free watch of inotify now.
    static func canWatch(_ directory: String) -> Bool {
        guard let descriptor = CommitWatcher.watch(directory) else { return false }
        close(descriptor)
        return true
    }

    private init(channel: any Channel) { self.channel = channel }

    /// Stops watching.
    func stop() async {
        self.channel.close(promise: nil)
        await withCheckedContinuation { continuation in
            self.channel.closeFuture.whenComplete { _ in continuation.resume() }
        }
    }
}

/// Reads inotify's events and checks for commits.
private final class CommitWatchHandler: ChannelInboundHandler {
    typealias InboundIn = ByteBuffer

    private let probe: CommitProbe
    private let walName: String
    private let pollInterval: TimeAmount
    private let notice: @Sendable () -> Void
    private var context: ChannelHandlerContext?
    private var recheck: Scheduled<Void>?
    private var poll: RepeatedTask?
    private var isStopped = false
    /// Whether events wait until the checks are less dense.
    private var isCheckingOften = false

    init(
        probe: CommitProbe,
        fileName: String,
        pollInterval: TimeAmount,
        notice: @escaping @Sendable () -> Void
    ) {
        self.probe = probe
        self.pollInterval = pollInterval
        self.walName = fileName + "-wal"
        self.notice = notice
    }

    func channelActive(context: ChannelHandlerContext) {
        self.context = context
        context.read()
        let loop = context.eventLoop
        let handler = NIOLoopBound(self, eventLoop: loop)
        self.poll = loop.scheduleRepeatedTask(initialDelay: .zero, delay: self.pollInterval) { _ in
            handler.value.look(attempt: nil, on: loop)
        }
    }

    func channelInactive(context: ChannelHandlerContext) {
        self.isStopped = true
        self.context = nil
        self.poll?.cancel()
        self.recheck?.cancel()
        self.probe.close()
    }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        let buffer = self.unwrapInboundIn(data)
        guard buffer.withUnsafeReadableBytes(self.concernsLog) else { return }
        self.isCheckingOften = true
        self.recheck?.cancel()
        self.look(attempt: 0, on: context.eventLoop)
    }

    func channelReadComplete(context: ChannelHandlerContext) {
        if !self.isCheckingOften { context.read() }
    }

    /// Checks for a commit.
    ///
    /// When an event has no visible commit yet, checks again after the next longer delay.
    private func look(attempt: Int?, on loop: any EventLoop) {
        // The loop takes due tasks in batches, and cancelling cannot stop a task taken in the same batch as the close.
        // The objects that such a task would use are gone.
        guard !self.isStopped else { return }
        if self.probe.hasChanged() { self.notice() }
        if attempt == CommitWatcher.recheckWithEvents {
            self.isCheckingOften = false
            self.context?.read()
        }
        // Check again after a hit too: the events of two commits may arrive together before the second commit is
        // visible.
        guard let attempt, attempt < CommitWatcher.recheckMicroseconds.count else { return }
        let handler = NIOLoopBound(self, eventLoop: loop)
        let delay = TimeAmount.microseconds(CommitWatcher.recheckMicroseconds[attempt])
        self.recheck = loop.scheduleTask(in: delay) { handler.value.look(attempt: attempt + 1, on: loop) }
    }

    /// Returns whether an event concerns the write-ahead log, or events were lost.
    private func concernsLog(_ bytes: UnsafeRawBufferPointer) -> Bool {
        var offset = 0
        let headSize = 16
        while offset + headSize <= bytes.count {
            let mask = bytes.loadUnaligned(fromByteOffset: offset + 4, as: UInt32.self)
            let length = Int(bytes.loadUnaligned(fromByteOffset: offset + 12, as: UInt32.self))
            guard offset + headSize + length <= bytes.count else { return true }
            if mask & UInt32(IN_Q_OVERFLOW) != 0 { return true }
            let name = bytes[(offset + headSize)..<(offset + headSize + length)].prefix { $0 != 0 }
            if name.elementsEqual(self.walName.utf8) { return true }
            offset += headSize + length
        }
        return false
    }
}

@available(*, unavailable)
extension CommitWatchHandler: Sendable {}
