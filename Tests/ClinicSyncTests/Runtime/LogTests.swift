import ClinicSyncCore
import Foundation
import Glibc
import Logging
import NIOConcurrencyHelpers
import Testing

@testable import ClinicSync

@Suite("The node's log")
struct LogTests {
    private static func event(_ level: Logger.Level, _ message: String, _ metadata: Logger.Metadata?) -> LogEvent {
        LogEvent(
            level: level,
            message: "\(message)",
            metadata: metadata,
            source: "ClinicSync",
            file: "",
            function: "",
            line: 0
        )
    }

    @Test("a line has the time for people, and a priority for the journal")
    func lines() {
        let event = LogTests.event(.error, "The disk is slow", ["disk.fault": "slow", "a": "2"])
        func text(_ reader: LogLine.Reader) -> String {
            LogLine.text(of: event, label: "clinic-node", metadata: ["node.id": "n1", "a": "1"], at: 0.5, for: reader)
        }
        let body = "clinic-node: a=2 disk.fault=slow node.id=n1 [ClinicSync] The disk is slow"
        #expect(text(.person) == "1970-01-01T00:00:00.500Z error \(body)")
        #expect(text(.journal) == "<3>\(body)")
        #expect(Logger.Level.allCases.map(LogLine.priority) == [7, 7, 6, 5, 4, 3, 2])
    }

    @Test("priorities are written only into the stream that the journal reads")
    func journal() throws {
        let directory = try TemporaryDirectory()
        let path = directory.file("stream").path()
        let descriptor = open(path, O_RDWR | O_CREAT, 0o600)
        defer { close(descriptor) }
        let file = try FileManager.default.attributesOfItem(atPath: path)
        let device = try #require(file[.systemNumber] as? NSNumber)
        let number = try #require(file[.systemFileNumber] as? NSNumber)
        let stream = "\(device):\(number)"
        #expect(LogLine.isJournal(descriptor, environment: ["JOURNAL_STREAM": stream]))
        #expect(!LogLine.isJournal(descriptor, environment: ["JOURNAL_STREAM": stream + "1"]))
        #expect(!LogLine.isJournal(descriptor, environment: [:]))
    }

    @Test("a log file begins again when it is large, keeps two earlier ones, and goes on after a restart")
    func rotation() throws {
        let directory = try TemporaryDirectory()
        let path = directory.file("node.log").path()
        func content(_ suffix: String) throws -> String? {
            FileManager.default.contents(atPath: path + suffix).map { String(decoding: $0, as: UTF8.self) }
        }
        for number in 0..<8 {
            // Each line is another run of the node. Two lines have room.
            let file = LogFile(path: path, bytesMax: 20, earlierMax: 2)
            #expect(file.write("line \(number).."))
        }
        #expect(try content("") == "line 6..\nline 7..\n")
        #expect(try content(".1") == "line 4..\nline 5..\n")
        #expect(try content(".2") == "line 2..\nline 3..\n")
        #expect(try content(".3") == nil)
        let file = LogFile(path: directory.file("none/node.log").path())
        #expect(!file.write("nowhere"))
    }

    /// Remembers lines.
    struct Memory: LogHandler {
        let lines = NIOLockedValueBox<[String]>([])
        var logLevel = Logger.Level.info
        var metadata: Logger.Metadata = [:]
        subscript(metadataKey key: String) -> Logger.Metadata.Value? {
            get { self.metadata[key] }
            set { self.metadata[key] = newValue }
        }
        func log(event: LogEvent) {
            let metadata = (event.metadata ?? [:]).sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }
            self.lines.withLockedValue {
                $0.append("\(event.level) \(event.message) " + metadata.joined(separator: " "))
            }
        }
    }

    @Test("a state is one line when it begins and one when it ends, and changed rows are counted by table")
    func states() {
        let memory = Memory()
        let counts = TableCounts()
        var log = HealthLog(logger: Logger(label: "t") { _ in memory }, changes: counts)
        let behind = Finding(.clockOff, "This PC's clock is 4 s slow.")
        let worse = Finding(.clockOff, "This PC's clock is 5 s slow.")
        let expired = Finding(.certificateExpired, "It ended.", subject: "x")
        // The disk has lines of its own.
        log.look(at: [Finding(.diskFull, "The disk is full."), behind])
        log.look(at: [worse])
        log.look(at: [worse, expired])
        counts.add(2, of: "patients", isLocal: true)
        counts.add(3, of: "patients", isLocal: false)
        counts.add(1, of: "payments", isLocal: false)
        log.look(at: [expired])
        log.look(at: [expired])
        #expect(
            memory.lines.withLockedValue { $0 } == [
                "warning Something is not well finding.cause=\(behind.finding) finding.check=clockOff finding.remedy=\(behind.remedy)",
                "error Something is not well finding.cause=It ended. finding.check=certificateExpired "
                    + "finding.remedy=\(expired.remedy) finding.subject=x",
                "notice This is well again finding.check=clockOff",
                "info Rows of a table changed change.local=2 change.remote=3 table=patients",
                "info Rows of a table changed change.local=0 change.remote=1 table=payments",
            ]
        )
    }

    @Test("a disk that refuses again and again, and a store that fails, are one line")
    func failures() {
        let memory = Memory()
        let telemetry = NodeTelemetry(
            logger: Logger(label: "t") { _ in memory },
            metrics: NodeMetrics(),
            wallMilliseconds: { 0 },
            onEvent: { _ in }
        )
        telemetry.record(.diskFault(.full, "full"))
        for _ in 0..<1_000 {
            telemetry.record(.storageFailed(.disk(.full, "full")))
            telemetry.record(.storageFailed(.unavailable("no such table")))
        }
        #expect(memory.lines.withLockedValue { $0.count } == 2)
    }
}
