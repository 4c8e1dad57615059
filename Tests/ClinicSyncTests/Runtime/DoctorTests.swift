import Foundation
import NIOCore
import NIOPosix
import Testing

@testable import ClinicSync

@Suite("The doctor's tests", .timeLimit(.minutes(1)))
struct DoctorTests {
    @Test("a disk that takes writes is well, a slow one a warning, and an error has the code of its kind")
    func disk() throws {
        let directory = try TemporaryDirectory()
        let path = directory.file(".").standardizedFileURL.path
        #expect(DiskTest(directory: path).findings().map(\.check) == ["disk"])
        #expect(try FileManager.default.contentsOfDirectory(atPath: path) == [])
        #expect(DiskTest(directory: path + "/none").findings().map(\.check) == ["diskFailing"])
        #expect(DiskTest.finding(.milliseconds(499)).finding == "The disk takes writes; a flush takes 499.0 ms.")
        #expect(DiskTest.finding(.milliseconds(500)).check == "diskSlow")
        #expect(
            [ENOSPC, EDQUOT, EROFS, EACCES, EIO].map { DiskTest.finding($0).check } == [
                "diskFull", "diskFull", "diskReadOnly", "diskReadOnly", "diskFailing",
            ]
        )
    }

    @Test("an open port and a closed one are told apart, and a PC needs one open address")
    func ports() async throws {
        let server = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .bind(host: "127.0.0.1", port: 0).get()
        let open = "127.0.0.1:\(try #require(server.localAddress?.port))"
        let second = try await ServerBootstrap(group: MultiThreadedEventLoopGroup.singleton)
            .bind(host: "127.0.0.1", port: 0).get()
        let closed = "127.0.0.1:\(try #require(second.localAddress?.port))"
        try await second.close()
        let answers = await PortTest.answers(of: [closed, open, "nonsense"])
        #expect(answers.map(\.address) == [closed, open, "nonsense"])
        #expect(answers[0].failure == "connection refused" && answers[1].failure == nil && answers[2].failure != nil)
        #expect(PortTest.finding(of: "Lab", subject: "n3", answers).state == .ok)
        let refused = PortTest.finding(of: "Lab", subject: "n3", [answers[0]])
        #expect(refused.finding == "Lab is not reached: \(closed) connection refused.")
        #expect(refused.check == "memberNotReached" && refused.subject == "n3")
        #expect(PortTest.finding(of: "Lab", subject: nil, []).finding == "Lab is not reached: no address is known.")
        try await server.close()
    }

    @Test("multicast is silent only when a connected PC of the LAN should have answered")
    func multicast() {
        func check(_ answers: Set<String>?, _ peers: [String]) -> String {
            let findings = MulticastQuestion.findings(answers: answers, own: ["10.0.0.1", "127.0.0.1"], peers: peers)
            return findings.map { "\($0.check) \($0.state.rawValue)" }.joined()
        }
        #expect(check(["10.0.0.1", "10.0.0.2"], []) == "multicast ok")
        #expect(check(["10.0.0.1"], ["10.0.0.2"]) == "multicastSilent warning")
        #expect(check([], ["127.0.0.1", "10.0.0.1"]) == "multicast ok")
        #expect(check([], []) == "multicast ok")
        #expect(check(nil, []) == "multicastSilent warning")
        // A header with one question, _clinicsync._tcp.local, PTR, IN with the bit for an answer by unicast.
        #expect(MulticastQuestion.question.count == 12 + 12 + 5 + 6 + 1 + 4)
        #expect(MulticastQuestion.question.suffix(4) == [0, 12, 0x80, 1])
    }

    @Test("an active firewall is a finding only when a member is missing")
    func firewall() throws {
        let directory = try TemporaryDirectory()
        let root = directory.file(".").standardizedFileURL.path + "/"
        #expect(Firewall(root: root).findings(isMemberMissing: true).map(\.state) == [.ok])
        try FileManager.default.createDirectory(atPath: root + "etc/ufw", withIntermediateDirectories: true)
        try Data("# ENABLED=no\nENABLED=yes\n".utf8).write(to: URL(filePath: root + "etc/ufw/ufw.conf"))
        #expect(Firewall(root: root).active == "ufw")
        #expect(Firewall(root: root).findings(isMemberMissing: true).map(\.check) == ["firewallActive"])
        #expect(Firewall(root: root).findings(isMemberMissing: false).map(\.state) == [.ok])
        try Data("ENABLED=no\n".utf8).write(to: URL(filePath: root + "etc/ufw/ufw.conf"))
        #expect(Firewall(root: root).active == nil)
    }

    @Test("the score counts each thing once, the worst first")
    func score() {
        #expect(Doctor.Examination([Finding(ok: "disk", "Well.")]).score == "All 1 checks are well.")
        let examination = Doctor.Examination([
            Finding(ok: "disk", "Well."), Finding(.memberNotReached, "First.", subject: "n3"),
            Finding(.memberNotReached, "Again.", subject: "n3"), Finding(.memberNotReached, "Other.", subject: "n4"),
            Finding(.diskFull, "Full."),
        ])
        #expect(examination.findings.map(\.finding) == ["Full.", "First.", "Other.", "Well."])
        #expect(examination.score == "1 of 4 checks are well, 2 warnings, 1 failed.")
    }

    @Test("a time service is known by its file")
    func clock() throws {
        let directory = try TemporaryDirectory()
        let root = directory.file(".").standardizedFileURL.path + "/"
        #expect(TimeService(root: root).finding.check == "clockUnsynchronised")
        try FileManager.default.createDirectory(atPath: root + "run/chrony", withIntermediateDirectories: true)
        try Data().write(to: URL(filePath: root + "run/chrony/chronyd.pid"))
        #expect(TimeService(root: root).finding.state == .ok)
    }

    @Test("a report has findings, settings and files, no token and no key, and overwrites nothing")
    func report() throws {
        let directory = try TemporaryDirectory()
        let node = NodeDirectory(url: directory.file("node"))
        try node.create()
        var configuration = NodeConfiguration()
        configuration.log.file = "node.log"
        let line = "something happened"
        try Data((line + "\n").utf8).write(to: directory.file("node/node.log"))
        let target = directory.file("report.json")
        let report = SupportReport(directory: node, configuration: configuration)
        try report.write(to: target, Doctor.Examination([Finding(.diskFull, "Full.")]), nil, nil)
        let text = try String(contentsOf: target, encoding: .utf8)
        for part in ["diskFull", "api.token", "0.0.0.0:7450", line, SoftwareVersion.current] {
            #expect(text.contains(part))
        }
        #expect(try !text.contains(node.token()))
        #expect(throws: ClinicSyncError.self) { try report.write(to: target, Doctor.Examination([]), nil, nil) }
    }
}
