import ClinicSyncModel
import ClinicSyncStorage
import Foundation
import Glibc
import Testing

@testable import ClinicSync

@Suite struct SharedDirectoryTests {
    /// An account without rights.
    private static let nobody: uid_t = 65_534
    private static let isRoot = geteuid() == 0

    @Test(
        "a new database is its group's where the group may write and the directory hands its group on, and nowhere else",
        arguments: [
            (0o2770, 0o660), (0o2775, 0o660), (0o3770, 0o660), (0o0770, 0o600), (0o2750, 0o600), (0o2720, 0o600),
            (0o0700, 0o600), (0o0777, 0o600),
        ] as [(mode_t, Int)]
    )
    func newDatabase(directory mode: mode_t, file: Int) throws {
        let temporary = try TemporaryDirectory()
        #expect(chmod(temporary.url.path, mode) == 0)
        #expect(DatabaseFileMode.createFile(at: temporary.file("clinic.db").path))
        #expect(try temporary.mode(of: "clinic.db") == file)
        #expect(!DatabaseFileMode.createFile(at: temporary.file("clinic.db").path))
    }

    @Test("the files beside a shared database are shared too, whatever the umask, and secrets are not")
    func filesBeside() throws {
        let temporary = try TemporaryDirectory()
        #expect(chmod(temporary.url.path, 0o2770) == 0)
        let directory = NodeDirectory(url: temporary.url)
        try directory.create()
        try SQLiteReplicaStore.create(at: directory.databaseURL, origin: Origin(node: NodeID(high: 1, low: 2)))
        let database = try StoreDatabase.open(path: directory.databaseURL.path)
        for name in ["clinic.db", "clinic.db-wal", "clinic.db-shm"] { #expect(try temporary.mode(of: name) == 0o660) }
        for name in ["identity", "run"] { #expect(try temporary.mode(of: name) & 0o777 == 0o700) }
        #expect(try temporary.mode(of: "api.token") == 0o600)
        try database.close()
    }

    @Test("the setting group gives directory and database to the group, and nothing else")
    func group() throws {
        let temporary = try TemporaryDirectory()
        let directory = NodeDirectory(url: temporary.file("node"))
        try directory.create()
        try SQLiteReplicaStore.create(at: directory.databaseURL, origin: Origin(node: NodeID(high: 1, low: 2)))
        let name = String(cString: try #require(getgrgid(getegid())).pointee.gr_name)
        for _ in 1...2 {
            try directory.share(with: name)
            #expect(try temporary.mode(of: "node") & 0o7777 == 0o2770)
            let attributes = try FileManager.default.attributesOfItem(atPath: directory.url.path)
            #expect((attributes[.groupOwnerAccountID] as? NSNumber)?.uint32Value == getegid())
            #expect(try temporary.mode(of: "node/clinic.db") == 0o660)
            #expect(try temporary.mode(of: "node/api.token") == 0o600)
            #expect(try temporary.mode(of: "node/identity") == 0o700)
        }
        // What a link names was chosen by whoever made the link.
        let other = temporary.file("other")
        try Data().write(to: other)
        #expect(chmod(other.path, 0o600) == 0)
        for makeLink in [link, symlink] {
            #expect(makeLink(other.path, directory.databaseURL.path + "-wal") == 0)
            #expect(throws: ClinicSyncError(.permission, "")) { try directory.share(with: name) }
            #expect(unlink(directory.databaseURL.path + "-wal") == 0)
        }
        #expect(try temporary.mode(of: "other") == 0o600)
        let error = #expect(throws: ClinicSyncError(.configuration, "")) { try directory.share(with: "no-such-group") }
        #expect(error?.message.contains("addgroup --system no-such-group") == true)
    }

    @Test("what an account of the group puts in the place of the node's files is refused", .enabled(if: isRoot))
    func replaced() throws {
        let temporary = try TemporaryDirectory()
        let directory = NodeDirectory(url: temporary.url)
        try directory.create()
        try Data("{}".utf8).write(to: directory.configurationURL)
        #expect(chmod(temporary.url.path, 0o2770) == 0)
        try directory.requirePrivate()
        let files = [
            directory.configurationURL, directory.tokenURL, directory.runDirectoryURL, directory.identityDirectoryURL,
        ]
        for url in files {
            #expect(lchown(url.path, SharedDirectoryTests.nobody, gid_t.max) == 0)
            let error = #expect(throws: ClinicSyncError(.permission, "")) { try directory.requirePrivate() }
            #expect(error?.message.contains(url.path) == true)
            // Nobody but the owner can replace files here.
            #expect(chmod(temporary.url.path, 0o700) == 0)
            try directory.requirePrivate()
            #expect(chmod(temporary.url.path, 0o2770) == 0)
            #expect(lchown(url.path, 0, gid_t.max) == 0)
        }
        // The group writes the database, so it could give the database the name of the settings.
        #expect(chmod(directory.configurationURL.path, 0o660) == 0)
        #expect(throws: ClinicSyncError(.permission, "")) { try directory.requirePrivate() }
    }

    @Test(
        "a directory that another account has prepared with its own identity folder gets no keys",
        .enabled(if: isRoot)
    )
    func planted() throws {
        let temporary = try TemporaryDirectory()
        let directory = NodeDirectory(url: temporary.url)
        #expect(chmod(temporary.url.path, 0o2770) == 0)
        try FileManager.default.createDirectory(at: directory.identityDirectoryURL, withIntermediateDirectories: false)
        #expect(chown(directory.identityDirectoryURL.path, SharedDirectoryTests.nobody, gid_t.max) == 0)
        #expect(throws: ClinicSyncError(.permission, "")) { try directory.create() }
    }

    @Test("what root makes in a directory of another account belongs to that account", .enabled(if: isRoot))
    func madeByRoot() throws {
        let temporary = try TemporaryDirectory()
        #expect(chown(temporary.url.path, SharedDirectoryTests.nobody, gid_t.max) == 0)
        let directory = NodeDirectory(url: temporary.url)
        try directory.create()
        let lock = try directory.lockForRunning()
        for name in ["identity", "run", "api.token", "run/lock", "run/pid"] {
            let attributes = try FileManager.default.attributesOfItem(atPath: temporary.file(name).path)
            #expect((attributes[.ownerAccountID] as? NSNumber)?.uint32Value == SharedDirectoryTests.nobody, "\(name)")
        }
        withExtendedLifetime(lock) {}
    }
}
