import ClinicSyncModel
import Foundation
import Glibc

/// Where a database file is: what distinguishes it from a copy of itself.
///
/// The numbers of a node's batches must never be used twice. A file that was copied, moved to another PC or restored from a
/// backup does not know which numbers were used elsewhere; so each file remembers its place, and beside each file lies a
/// witness of the highest number used. See `docs/design/0006-clocks-and-clones.md`.
package struct StorePlace {
    /// A digest of the PC's id, of the directory and of the file, by the numbers that the file system gives them.
    package let fingerprint: [UInt8]
    /// The file beside the database that keeps the highest number used.
    package let witness: any WitnessFile
    /// The running system; another one after every start of the PC, empty where it is unknown.
    package let boot: String

    /// Where Linux keeps the running system's id.
    package static let bootIDPath = "/proc/sys/kernel/random/boot_id"
    /// Where Linux keeps the id that an installation is given once.
    package static let machineIDPath = "/etc/machine-id"

    /// Describes a place.
    package init(fingerprint: [UInt8], witness: any WitnessFile, boot: String) {
        self.fingerprint = fingerprint
        self.witness = witness
        self.boot = boot
    }

    /// Describes the place of the database at `path`, which must exist, and opens or makes the witness beside it.
    ///
    /// - Parameters:
    ///   - path: the database file.
    ///   - machineIDPath: the file with the PC's id; one that cannot be read counts as empty.
    ///   - bootIDPath: the file with the running system's id; likewise.
    /// - Returns: the place.
    /// - Throws: ``StoreError``.
    package static func of(
        databasePath path: String,
        machineIDPath: String = StorePlace.machineIDPath,
        bootIDPath: String = StorePlace.bootIDPath
    ) throws -> StorePlace {
        let machine = FileManager.default.contents(atPath: machineIDPath) ?? Data()
        var writer = ByteWriter()
        writer.string(String(decoding: machine, as: UTF8.self))
        writer.unsigned(try StorePlace.number(of: URL(fileURLWithPath: path).deletingLastPathComponent().path))
        writer.unsigned(try StorePlace.number(of: path))
        let (low, high) = writer.bytes.withUnsafeBytes { SipHash.hash128($0) }
        return StorePlace(
            fingerprint: Digest(high: high, low: low).withStoredBytes { Array($0) },
            witness: try SystemFile(path: path + "-numbers"),
            boot: String(decoding: FileManager.default.contents(atPath: bootIDPath) ?? Data(), as: UTF8.self)
        )
    }

    /// The number a file system gives a file once; a copy has another.
    private static func number(of path: String) throws -> UInt64 {
        var information = stat()
        guard stat(path, &information) == 0 else {
            throw StoreError(
                code: .readOnly,
                message: "\(path) cannot be looked at (\(String(cString: strerror(errno)))): check its permissions."
            )
        }
        return UInt64(information.st_ino)
    }
}
