import ClinicSyncModel
import Foundation
import Glibc

/// The place of a database file, which distinguishes the file from its copies.
///
/// The numbers of a node's batches must never be used twice. A file that was copied, moved to another PC or restored
/// from a backup does not know which numbers were used elsewhere. So each file records its place, and a witness file
/// beside it records the highest number used. See `docs/design/0006-clocks-and-clones.md`.
package struct StorePlace {
    /// A digest of the PC's id and of the file system's numbers for the directory and the file.
    package let fingerprint: [UInt8]
    /// The file beside the database that keeps the highest number used.
    package let witness: any WitnessFile
    /// The id of the running system; it changes at every start of the PC, and is empty when it is unknown.
    package let boot: String
    /// Makes the numbers of new incarnations; `nil`: they are random, so that no copy of the file gets the same one.
    ///
    /// The simulator sets it, because one seed must be one run.
    package var incarnations: (@Sendable () -> UInt32)?

    /// The path where Linux keeps the running system's id.
    package static let bootIDPath = "/proc/sys/kernel/random/boot_id"
    /// The path where Linux keeps the id of the installation, which never changes.
    package static let machineIDPath = "/etc/machine-id"

    /// Describes a place.
    package init(fingerprint: [UInt8], witness: any WitnessFile, boot: String) {
        self.fingerprint = fingerprint
        self.witness = witness
        self.boot = boot
    }

    /// Describes the place of the database at `path`, and opens or makes the witness beside it; the database must
    /// exist.
    ///
    /// - Parameters:
    ///   - path: the database file.
    ///   - machineIDPath: the file with the PC's id; a file that cannot be read counts as empty.
    ///   - bootIDPath: the file with the running system's id; a file that cannot be read counts as empty.
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

    /// The number that the file system gives a file; a copy has another number.
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
