package import Foundation
import Glibc

/// What a supporter needs to help from afar, in one file: no rows, no keys, no tokens.
package struct SupportReport {
    /// The file as JSON.
    private struct Content: Encodable {
        struct System: Encodable {
            var release: String
            var kernel: String
            var processors: Int
            var memoryBytes: UInt64
            var uptimeSeconds: Double
            var freeBytes: UInt64
        }

        struct File: Encodable {
            var name: String
            var bytes: Int64
            var mode: String
        }

        var madeAt: UTCTimestamp
        var version: String
        var system: System
        var configuration: [String: String]
        var examination: Doctor.Examination
        var status: NodeStatus?
        var nodes: NodesSummary?
        var files: [File]
        var locks: [String]
        var log: [String]
    }

    private static let logBytesMax = 256 << 10

    private let directory: NodeDirectory
    private let configuration: NodeConfiguration

    /// Prepares a report about the node in `directory`.
    package init(directory: NodeDirectory, configuration: NodeConfiguration) {
        self.directory = directory
        self.configuration = configuration
    }

    /// Writes the report, readable by its owner alone.
    ///
    /// - Throws: ``ClinicSyncError`` of code `refused` when there is such a file, and when it cannot be written.
    package func write(
        to url: URL,
        _ examination: Doctor.Examination,
        _ status: NodeStatus?,
        _ nodes: NodesSummary?
    ) throws {
        guard !FileManager.default.fileExists(atPath: url.path) else {
            throw ClinicSyncError(.refused, "\(url.path) is already there: name another file for the report.")
        }
        let content = Content(
            madeAt: UTCTimestamp(milliseconds: NodeClock().wallMilliseconds),
            version: SoftwareVersion.current,
            system: self.system,
            configuration: Dictionary(
                self.configuration.effectiveValues.map { ($0.key.rawValue, $0.values.joined(separator: " ")) },
                uniquingKeysWith: { first, _ in first }
            ),
            examination: examination,
            status: status,
            nodes: nodes,
            files: self.files,
            locks: self.locks,
            log: self.log
        )
        let encoder = JSONEncoder()
        encoder.outputFormatting = [.prettyPrinted, .sortedKeys, .withoutEscapingSlashes]
        try AtomicFile.write(try Array(encoder.encode(content)) + [UInt8(ascii: "\n")], to: url, mode: 0o600)
    }

    private var system: Content.System {
        let process = ProcessInfo.processInfo
        let release = SupportReport.text("/etc/os-release").split(separator: "\n").first {
            $0.hasPrefix("PRETTY_NAME=")
        }
        return Content.System(
            release: String(release?.dropFirst("PRETTY_NAME=".count) ?? ""),
            kernel: SupportReport.text("/proc/sys/kernel/osrelease").trimmingCharacters(in: .whitespacesAndNewlines),
            processors: process.activeProcessorCount,
            memoryBytes: process.physicalMemory,
            uptimeSeconds: process.systemUptime,
            freeBytes: SlowDiskWatch.freeBytes(at: self.directory.url.path)
        )
    }

    /// Names, sizes and permissions of the files in the node's directory.
    private var files: [Content.File] {
        let names = FileManager.default.enumerator(atPath: self.directory.url.path)?.compactMap { $0 as? String } ?? []
        return names.sorted().prefix(1_000).compactMap { name in
            let path = self.directory.url.appending(path: name).path
            guard let file = try? FileManager.default.attributesOfItem(atPath: path) else { return nil }
            return Content.File(
                name: name,
                bytes: (file[.size] as? NSNumber)?.int64Value ?? 0,
                mode: String((file[.posixPermissions] as? NSNumber)?.intValue ?? 0, radix: 8)
            )
        }
    }

    /// The locks on the files of the database, as `/proc/locks` has them.
    private var locks: [String] {
        let path = self.directory.databaseURL.path
        let nodes = ["", "-wal", "-shm"].compactMap { suffix -> String? in
            let file = try? FileManager.default.attributesOfItem(atPath: path + suffix)
            return (file?[.systemFileNumber] as? NSNumber).map { ":\($0) " }
        }
        return SupportReport.text("/proc/locks").split(separator: "\n").map(String.init)
            .filter { line in nodes.contains { line.contains($0) } }
    }

    /// The end of the log; empty when it goes to standard error, where systemd has it.
    private var log: [String] {
        guard let file = self.configuration.log.file else { return [] }
        let url = file.hasPrefix("/") ? URL(filePath: file) : self.directory.url.appendingPathComponent(file)
        let bytes = FileManager.default.contents(atPath: url.path) ?? Data()
        return String(decoding: bytes.suffix(SupportReport.logBytesMax), as: UTF8.self).split(separator: "\n").map(
            String.init
        )
    }

    private static func text(_ path: String) -> String {
        String(decoding: FileManager.default.contents(atPath: path) ?? Data(), as: UTF8.self)
    }
}
