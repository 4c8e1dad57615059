import Glibc

/// The highest number of an own batch, written beside the database after each commit that used one.
///
/// A database restored from a backup over the present file has lower numbers than its witness. The write is not flushed: a
/// power cut can only leave a lower number than the database has, which does no harm.
final class NumberWitness {
    /// What the file says.
    struct Entry: Hashable {
        var incarnation: UInt32
        var number: UInt64
    }

    private let descriptor: Int32
    private var written: Entry?

    private static let bytes = 16

    /// Opens or makes the file at `path`.
    ///
    /// - Throws: ``StoreError``.
    init(path: String) throws {
        self.descriptor = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0o600)
        guard self.descriptor >= 0 else {
            throw StoreError(
                code: .readOnly,
                message: "\(path) cannot be written (\(String(cString: strerror(errno)))): check its permissions."
            )
        }
    }

    deinit { close(self.descriptor) }

    /// What was noted last; `nil` in a new file.
    func read() -> Entry? {
        var bytes = [UInt8](repeating: 0, count: NumberWitness.bytes)
        guard pread(self.descriptor, &bytes, bytes.count, 0) == bytes.count else { return nil }
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

    /// Notes a number, after the commit that used it and before any other node hears of it.
    ///
    /// A number that cannot be written is ignored: the witness is a second safeguard, and programs' writes must not fail because of it.
    func note(_ entry: Entry) {
        guard entry != self.written else { return }
        var writer = ByteWriter()
        writer.fixed64(UInt64(entry.incarnation))
        writer.fixed64(entry.number)
        if pwrite(self.descriptor, writer.bytes, writer.count, 0) == writer.count { self.written = entry }
    }
}
