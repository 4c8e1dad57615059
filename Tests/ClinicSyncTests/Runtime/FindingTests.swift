import Foundation
import Testing

@testable import ClinicSync

@Suite("What is not well, with cause and remedy")
struct FindingTests {
    /// A fault, and the codes by which people must learn of it.
    struct Case: Sendable, CustomTestStringConvertible {
        var name: String
        var codes: [FindingCode]
        var fault: @Sendable (inout NodeStatus) -> Void

        var testDescription: String { self.name }
    }

    private static let now: Int64 = 1_000_000_000
    private static let since = UTCTimestamp(milliseconds: now - 90_000)

    /// A status of a client that is well.
    private static var well: NodeStatus {
        var status = NodeMetricsTests.status()
        status.security.certificateExpires = UTCTimestamp(milliseconds: now + 20 * 86_400_000)
        status.node.uptimeSeconds = 100
        status.progress = nil
        return status
    }

    private static func codes(_ status: NodeStatus, _ others: [Finding] = []) -> [String] {
        StatusFindings(status: status, now: now, others: others).all.map(\.check)
    }

    private static func locked(_ node: String, _ process: NodeStatus.LockedFile.Process?) -> NodeStatus.LockedFile {
        NodeStatus.LockedFile(node: node, name: "Doctor", since: since, process: process)
    }

    private static func disk(_ fault: String) -> Case {
        let codes: [String: FindingCode] = [
            "full": .diskFull, "readOnly": .diskReadOnly, "failing": .diskFailing, "slow": .diskSlow,
        ]
        return Case(name: "a disk that is \(fault)", codes: codes[fault].map { [$0] } ?? []) {
            // A node that cannot write is not host and looks for none: that is not a second finding.
            if fault != "slow" {
                $0.role = .searching
                $0.peers[0].connected = false
                $0.peers[0].backOff?.reason = "storageFailed"
            }
            $0.diskFaults = [DiskFaultSummary(fault: fault, since: since, message: "The disk is ill: call a doctor.")]
        }
    }

    static let cases: [Case] =
        ["full", "readOnly", "failing", "slow"].map(disk) + [
            Case(name: "a file that is locked here", codes: [.fileLocked]) {
                $0.role = .searching
                $0.lockedFiles = [locked("n1", .init(id: 77, program: "sqlitebrowser"))]
            },
            Case(name: "a file that is locked elsewhere", codes: [.fileLockedElsewhere]) {
                $0.lockedFiles = [locked("n2", nil)]
            },
            Case(name: "two PCs with this node's key", codes: [.duplicateIdentity]) { $0.duplicateIdentities = ["n1"] },
            Case(name: "an expired certificate", codes: [.certificateExpired]) {
                $0.security.certificateExpires = UTCTimestamp(milliseconds: now)
            },
            Case(name: "a certificate that was not renewed", codes: [.certificateNearEnd]) {
                $0.security.certificateExpires = UTCTimestamp(milliseconds: now + 4 * 86_400_000)
            },
            Case(name: "no host for a while", codes: [.noHost]) { $0.role = .searching },
            Case(name: "no host yet", codes: []) { ($0.role, $0.node.uptimeSeconds) = (.searching, 9) },
            Case(name: "a peer of another version", codes: [.versionsDiffer]) {
                $0.peers[0].connected = false
                $0.peers[0].backOff?.reason = "protocolVersion"
            },
            Case(name: "a peer that breaks the protocol", codes: [.connectionsEnd]) { $0.peers[0].connected = false },
            Case(name: "a clock that is behind", codes: [.clockOff]) { $0.clockOffsetMilliseconds = 2_000 },
            Case(name: "a clock that is ahead", codes: [.clockOff]) { $0.clockOffsetMilliseconds = -400_000 },
            Case(name: "a clock that is a little off", codes: []) { $0.clockOffsetMilliseconds = 1_999 },
            Case(name: "a missing table, and rows set aside", codes: [.schemaDiffers, .rowsSetAside]) {
                $0.waiting = [
                    .init(table: "patients", rows: 3, reason: "only this PC's database refuses it"),
                    .init(table: "payments", rows: 0, reason: "the table is called payments_2025 now"),
                ]
            },
            Case(name: "a state that cannot be shown", codes: [.stateNotShown]) {
                $0.progress = .init(missingBatches: 1, partialBatches: 0, state: NodeMetricsTests.state)
                $0.progress?.state?.failure = .init(failures: 2, message: "disk full", retrySeconds: 20)
            },
            Case(name: "damage", codes: [.bookkeepingDamaged, .bookkeepingRepaired]) {
                $0.damage = ["rebuilt", "failed"].map {
                    .init(table: "clinicsync_row", entries: 1, outcome: $0, reason: "no such origin", at: since)
                }
            },
            Case(name: "wide permissions", codes: [.permissionsTooWide]) {
                $0.security.warnings = ["Every account may use clinic.db: run chmod o-rwx clinic.db."]
            },
            Case(name: "unsigned rows", codes: [.unsignedRows]) { $0.security.unsignedRows = 2 },
            Case(name: "a member that lapsed", codes: [.memberLapsed]) { $0.lapsedNodes = ["n2"] },
        ]

    @Test("a PC that is well has no finding, and each fault has its own", arguments: cases)
    func fault(_ fault: Case) throws {
        #expect(FindingTests.codes(FindingTests.well).isEmpty)
        var status = FindingTests.well
        fault.fault(&status)
        #expect(FindingTests.codes(status) == fault.codes.map(\.rawValue))
        for finding in StatusFindings(status: status, now: FindingTests.now).all {
            #expect(finding.finding.hasSuffix(".") && finding.remedy.hasSuffix("."))
        }
    }

    @Test("findings say which program, which command and since when")
    func particulars() throws {
        var status = FindingTests.well
        status.lockedFiles = [FindingTests.locked("n1", .init(id: 77, program: "sqlitebrowser"))]
        status.security.warnings = ["Every account may use clinic.db: run chmod o-rwx clinic.db."]
        let findings = StatusFindings(status: status, now: FindingTests.now).all
        #expect(findings[0].finding == "sqlitebrowser (process 77) keeps a write transaction in clinic.db open.")
        #expect(findings[0].since == FindingTests.since)
        #expect(findings[1].finding == "Every account may use clinic.db.")
        #expect(findings[1].remedy == "Run chmod o-rwx clinic.db.")
        status.lockedFiles = [FindingTests.locked("n1", nil)]
        #expect(
            StatusFindings(status: status, now: FindingTests.now).all[0].finding
                == "A program keeps a write transaction in clinic.db open."
        )
    }

    @Test("what failed comes first, and a node is ready as long as nothing has failed")
    func order() {
        let warning = Finding(.memberLapsed, "A PC was silent.")
        let failure = Finding(.diskFull, "The disk is full.")
        let good = Finding(ok: "clock", "The clock is right.")
        #expect(Finding.ordered([good, warning, failure]) == [failure, warning, good])
        #expect(HealthSummary([]).state == .ok)
        #expect(HealthSummary([good]).state == .ok)
        #expect(HealthSummary([warning, good]).state == .warning && HealthSummary([warning]).isReady)
        #expect(HealthSummary([warning, failure]).state == .failed && !HealthSummary([failure]).isReady)
    }

    @Test("triggers that failed and a log that was set aside are findings; a node without them has none")
    func noted() {
        #expect(NodeStatusControl.noted(failedTriggers: 0, staleLog: nil).isEmpty)
        let both = NodeStatusControl.noted(failedTriggers: 1, staleLog: "/d/clinic.db-wal.set-aside-1")
        #expect(both.map(\.check) == ["triggerFailed", "logSetAside"])
        #expect(both[0].finding.contains("failed for 1 row of other PCs"))
        #expect(both[1].finding.contains("/d/clinic.db-wal.set-aside-1"))
    }

    @Test("what the system says of the PC becomes findings at its limits, and not below")
    func system() {
        let now: Int64 = 100 * 86_400_000
        #expect(PCFacts().findings(at: now).isEmpty)
        var facts = PCFacts()
        facts.freeBytes = PCFacts.freeBytesMin
        facts.logBytes = PCFacts.logBytesMax
        (facts.openFiles, facts.openFilesMax) = (800, 1_000)
        facts.backupAt = now - PCFacts.backupAgeMax
        #expect(facts.findings(at: now).isEmpty)
        facts.freeBytes = 3 << 20
        facts.logBytes = 70 << 20
        facts.reader = "python3 (process 77)"
        facts.hasEvents = false
        facts.openFiles = 801
        facts.backupAt = now - 9 * 86_400_000
        #expect(
            facts.findings(at: now).map(\.finding) == [
                "The disk under clinic.db has 3 MB left.",
                "The write-ahead log of clinic.db has 70 MB: python3 (process 77) keeps a read transaction open.",
                "This account has no free instance or watch of inotify.",
                "The node has 801 files open of 1000 that it may have.",
                "The newest backup of this PC is 9 days old.",
            ]
        )
    }

    @Test("the facts of this PC are read, with its own descriptors and its newest backup")
    func facts() throws {
        let folder = try TemporaryDirectory()
        let directory = NodeDirectory(url: folder.url)
        #expect(PCFacts.read(of: directory).backupAt == nil)
        let note = BackupNote(madeAt: UTCTimestamp(milliseconds: 5_000), file: "/b.db")
        try note.write(in: directory)
        let facts = PCFacts.read(of: directory)
        #expect(facts.backupAt == 5_000 && facts.openFiles > 2 && facts.openFiles < facts.openFilesMax)
        #expect(facts.freeBytes > 0 && facts.freeBytes < .max)
    }

    private static func dial(_ answer: String, _ tries: Int, at: Int64) -> DialSummary {
        DialSummary(
            address: "10.0.0.\(tries):7450",
            node: "n3",
            answer: answer,
            message: "connection \(answer)",
            at: UTCTimestamp(milliseconds: at),
            since: UTCTimestamp(milliseconds: at - 5),
            tries: tries
        )
    }

    private static func members(_ status: NodeStatus, fault: String? = nil, version: String = "1") -> [Finding] {
        MemberFindings(
            status: status,
            members: [.init(id: "n3", name: "Lab", version: version)],
            discoveryFault: fault,
            now: now
        ).all
    }

    @Test("a host names the members that it does not reach, with the addresses and their answers")
    func members() {
        var status = FindingTests.well
        status.dials = [
            FindingTests.dial("timedOut", 2, at: 10), FindingTests.dial("refused", 1, at: 20),
            FindingTests.dial("linked", 9, at: 30),
        ]
        // A client is connected with its host alone.
        #expect(FindingTests.members(status, fault: "no daemon").isEmpty)
        status.role = .host
        let findings = FindingTests.members(status, fault: "no daemon")
        #expect(findings.map(\.check) == ["memberNotReached", "discoveryUnavailable"])
        #expect(
            findings[0].finding
                == "Lab is not connected: 10.0.0.1:7450 connection refused (1 try); 10.0.0.2:7450 connection timedOut (2 tries)."
        )
        #expect(findings[0].remedy.hasPrefix("Start the node on that PC"))
        #expect(findings[0].since == UTCTimestamp(milliseconds: 5) && findings[0].subject == "n3")
        status.dials = []
        #expect(FindingTests.members(status).map(\.finding) == ["Lab is not connected."])
        status.lapsedNodes = ["n3"]
        #expect(FindingTests.members(status, fault: "no daemon").isEmpty)
        #expect(FindingTests.members(status, version: "2").map(\.check) == ["versionsMixed"])
        status.lapsedNodes = []
        status.node.uptimeSeconds = 29
        #expect(FindingTests.members(status).isEmpty)
    }

    @Test("a member that restarts is away for half a minute without a finding", arguments: [29_999, 30_000] as [Int64])
    func restart(age: Int64) {
        var status = FindingTests.well
        status.role = .host
        status.peers[0].id = "n3"
        status.peers[0].connected = false
        status.peers[0].backOff = nil
        status.peers[0].lastSeen = UTCTimestamp(milliseconds: FindingTests.now - age)
        #expect(FindingTests.members(status).isEmpty == (age < 30_000))
    }

    @Test("triggers that were missing are told for a day")
    func triggers() {
        let repairs = ["patients": FindingTests.now, "bills": FindingTests.now - 86_400_000]
        let findings = NodeStatusControl.triggers(repairs, at: FindingTests.now)
        #expect(findings.map(\.subject) == ["patients"])
    }

    @Test("docs/OPERATIONS.md has the table of codes, as the code has it")
    func document() throws {
        let root = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().deletingLastPathComponent()
        let text = try String(contentsOf: root.appending(path: "docs/OPERATIONS.md"), encoding: .utf8)
        let listed = text.split(separator: "\n").map(String.init)
            .filter { $0.hasPrefix("| `") && ($0.contains("| failed |") || $0.contains("| warning |")) }
        let expected = FindingCode.allCases.map {
            "| `\($0.rawValue)` | \($0.state.rawValue) | \($0.meaning) | \($0.remedy) |"
        }
        #expect(listed == expected)
    }
}
