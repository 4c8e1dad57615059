import ClinicSyncModel
import Foundation
import Testing

@testable import ClinicSync

@Suite struct NodeDirectoryTests {
    private static let identity = NodeIdentity(
        nodeID: NodeID(high: 1, low: 2),
        nodeName: "desk",
        clinicID: "c",
        clinicName: "Clinic",
        host: NodeIdentity.Host(nodeID: NodeID(high: 3, low: 4), address: "127.0.0.1:7450")
    )

    @Test(
        "the directory is the flag's, the environment's, root's, or the account's",
        arguments: [
            ("/flag", ["CLINIC_NODE_DATA": "/env"], true, "/flag"),
            (nil, ["CLINIC_NODE_DATA": "/env"], true, "/env"),
            (nil, ["XDG_DATA_HOME": "/xdg"], true, "/var/lib/clinic-node"),
            (nil, ["XDG_DATA_HOME": "/xdg", "HOME": "/home/a"], false, "/xdg/clinic-node"),
            (nil, ["XDG_DATA_HOME": "rel", "HOME": "/home/a"], false, "/home/a/.local/share/clinic-node"),
        ] as [(String?, [String: String], Bool, String)]
    )
    func place(flag: String?, environment: [String: String], isRoot: Bool, path: String) throws {
        #expect(try NodeDirectory.locate(flag: flag, environment: environment, isRoot: isRoot).url.path == path)
    }

    @Test("secrets are the owner's alone, whatever the umask")
    func modes() throws {
        let temporary = try TemporaryDirectory()
        let directory = NodeDirectory(url: temporary.url.appendingPathComponent("node"))
        try directory.create()
        try directory.write(NodeDirectoryTests.identity)
        let lock = try directory.lockForRunning()
        try directory.writeAPIAddress(NetworkAddress(host: "127.0.0.1", port: 1))
        #expect(try temporary.mode(of: "node") == 0o700)
        #expect(try temporary.mode(of: "node/identity") == 0o700)
        #expect(try temporary.mode(of: "node/identity/identity.json") == 0o600)
        #expect(try temporary.mode(of: "node/api.token") == 0o600)
        #expect(try temporary.mode(of: "node/run") == 0o700)
        #expect(try temporary.mode(of: "node/run/api.json") == 0o600)
        withExtendedLifetime(lock) {}
    }

    /// The files that a node needs.
    ///
    /// These tests never read their content.
    private static func writeKeyFiles(_ directory: NodeDirectory) throws {
        for url in [directory.nodeKeyURL, directory.certificatesURL, directory.authorityURL] {
            try AtomicFile.write([], to: url, mode: 0o600)
        }
    }

    @Test("the identity reads back")
    func identity() throws {
        let temporary = try TemporaryDirectory()
        let directory = NodeDirectory(url: temporary.url)
        try directory.create()
        try NodeDirectoryTests.writeKeyFiles(directory)
        try directory.write(NodeDirectoryTests.identity)
        #expect(try directory.identity() == NodeDirectoryTests.identity)
        #expect(try directory.token().utf8.count == 43)
    }

    @Test("a directory without a node, and one with a damaged identity, are told apart")
    func notANode() throws {
        let temporary = try TemporaryDirectory()
        let directory = NodeDirectory(url: temporary.url)
        #expect(throws: ClinicSyncError(.notANode, "")) { try directory.identity() }
        try directory.create()
        try AtomicFile.write(Array("{".utf8), to: directory.identityURL, mode: 0o600)
        #expect(throws: ClinicSyncError(.corrupt, "")) { try directory.identity() }
    }

    @Test("a node of the version without certificates, and one without its key, are told to join again")
    func withoutCertificates() throws {
        let temporary = try TemporaryDirectory()
        let directory = NodeDirectory(url: temporary.url)
        try directory.create()
        try directory.write(NodeDirectoryTests.identity)
        let message = #expect(throws: ClinicSyncError(.notANode, "")) { try directory.identity() }?.message
        #expect(message?.contains("has no certificate") == true)
        try NodeDirectoryTests.writeKeyFiles(directory)
        #expect(try directory.identity() == NodeDirectoryTests.identity)
        let text = try String(contentsOf: directory.identityURL, encoding: .utf8)
        let former = text.replacing("{", with: #"{"clinicSecret" : "AQID","#, maxReplacements: 1)
        try AtomicFile.write(Array(former.utf8), to: directory.identityURL, mode: 0o600)
        #expect(throws: ClinicSyncError(.notANode, "")) { try directory.identity() }
    }

    @Test("a directory with a node is not made a node again, and a failed attempt leaves nothing")
    func createTwice() throws {
        let temporary = try TemporaryDirectory()
        let directory = NodeDirectory(url: temporary.url.appendingPathComponent("node"))
        try directory.create()
        try IdentityFiles.found(at: 0).write(to: directory)
        try AtomicFile.write([], to: directory.grantURL, mode: 0o600)
        try AtomicFile.write([], to: directory.invitationsURL, mode: 0o600)
        try directory.write(NodeDirectoryTests.identity)
        #expect(throws: ClinicSyncError(.refused, "")) { try directory.create() }
        #expect(try directory.identity() == NodeDirectoryTests.identity)
        directory.takeBackCreation()
        #expect(!FileManager.default.fileExists(atPath: directory.url.path))
    }

    @Test("an interrupted setup is repeated, one at a time; a database that no setup made is not touched")
    func interrupted() throws {
        let temporary = try TemporaryDirectory()
        let directory = NodeDirectory(url: temporary.url.appendingPathComponent("node"))
        var mark: SetupMark? = try directory.create()
        #expect(mark?.left == [])
        try mark?.note(Array("noted".utf8))
        try AtomicFile.write([7], to: directory.databaseURL, mode: 0o600)
        try AtomicFile.write([], to: directory.nodeKeyURL, mode: 0o600)
        #expect(throws: ClinicSyncError(.refused, "")) { try directory.create() }
        // The process ends.
        mark = nil
        #expect(!directory.holdsNode)
        let again = try directory.create()
        #expect(again.left == Array("noted".utf8))
        #expect(!FileManager.default.fileExists(atPath: directory.databaseURL.path))
        #expect(!FileManager.default.fileExists(atPath: directory.nodeKeyURL.path))
        // A person may have put a database there meanwhile.
        #expect(try AtomicFile.read(temporary.url.appendingPathComponent("node/clinic.db.unfinished-1")) == [7])
        try directory.write(NodeDirectoryTests.identity)
        again.remove()
        #expect(throws: ClinicSyncError(.refused, "")) { try directory.create() }
        // A database alone, without the mark: somebody's data.
        try FileManager.default.removeItem(at: directory.identityURL)
        try AtomicFile.write([1], to: directory.databaseURL, mode: 0o600)
        #expect(throws: ClinicSyncError(.refused, "")) { try directory.create() }
        #expect(try AtomicFile.read(directory.databaseURL) == [1])
    }

    @Test("a node runs once, and the second attempt names the first")
    func lock() throws {
        let temporary = try TemporaryDirectory()
        let directory = NodeDirectory(url: temporary.url)
        var lock: RunLock? = try directory.lockForRunning()
        try directory.writeAPIAddress(NetworkAddress(host: "127.0.0.1", port: 9))
        let error = #expect(throws: ClinicSyncError.self) { try directory.lockForRunning() }
        #expect(error?.code == .alreadyRunning)
        #expect(error?.message.contains("process \(getpid())") == true)
        #expect(try directory.apiAddress()?.port == 9)
        withExtendedLifetime(lock) {}
        lock = nil
        #expect(try directory.apiAddress() == nil)
        #expect(try directory.runningProcess() == nil)
        _ = try directory.lockForRunning()
    }

    @Test("a path through a file, and a place nobody can write, are clear errors")
    func unusable() throws {
        let temporary = try TemporaryDirectory()
        let file = temporary.url.appendingPathComponent("file")
        try Data().write(to: file)
        for url in [file, file.appendingPathComponent("node"), URL(fileURLWithPath: "/proc/clinic")] {
            let error = #expect(throws: ClinicSyncError.self) { try NodeDirectory(url: url).create() }
            #expect(error?.message.contains(url.path) == true)
        }
    }

    @Test("the disk being full is said as such")
    func diskFull() {
        #expect(AtomicFile.failure(ENOSPC, doing: "write", path: "/x").code == .diskFull)
        #expect(AtomicFile.failure(EROFS, doing: "write", path: "/x").code == .permission)
    }
}
