import Foundation
import Testing

/// Finds code that opens files past SQLite.
///
/// Closing any descriptor of a file ends all POSIX locks that the process has on it, also those of SQLite. Source: "How to
/// corrupt an SQLite database file", section 2.2. So nothing but SQLite may open a database that is open in the process.
@Suite("Files that are opened past SQLite")
struct RawFileTests {
    /// Files of the sources that open files themselves, with what they open.
    private static let exceptions: [String: String] = [
        "Sources/ClinicSync/Configuration/AtomicFile.swift": "settings, keys and tokens, and their folder",
        "Sources/ClinicSync/Configuration/RunLock.swift": "the file that says which process runs",
        "Sources/ClinicSync/Runtime/Doctor/DiskTest.swift": "a new file beside the database, which it removes",
        "Sources/ClinicSync/Runtime/Doctor/Firewall.swift": "the settings of ufw",
        "Sources/ClinicSync/Runtime/Doctor/SupportReport.swift": "files of /proc and /etc, and the node's log",
        "Sources/ClinicSync/Runtime/Log/LogFile.swift": "the node's log, never the database",
        "Sources/ClinicSync/Configuration/NodeDirectory+Permissions.swift":
            "the database before the node opens it, and its directory, to give them to a group",
        "Sources/ClinicSync/Configuration/SetupMark.swift": "the mark of a node that is being made",
        "Sources/ClinicSync/LocalAPI/ProgramTokens.swift": "a directory, as a lock for commands",
        "Sources/ClinicSync/Runtime/FileSuspicion.swift": "an empty note beside the database",
        "Sources/ClinicSync/Runtime/LockHolder.swift": "files of /proc",
        "Sources/ClinicSync/Storage/Backup/DatabaseCopy.swift": "a copy that no connection has open, and its folder",
        "Sources/ClinicSync/Storage/Backup/FileEpoch.swift": "the witness file beside the database",
        "Sources/ClinicSync/Storage/Log/NumberWitness.swift": "the witness file beside the database",
        "Sources/ClinicSync/Storage/Members/StorePlace.swift": "the ids of machine and boot",
        "Sources/ClinicSync/Storage/SQLite/StaleLog.swift":
            "the write-ahead log, on which SQLite has no locks, before the database is opened",
        "Sources/ClinicSync/Storage/Store/DatabaseFileMode.swift": "a database that is not there yet, to set its mode",
        "Sources/ClinicSync/Storage/Store/SQLiteReplicaStore.swift":
            "a database that is not there yet, to set its mode",
        "Sources/ClinicSync/Storage/Transaction/StoreDatabase.swift": "the copy of a database, which is not there yet",
        "Sources/clinic-node/Bench/BenchFiles.swift": "databases that no process has open",
        "Sources/clinic-node/Bench/JoinBenchmark.swift": "the database of a node that has stopped",
        "Sources/clinic-node/Bench/ChildProcess.swift": "the output of a process",
        "Sources/clinic-node/Bench/FileWatch.swift":
            "the shared memory of a node's database, which this process opens afterwards and only here",
        "Sources/clinic-node/Bench/NodeProcess.swift": "the log of a process, and files of /proc",
        "Sources/clinic-node/Commands/WatchCommand.swift": "the file that an option names",
        "Sources/clinic-node/PasswordPrompt.swift": "the file that an option names",
    ]

    private static let openings = [
        "O_RDONLY", "O_RDWR", "O_WRONLY", "O_PATH", "fopen(", "FileHandle(", ".contents(atPath:", "Data(contentsOf",
        "String(contentsOf", "FileDescriptor.open", "copyItem(", "replaceItem", "createFile(",
    ]

    /// What opens a file in this line; `nil` for nothing.
    static func opening(in line: String) -> String? { self.openings.first { line.contains($0) } }

    @Test(
        "the rule sees what opens a file",
        arguments: [
            "let descriptor = open(path, O_RDONLY | O_CLOEXEC)", "let data = try Data(contentsOf: url)",
            "guard let bytes = FileManager.default.contents(atPath: path) else { return }", "fopen(path, \"r\")",
            "let handle = FileHandle(forReadingAtPath: path)", "try manager.copyItem(at: a, to: b)",
        ]
    )
    func sees(line: String) {
        #expect(RawFileTests.opening(in: line) != nil)
        #expect(RawFileTests.opening(in: "let connection = try Connection(db)") == nil)
        #expect(RawFileTests.opening(in: "bytes.append(contentsOf: more)") == nil)
    }

    @Test("only named files of the sources open files, and none of them a database that may be open")
    func sources() throws {
        let folders = ["Sources/ClinicSync", "Sources/clinic-node", "Sources/ClinicSyncDemo"]
        var found: Set<String> = []
        for file in try SourceFile.all(in: folders) {
            for (number, line) in file.code {
                guard let opening = RawFileTests.opening(in: line) else { continue }
                found.insert(file.path)
                let isListed = RawFileTests.exceptions[file.path] != nil
                #expect(
                    isListed,
                    "\(file.path):\(number) opens a file by \(opening): say in the list which, if no database"
                )
            }
        }
        #expect(Set(RawFileTests.exceptions.keys).subtracting(found) == [], "files of the list open none any more")
    }
}
