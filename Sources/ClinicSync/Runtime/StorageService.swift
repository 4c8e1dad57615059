import ClinicSyncClinic
import ClinicSyncCore
import ClinicSyncModel
import ClinicSyncStorage
import NIOConcurrencyHelpers
import NIOCore
import NIOPosix

/// The threads of a node's store: one thread writes, and one thread reads concurrently.
///
/// SQLite blocks, even for seconds while it applies a large batch. So it must not run on the cooperative pool or on an
/// event loop. Each thread handles its requests in order.
final class StorageService: Sendable {
    /// Holds a value that only one thread uses.
    ///
    /// - Note: `@unchecked Sendable` is sound because the value is made, used and released only by closures that run
    ///   on the one thread of the pool it was made on; the box itself is never written after `init`.
    private final class Confined<Value>: @unchecked Sendable {
        let value: Value

        init(_ value: Value) { self.value = value }
    }

    /// What the opening found of the node and its file.
    private struct Bound: Sendable {
        var origin: Origin
        var rebirth: Rebirth?
        var file: HeldFile
        var staleLog: String?
        var rebuilt: Rebuilt?
        var epoch: EpochState
        var diskWatch: SlowDiskWatch
    }

    /// What was found in the place of the database, and what became of it.
    struct Rebuilt: Sendable {
        /// What was there.
        var found: DatabaseLook
        /// What became of it.
        var outcome: FileRestore.Outcome
    }

    /// How the service ends.
    private struct End {
        var isAbandoned = false
        var isFileGone = false
    }

    /// A request of the core that writes, and waits for the writing thread.
    private struct Waiting {
        let request: StorageRequest
        let deadline: ContinuousClock.Instant?
        let reply: @Sendable (StorageReply, _ took: Duration) -> Void
    }

    private let writing: NIOThreadPool
    private let reading: NIOThreadPool
    private let waiting = NIOLockedValueBox(CircularBuffer<Waiting>())
    private let writer: Confined<WritingExecutor>
    private let reader: Confined<ReadingExecutor>
    /// Interrupts the current work of the connections; safe from any thread.
    private let interrupt: @Sendable () -> Void
    /// Waits for other programs' write transactions.
    let lockWatch: StoreLockWatch
    /// Finds out that the disk is slow.
    var diskWatch: SlowDiskWatch { self.bound.diskWatch }
    private let end = NIOLockedValueBox(End())

    /// The state that the core needs at the start.
    let initialState: StoreState
    /// The position of the newest event at the start.
    let lastEventPosition: UInt64
    /// What the opening found of the node and its file.
    private let bound: Bound

    /// The node as an author, with its current incarnation.
    var origin: Origin { self.bound.origin }
    /// Why the incarnation is new; `nil` when it is not new.
    var rebirth: Rebirth? { self.bound.rebirth }
    /// The database file.
    var file: HeldFile { self.bound.file }
    /// Where the write-ahead log is that did not belong to the file and was set aside; `nil` when there was none.
    var staleLog: String? { self.bound.staleLog }
    /// Why the database is a new one, whose rows come from the other nodes; `nil` when the database was there.
    var rebuilt: Rebuilt? { self.bound.rebuilt }

    /// The epoch of the data at the opening, and what the opening has done for it.
    var epoch: EpochState { self.bound.epoch }

    /// How a store is opened.
    struct Opening: Sendable {
        /// The database file.
        var path: String
        /// The node.
        var origin: Origin
        /// How long batches stay in the log.
        var retention: Duration
        /// Decides which members a migration waits for.
        var judge: MemberListing.Judge?
        /// Returns the wall time in milliseconds since 1970.
        var wallClock: @Sendable () -> Int64
        /// How long one attempt waits for another program's transaction.
        var patience: Duration = CoreLimits.storeLockLimit
        /// Whether a database that is missing or cannot be opened is made again, because other nodes have its rows.
        var mayRebuild = false
        /// What the node knows of epochs.
        var epochs = EpochKnowledge()
        /// Called after each attempt that another program's transaction made fail, with the process that holds the lock.
        ///
        /// Returns whether to try again.
        var onLocked: @Sendable (StoreLock.Holder?) -> Bool = { _ in false }
    }

    /// What an attempt to open the store makes.
    private struct Opened: Sendable {
        var writer: Confined<WritingExecutor>
        var reader: Confined<ReadingExecutor>
        var state: StoreState
        var events: UInt64
        var bound: Bound
        var interrupt: @Sendable () -> Void
    }

    /// Opens the store and starts the threads.
    ///
    /// - Throws: ``StoreError``, ``SchemaError``.
    static func open(_ opening: Opening) async throws -> StorageService {
        let writing = NIOThreadPool(numberOfThreads: 1)
        let reading = NIOThreadPool(numberOfThreads: 1)
        writing.start()
        reading.start()
        let lockWatch = StoreLockWatch(openingLimit: opening.patience) { LockHolder.find(databasePath: opening.path) }
        do {
            while true {
                do {
                    let opened = try await writing.runIfActive { try StorageService.attempt(opening, lockWatch) }
                    return StorageService(writing: writing, reading: reading, opened, lockWatch: lockWatch)
                } catch let error as StoreError where error == .locked {
                    lockWatch.ended()
                    guard opening.onLocked(lockWatch.holder) else { throw error }
                }
            }
        } catch {
            try await writing.shutdownGracefully()
            try await reading.shutdownGracefully()
            throw error
        }
    }

    /// Opens the store once; on its writing thread.
    private static func attempt(_ opening: Opening, _ lockWatch: StoreLockWatch) throws -> Opened {
        let staleLog = try StaleLog(databasePath: opening.path).setAside(at: opening.wallClock())
        let suspicion = FileSuspicion(databasePath: opening.path)
        var found = try DatabaseLook.at(opening.path)
        if opening.mayRebuild, found == .ofNode, suspicion.isNoted, try !DatabaseLook.isIntact(opening.path) {
            found = .damaged
        }
        var rebuilt: Rebuilt?
        if let refusal = found.refusal {
            guard opening.mayRebuild else { throw refusal }
            rebuilt = try self.rebuild(opening, found)
        }
        var opened: Opened
        do {
            let epoch = rebuilt == nil ? try EpochStep(opening).take() : try EpochState(rebuilt: opening)
            opened = try self.open(opening, lockWatch, staleLog: staleLog, rebuilt: rebuilt, epoch: epoch)
        } catch  where opening.mayRebuild && rebuilt == nil && self.isDamage(error) {
            rebuilt = try self.rebuild(opening, .damaged)
            let epoch = try EpochState(rebuilt: opening)
            opened = try self.open(opening, lockWatch, staleLog: staleLog, rebuilt: rebuilt, epoch: epoch)
        }
        if opening.mayRebuild { suspicion.forget() }
        try self.noteEpoch(of: opened.bound, at: opening.path)
        return opened
    }

    /// Writes the epoch of the data beside the file too.
    private static func noteEpoch(of bound: Bound, at path: String) throws {
        guard let epoch = bound.epoch.data else { return }
        let file = FileEpoch(path: path)
        if try file.read() == nil { try file.set(epoch) }
        file.note(epoch, incarnation: bound.origin.incarnation)
    }

    /// Whether a file that cannot be opened is damaged, so that another one may take its place.
    private static func isDamage(_ error: any Error) -> Bool {
        if let error = error as? StoreError { return error.code == .corrupt }
        return (error as? OwnDamage)?.table == .file
    }

    /// Puts a new database in the place of what was found; the former file stays under another name.
    private static func rebuild(_ opening: Opening, _ found: DatabaseLook) throws -> Rebuilt {
        let restore = FileRestore(
            path: opening.path,
            node: opening.origin.node,
            exclusions: ClinicBackup.exclusions,
            epoch: try opening.epochs.greatest(),
            wallClock: opening.wallClock
        )
        return Rebuilt(found: found, outcome: try restore.rebuild())
    }

    private static func open(
        _ opening: Opening,
        _ lockWatch: StoreLockWatch,
        staleLog: String?,
        rebuilt: Rebuilt?,
        epoch: EpochState
    ) throws -> Opened {
        // Opening takes seconds with a large log. A file that comes to the path meanwhile is another one.
        let early = HeldFile(path: opening.path)
        let diskWatch = SlowDiskWatch()
        let database = try StoreDatabase.open(
            path: opening.path,
            lockWait: lockWatch,
            syncWatch: diskWatch,
            patience: opening.patience / .seconds(1)
        )
        let writer = try ReplicaWriter(
            database: database,
            origin: opening.origin,
            place: try StorePlace.of(databasePath: opening.path),
            judge: opening.judge,
            storeExtension: ClinicExtension(),
            wallClock: opening.wallClock
        )
        let executor = WritingExecutor(writer, retentionMilliseconds: opening.retention.wholeMilliseconds)
        let reader = Confined(ReadingExecutor(try ReplicaReader(beside: writer)))
        let file = early.isHeld ? early : HeldFile(path: opening.path)
        return Opened(
            writer: Confined(executor),
            reader: reader,
            state: try writer.state(),
            events: writer.lastEventPosition,
            bound: Bound(
                origin: writer.origin,
                rebirth: writer.rebirth,
                file: file,
                staleLog: staleLog,
                rebuilt: rebuilt,
                epoch: epoch,
                diskWatch: diskWatch
            ),
            interrupt: { database.interrupt() }
        )
    }

    private init(writing: NIOThreadPool, reading: NIOThreadPool, _ opened: Opened, lockWatch: StoreLockWatch) {
        self.writing = writing
        self.reading = reading
        self.writer = opened.writer
        self.reader = opened.reader
        self.interrupt = opened.interrupt
        self.initialState = opened.state
        self.lastEventPosition = opened.events
        self.bound = opened.bound
        self.lockWatch = lockWatch
    }

    /// Handles a request of the core.
    ///
    /// Calls `reply` on a thread of the store, with the duration of the work.
    func submit(_ request: StorageRequest, reply: @escaping @Sendable (StorageReply, _ took: Duration) -> Void) {
        if request.isRead {
            self.reading.submit { state in
                guard state == .active, !self.end.withLockedValue({ $0.isAbandoned }) else { return }
                let start = ContinuousClock.now
                let answer = self.reader.value.perform(request)
                reply(answer, start.duration(to: .now))
            }
        } else {
            let deadline = request.patience.map { ContinuousClock.now + $0 }
            self.waiting.withLockedValue {
                $0.append(Waiting(request: request, deadline: deadline, reply: reply))
            }
            self.writing.submit { state in
                guard state == .active, !self.end.withLockedValue({ $0.isAbandoned }) else { return }
                self.writeNext()
            }
        }
    }

    /// Carries out the next requests that wait; on the writing thread.
    ///
    /// It is called once for each request, and does nothing when an earlier call has carried out the request in a group.
    private func writeNext() {
        // Only this thread removes requests. The size is found without the lock, for which the driver's loop would wait.
        let queue = self.waiting.withLockedValue { Array($0.prefix(CoreLimits.storeChunksMax)) }
        let group = queue.prefix(WritingExecutor.groupSize(of: queue.lazy.map(\.request)))
        self.waiting.withLockedValue { $0.removeFirst(group.count) }
        guard let first = group.first else { return }
        let start = ContinuousClock.now
        let requests = group.map(\.request)
        let replies =
            self.lockWatch.run(until: first.deadline) { self.writer.value.perform(together: requests) }
            ?? requests.map { .failed($0, .unavailable(StoreError.locked.message)) }
        let took = start.duration(to: .now)
        for (waiting, reply) in zip(group, replies) { waiting.reply(reply, took) }
    }

    /// Reads data for people; repairs damage that the read finds in the node's own bookkeeping.
    func read<Result: Sendable>(_ body: @escaping @Sendable (ReplicaReader) throws -> Result) async throws -> Result {
        var repairs = 0
        while true {
            do {
                return try await self.reading.runIfActive { try body(self.reader.value.reader) }
            } catch let damage as OwnDamage {
                guard repairs < StorageService.repairsMax,
                    try await self.writing.runIfActive({ self.writer.value.writer.repairs(damage) })
                else { throw damage }
                repairs += 1
            }
        }
    }

    /// How often one read for people is repeated after a repair.
    private static let repairsMax = 8

    /// Writes data of the node's own; waits as long as another program's transaction lasts.
    func write<Result: Sendable>(_ body: @escaping @Sendable (ReplicaWriter) throws -> Result) async throws -> Result {
        try await self.writing.runIfActive { try body(self.writer.value.writer) }
    }

    /// Writes data for people, who do not wait long for another program's transaction.
    ///
    /// - Throws: ``StoreError/locked``, and what `body` throws.
    func writeForPeople<Result: Sendable>(
        _ body: @escaping @Sendable (ReplicaWriter) throws -> Result
    ) async throws -> Result {
        guard !self.lockWatch.isLocked else { throw StoreError.locked }
        let deadline = ContinuousClock.now + StorageService.patience
        return try await self.writing.runIfActive {
            let result = try self.lockWatch.run(until: deadline) { try body(self.writer.value.writer) }
            guard let result else { throw StoreError.locked }
            return result
        }
    }

    /// How long people wait for another program's transaction.
    private static let patience: Duration = .seconds(10)

    /// Drops submitted requests and aborts the current work, like the end of the process; for tests.
    ///
    /// The store rolls back the transaction in progress. The caller must call ``close()``.
    func abandon() {
        self.end.withLockedValue { $0.isAbandoned = true }
        self.lockWatch.abandon()
        self.interrupt()
    }

    /// The database file is not at its path any more: from now on drops submitted requests and writes nothing.
    ///
    /// The caller must call ``close()``.
    func leaveFile() {
        self.end.withLockedValue { $0.isFileGone = true }
        self.end.withLockedValue { $0.isAbandoned = true }
        self.lockWatch.abandon()
    }

    /// What is wrong with the content of the open file: another database was copied into it, or a program dropped a table of the
    /// node's own; `nil` also when the store cannot say so now.
    func contentFault() async throws -> DatabaseFileWatch.Fault? {
        try await self.writing.runIfActive {
            let writer = self.writer.value.writer
            do {
                if try writer.lacksOwnTables() { return .incomplete }
                return try writer.isFileOverwritten() ? .overwritten : nil
            } catch is StoreError {
                return nil
            }
        }
    }

    /// Copies the open database into a new file, readable by its owner alone.
    ///
    /// - Returns: The path of the copy; `nil` when no copy could be made.
    func rescue(to path: String) async throws -> String? {
        try await self.writing.runIfActive { self.writer.value.writer.rescue(to: path) ? path : nil }
    }

    /// Finishes the submitted requests, closes the store and stops the threads.
    func close() async throws {
        self.lockWatch.stop()
        try await self.reading.runIfActive { self.reader.value.reader.close() }
        try await self.reading.shutdownGracefully()
        let isFileGone = self.end.withLockedValue { $0.isFileGone }
        try await self.writing.runIfActive { try self.writer.value.writer.close(isFileGone: isFileGone) }
        try await self.writing.shutdownGracefully()
    }
}
