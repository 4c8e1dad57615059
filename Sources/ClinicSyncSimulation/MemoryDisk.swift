import CSimulatedDisk
package import ClinicSyncStorage
import Foundation
import NIOConcurrencyHelpers

/// A directory in memory with its own SQLite VFS, which records the synced content of each file.
///
/// SQLite uses it like a file system, in WAL mode and with several connections. After a power cut it has the synced
/// content, and a part of the other writes that a disk may keep.
package final class MemoryDisk {
    /// An operation on a file.
    package enum Operation: Sendable, Hashable {
        case write, truncate, sync, create, delete, syncDirectory
    }

    /// The writes without a sync that survive a power cut; see `simdisk_loss`.
    package enum Loss: Sendable, Hashable, CaseIterable {
        /// All of them survive: only the processes end.
        case nothing
        /// None of them survives.
        case all
        /// Each file keeps its writes up to a torn write.
        case tail
        /// Any of the writes survive, some of them torn.
        case writes
        /// Each sector has one of its contents since the sync.
        case sectors
    }

    /// What a disk may refuse to do with a file.
    package enum Access: Sendable, Hashable, CaseIterable {
        case read, size, lock, map, write, truncate, sync, create, delete
    }

    /// Why a disk refuses something.
    package enum Refusal: Sendable, Hashable, CaseIterable {
        /// There is no room; only what needs room can be refused so.
        case full
        /// Nothing may be written any more; only what writes can be refused so.
        case readOnly
        /// The disk fails.
        case error
    }

    private final class Judge {
        let body: (Access, String) -> Refusal?

        init(_ body: @escaping (Access, String) -> Refusal?) { self.body = body }
    }

    private final class Observer {
        let body: (Operation, String) -> Void

        init(_ body: @escaping (Operation, String) -> Void) { self.body = body }
    }

    private static let counter = NIOLockedValueBox(0)

    private let disk: OpaquePointer
    private let name: String
    private var observer: Observer?
    private var judge: Judge?

    /// Makes an empty disk.
    package convenience init() throws { try self.init { simdisk_create($0) } }

    /// Makes the disk after a power cut at this moment, as `seed` decides.
    ///
    /// This disk does not change.
    package func afterPowerCut(losing loss: Loss, seed: UInt64 = 0) throws -> MemoryDisk {
        try MemoryDisk { simdisk_after_power_cut(self.disk, $0, MemoryDisk.code(of: loss), seed) }
    }

    private init(_ make: (String) -> OpaquePointer?) throws {
        let number = MemoryDisk.counter.withLockedValue { counter in
            counter += 1
            return counter
        }
        self.name = "clinicsync-memory-\(number)"
        guard let disk = make(self.name) else {
            throw StoreError(code: .database, message: "There is no memory for a simulated disk.")
        }
        self.disk = disk
    }

    deinit { simdisk_destroy(self.disk) }

    /// The URI under which SQLite opens a file of this disk.
    package func uri(_ file: String) -> String { "file:\(file)?vfs=\(self.name)" }

    /// Opens a database with the connections of a node; makes the file if need be.
    package func openStore(_ file: String) throws -> StoreDatabase { try StoreDatabase.connect(to: self.uri(file)) }

    /// Calls `body` before each operation, on the operation's thread; `nil` ends this.
    package func observe(_ body: ((Operation, String) -> Void)?) {
        self.observer = body.map { Observer($0) }
        guard let observer = self.observer else { return simdisk_observe(self.disk, nil, nil) }
        simdisk_observe(
            self.disk,
            { context, code, file in
                guard let context, let file, let operation = MemoryDisk.operation(code) else { return }
                Unmanaged<Observer>.fromOpaque(context).takeUnretainedValue().body(operation, String(cString: file))
            },
            Unmanaged.passUnretained(observer).toOpaque()
        )
    }

    /// Asks `body` before each access, on the access's thread, whether the disk refuses it; `nil` ends this.
    ///
    /// A refused access has no effect. `body` may take its time, as a slow disk does.
    package func refuse(_ body: ((Access, String) -> Refusal?)?) {
        self.judge = body.map { Judge($0) }
        guard let judge = self.judge else { return simdisk_judge_with(self.disk, nil, nil) }
        simdisk_judge_with(
            self.disk,
            { context, code, file in
                guard let context, let file, let access = MemoryDisk.access(code) else { return simdisk_verdict() }
                let judge = Unmanaged<Judge>.fromOpaque(context).takeUnretainedValue()
                return judge.body(access, String(cString: file)).map { MemoryDisk.verdict($0, on: access) }
                    ?? simdisk_verdict()
            },
            Unmanaged.passUnretained(judge).toOpaque()
        )
    }

    /// From now on syncs of files whose name ends with `suffix` do nothing; "/" stands for the directory, `nil` ends it.
    package func ignoreSyncs(of suffix: String?) { simdisk_ignore_syncs(self.disk, suffix) }

    /// The first bytes of a file; `nil` when there is no such file.
    package func read(_ file: String, count: Int) -> [UInt8]? {
        var bytes = [UInt8](repeating: 0, count: count)
        let there = simdisk_read(self.disk, file, &bytes, count, 0)
        return there < 0 ? nil : Array(bytes.prefix(Int(there)))
    }

    /// Writes the first bytes of a file; makes it if need be.
    package func write(_ bytes: [UInt8], to file: String) -> Bool {
        simdisk_write(self.disk, file, bytes, bytes.count, 0) == 0
    }

    /// The number of writes to a file that a power cut may lose; `nil` when there is no such file.
    package func unsyncedWrites(to file: String) -> Int? {
        let count = simdisk_unsynced(self.disk, file)
        return count < 0 ? nil : Int(count)
    }

    private static func code(of loss: Loss) -> simdisk_loss {
        switch loss {
        case .nothing: SIMDISK_LOSE_NOTHING
        case .all: SIMDISK_LOSE_ALL
        case .tail: SIMDISK_LOSE_TAIL
        case .writes: SIMDISK_LOSE_WRITES
        case .sectors: SIMDISK_LOSE_SECTORS
        }
    }

    private static func access(_ code: simdisk_operation) -> Access? {
        switch code {
        case SIMDISK_READ: .read
        case SIMDISK_SIZE: .size
        case SIMDISK_LOCK: .lock
        case SIMDISK_MAP: .map
        case SIMDISK_WRITE: .write
        case SIMDISK_TRUNCATE: .truncate
        case SIMDISK_SYNC: .sync
        case SIMDISK_CREATE: .create
        case SIMDISK_DELETE: .delete
        default: nil
        }
    }

    /// What SQLite's VFS for Unix reports then: an `SQLITE_IOERR_…`, `SQLITE_FULL` or `SQLITE_CANTOPEN`, with the system's error.
    private static func verdict(_ refusal: Refusal, on access: Access) -> simdisk_verdict {
        switch refusal {
        case .full: simdisk_verdict(code: 13, systemError: 0)
        case .readOnly: simdisk_verdict(code: self.code(of: access), systemError: EROFS)
        case .error: simdisk_verdict(code: self.code(of: access), systemError: EIO)
        }
    }

    private static func code(of access: Access) -> Int32 {
        switch access {
        case .read: 266
        case .size: 1_802
        case .lock: 3_850
        case .map: 5_386
        case .write: 778
        case .truncate: 1_546
        case .sync: 1_034
        case .create: 14
        case .delete: 2_570
        }
    }

    private static func operation(_ code: simdisk_operation) -> Operation? {
        switch code {
        case SIMDISK_WRITE: .write
        case SIMDISK_TRUNCATE: .truncate
        case SIMDISK_SYNC: .sync
        case SIMDISK_CREATE: .create
        case SIMDISK_DELETE: .delete
        case SIMDISK_SYNC_DIRECTORY: .syncDirectory
        default: nil
        }
    }
}

/// The witness of a store, on a disk in memory.
package struct MemoryWitness: WitnessFile {
    private let disk: MemoryDisk
    private let file: String

    /// Uses the file of that name on `disk`.
    package init(_ disk: MemoryDisk, file: String) {
        self.disk = disk
        self.file = file
    }

    /// Returns the first bytes; `nil` when there is no file.
    package func read(count: Int) -> [UInt8]? { self.disk.read(self.file, count: count) }

    /// Writes the first bytes; makes the file if need be.
    package func write(_ bytes: [UInt8]) -> Bool { self.disk.write(bytes, to: self.file) }
}
