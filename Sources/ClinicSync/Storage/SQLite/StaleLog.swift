import ClinicSyncModel
import Foundation
import GRDBSQLite
import Glibc

/// Recognises a write-ahead log that does not belong to the database file beside it, and sets it aside.
///
/// SQLite does not record which log belongs to a file. A person who puts a backup in place of `clinic.db` and leaves
/// `clinic.db-wal` there gets a mixture: SQLite reads the pages of the log over the pages of the backup.
///
/// The evidence is the change counter in the first page. SQLite counts it up by one when a connection that did not write the
/// page last writes the page. So a log begins with the counter of its file or the next one, and a file has the counter with
/// which the log began, or that of a page that a checkpoint has copied from the log. Any other counter is from another time.
/// The number of pages is evidence too: it changes only together with the first page.
///
/// A log without evidence against it is kept, because it may have what programs have committed.
package struct StaleLog {
    /// The first page's header of a database file.
    private struct FileHeader {
        static let byteCount = 100

        let pageBytes: UInt32
        /// Whether the file is in WAL mode.
        let usesLog: Bool
        let counter: UInt32
        /// The number of pages; `nil` when the header does not say it.
        let pages: UInt32?

        /// Reads a header; `nil` when the bytes are none.
        init?(_ bytes: [UInt8]) {
            guard bytes.count >= FileHeader.byteCount, bytes.starts(with: Array("SQLite format 3\0".utf8)) else {
                return nil
            }
            let size = bytes.bigEndian(at: 16) >> 16
            self.pageBytes = size == 1 ? 65_536 : size
            self.usesLog = bytes[18] == 2 && bytes[19] == 2
            self.counter = bytes.bigEndian(at: 24)
            self.pages = bytes.bigEndian(at: 92) == self.counter ? bytes.bigEndian(at: 28) : nil
        }
    }

    /// What the committed part of a log says about its file.
    private struct Log {
        var pageBytes: UInt32 = 0
        /// The counters of the first committed first page and of the last; `nil` when the log has none.
        var counters: (first: UInt32, last: UInt32)?
        /// The numbers of pages of the commits before the first first page.
        var pagesBefore: [UInt32] = []

        /// Notes a page, with the number at the place of the first page's counter.
        mutating func add(page: UInt32, counter: UInt32) {
            guard page == 1 else { return }
            self.counters = (self.counters?.first ?? counter, counter)
        }
    }

    private let path: String

    /// Looks at the log beside the database at `path`.
    package init(databasePath path: String) { self.path = path }

    /// Sets the log aside when it does not belong to the file, so that SQLite does not read it.
    ///
    /// Call it before the file is opened. While another connection has the file open the log is in use, and the method does
    /// nothing.
    ///
    /// - Parameter milliseconds: the time now, since 1970; it becomes a part of the new name.
    /// - Returns: The new path of the log; `nil` when it belongs to the file, or there is none.
    /// - Throws: ``StoreError`` when the log cannot be read or renamed.
    package func setAside(at milliseconds: Int64) throws -> String? {
        let logPath = self.path + "-wal"
        guard FileManager.default.fileExists(atPath: self.path), FileManager.default.fileExists(atPath: logPath),
            let log = try StaleLog.read(logPath)
        else { return nil }
        return try FileLook(path: self.path).alone { bytes in
            guard let header = FileHeader(bytes), !StaleLog.belongs(log, to: header) else { return nil }
            let target = "\(logPath).set-aside-\(milliseconds)"
            guard rename(logPath, target) == 0 else {
                throw StoreError(
                    code: .readOnly,
                    message: "\(logPath) belongs to another database and cannot be renamed "
                        + "(\(String(cString: strerror(errno)))): check the permissions of its directory."
                )
            }
            // The index of the log; SQLite makes it again.
            unlink(self.path + "-shm")
            return target
        }
    }

    private static func belongs(_ log: Log, to header: FileHeader) -> Bool {
        guard header.usesLog, header.pageBytes == log.pageBytes else { return false }
        var isAtStart = true
        if let (first, last) = log.counters {
            // The counter may pass its largest value.
            let (behind, span) = (header.counter &- (first &- 1), last &- (first &- 1))
            guard behind <= span else { return false }
            isAtStart = behind == 0
        }
        guard isAtStart, let pages = header.pages else { return true }
        return log.pagesBefore.allSatisfy { $0 == pages }
    }

    // MARK: - The log

    /// Reads the committed part of a log, as SQLite recovers it; `nil` when there is none.
    private static func read(_ path: String) throws -> Log? {
        let descriptor = open(path, O_RDONLY | O_CLOEXEC)
        guard descriptor >= 0 else {
            throw StoreError(
                code: .readOnly,
                message: "\(path) cannot be read (\(String(cString: strerror(errno)))): check its permissions."
            )
        }
        defer { close(descriptor) }
        guard let head = self.bytes(descriptor, 32, at: 0), head.bigEndian(at: 4) == 3_007_000 else { return nil }
        let magic = head.bigEndian(at: 0)
        let pageBytes = head.bigEndian(at: 8)
        guard magic & ~1 == 0x377f_0682, (512...65_536).contains(pageBytes), pageBytes & (pageBytes &- 1) == 0 else {
            return nil
        }
        var checksum = LogChecksum(isBigEndian: magic & 1 == 1)
        checksum.add(head[..<24])
        guard checksum.matches(head[24...]) else { return nil }
        var (committed, open) = (Log?.none, Log(pageBytes: pageBytes))
        let frameBytes = 24 + Int(clamping: pageBytes)
        var offset: Int64 = 32
        while let frame = self.bytes(descriptor, frameBytes, at: offset), frame[8..<16] == head[16..<24] {
            checksum.add(frame[..<8])
            checksum.add(frame[24...])
            guard checksum.matches(frame[16..<24]) else { break }
            open.add(page: frame.bigEndian(at: 0), counter: frame.bigEndian(at: 24 + 24))
            let pages = frame.bigEndian(at: 4)
            if pages > 0 {
                if open.counters == nil { open.pagesBefore.append(pages) }
                committed = open
            }
            offset += Int64(clamping: frameBytes)
        }
        return committed
    }

    private static func bytes(_ descriptor: Int32, _ count: Int, at offset: Int64) -> [UInt8]? {
        var bytes = [UInt8](repeating: 0, count: count)
        return pread(descriptor, &bytes, count, off_t(offset)) == count ? bytes : nil
    }
}

/// The checksum of a write-ahead log, which continues from frame to frame.
private struct LogChecksum {
    let isBigEndian: Bool
    var (first, second): (UInt32, UInt32) = (0, 0)

    init(isBigEndian: Bool) { self.isBigEndian = isBigEndian }

    /// Adds bytes, a multiple of eight.
    mutating func add(_ bytes: ArraySlice<UInt8>) {
        bytes.withUnsafeBytes { buffer in
            var offset = 0
            while offset + 8 <= buffer.count {
                self.first = self.first &+ self.word(buffer, offset) &+ self.second
                self.second = self.second &+ self.word(buffer, offset + 4) &+ self.first
                offset += 8
            }
        }
    }

    private func word(_ buffer: UnsafeRawBufferPointer, _ offset: Int) -> UInt32 {
        let word = buffer.loadUnaligned(fromByteOffset: offset, as: UInt32.self)
        return self.isBigEndian ? UInt32(bigEndian: word) : UInt32(littleEndian: word)
    }

    /// Whether eight bytes are this checksum.
    func matches(_ bytes: ArraySlice<UInt8>) -> Bool {
        let bytes = Array(bytes)
        return bytes.bigEndian(at: 0) == self.first && bytes.bigEndian(at: 4) == self.second
    }
}

/// Reads the beginning of a database file through SQLite's own file.
///
/// A descriptor of our own would end the locks of all connections of this process when it is closed.
struct FileLook {
    let path: String

    /// Whether no other connection, of any process, has the file open and in use.
    func isAlone() throws -> Bool { try self.locked { _, _ in true } ?? false }

    /// Runs `body` with the first bytes of the file, while no other connection has the file open; `nil` otherwise.
    func alone<Result>(_ body: ([UInt8]) throws -> Result?) throws -> Result? {
        try self.locked { file, methods in
            var bytes = [UInt8](repeating: 0, count: 100)
            guard methods.xRead?(file, &bytes, Int32(clamping: bytes.count), 0) == SQLITE_OK else { return nil }
            return try body(bytes)
        }
    }

    /// Runs `body` while this connection has the file for itself; `nil` when another one uses it.
    private func locked<Result>(
        _ body: (UnsafeMutablePointer<sqlite3_file>, sqlite3_io_methods) throws -> Result?
    ) throws -> Result? {
        var connection: OpaquePointer?
        defer { sqlite3_close(connection) }
        // Opening reads neither the log nor anything else but the header.
        let code = sqlite3_open_v2(self.path, &connection, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, nil)
        guard code == SQLITE_OK else { throw StoreError(code: code, message: "the file cannot be opened") }
        var file: UnsafeMutablePointer<sqlite3_file>?
        sqlite3_file_control(connection, "main", SQLITE_FCNTL_FILE_POINTER, &file)
        guard let file, let methods = file.pointee.pMethods?.pointee, let lock = methods.xLock,
            let unlock = methods.xUnlock
        else { return nil }
        defer { _ = unlock(file, SQLITE_LOCK_NONE) }
        // Every connection in WAL mode holds a shared lock as long as it is open.
        guard lock(file, SQLITE_LOCK_SHARED) == SQLITE_OK, lock(file, SQLITE_LOCK_EXCLUSIVE) == SQLITE_OK else {
            return nil
        }
        return try body(file, methods)
    }
}

extension [UInt8] {
    /// The big-endian number at an offset that the array has.
    fileprivate func bigEndian(at offset: Int) -> UInt32 {
        self.withUnsafeBytes { UInt32(bigEndian: $0.loadUnaligned(fromByteOffset: offset, as: UInt32.self)) }
    }
}
