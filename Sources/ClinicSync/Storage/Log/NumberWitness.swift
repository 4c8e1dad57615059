import Glibc

/// A file of a few bytes, beside the database.
package protocol WitnessFile {
    /// Returns the first `count` bytes, or all bytes of a shorter file; `nil` when the file cannot be read.
    func read(count: Int) -> [UInt8]?

    /// Writes the first bytes of the file.
    ///
    /// - Returns: Whether the bytes are written; they need not be on the disk yet.
    func write(_ bytes: [UInt8]) -> Bool
}

/// The highest number of an own batch, written to a file beside the database after each commit that used a number.
///
/// A database that was restored from a backup over the present file has lower numbers than its witness. The write is
/// not synced: after a power cut the witness can only be older than the database. An older witness has no effect (see
/// ``Incarnation``).
final class NumberWitness {
    /// The content of the file.
    struct Entry: Hashable {
        var incarnation: UInt32
        var number: UInt64
    }

    private let file: any WitnessFile
    private var written: Entry?

    /// The bytes of an entry; ``FileEpoch`` has a copy of the epoch behind them.
    static let bytes = 16

    /// Makes a witness that is kept in `file`.
    init(_ file: any WitnessFile) { self.file = file }

    /// The entry that was noted last; `nil` in a new file.
    func read() -> Entry? {
        guard let bytes = self.file.read(count: NumberWitness.bytes), bytes.count == NumberWitness.bytes else {
            return nil
        }
        return bytes.withUnsafeBytes { bytes in
            Entry(
                incarnation: UInt32(
                    truncatingIfNeeded: UInt64(
                        littleEndian: bytes.loadUnaligned(fromByteOffset: 0, as: UInt64.self)
                    )
                ),
                number: UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
            )
        }
    }

    /// Notes a number, after the commit that used it and before any other node or program receives the number.
    ///
    /// A failed write is ignored: the witness is an additional safety check, and programs' writes must not fail because
    /// of it.
    func note(_ entry: Entry) {
        guard entry != self.written else { return }
        var writer = ByteWriter()
        writer.fixed64(UInt64(entry.incarnation))
        writer.fixed64(entry.number)
        if self.file.write(writer.bytes) { self.written = entry }
    }
}

/// A file of the file system.
final class SystemFile: WitnessFile {
    private let descriptor: Int32

    /// Opens or makes the file at `path`.
    ///
    /// - Throws: ``StoreError``.
    init(path: String) throws {
        self.descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o600)
        guard self.descriptor >= 0 else {
            if errno == ELOOP {
                throw StoreError(
                    code: .readOnly,
                    message: "\(path) is a symbolic link: remove it, then start the node again."
                )
            }
            throw StoreError(
                code: .readOnly,
                message: "\(path) cannot be written (\(String(cString: strerror(errno)))): check its permissions."
            )
        }
    }

    deinit { close(self.descriptor) }

    func read(count: Int) -> [UInt8]? {
        var bytes = [UInt8](repeating: 0, count: count)
        let there = pread(self.descriptor, &bytes, count, 0)
        return there < 0 ? nil : Array(bytes.prefix(there))
    }

    func write(_ bytes: [UInt8]) -> Bool { pwrite(self.descriptor, bytes, bytes.count, 0) == bytes.count }
}
