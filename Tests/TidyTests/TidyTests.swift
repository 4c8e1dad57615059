import Foundation
import Testing

/// The house rules that a machine can check.
@Suite struct TidyTests {
    /// What each folder of `Sources/ClinicSync` may import beyond the standard library.
    private static let allowed: [String: Set<String>] = [
        "Model": [],
        "Core": ["ClinicSyncModel", "OrderedCollections", "DequeModule"],
        "Wire": ["ClinicSyncModel", "NIOCore", "SwiftProtobuf", "Foundation", "FoundationEssentials"],
        "Storage": [
            "ClinicSyncModel", "ClinicSyncCore", "ClinicSchema", "CSQLiteShim", "GRDB", "GRDBSQLite", "Foundation",
            "Glibc", "Synchronization",
        ],
        "WebSocket": ["NIOCore", "NIOWebSocket"],
        "Transport": [
            "ClinicSyncModel", "ClinicSyncCore", "ClinicSyncWire", "Glibc", "Security", "Logging",
            "NIOConcurrencyHelpers", "NIOCore", "NIOHTTP1", "NIOPosix", "NIOSSL", "NIOTLS", "NIOWebSocket",
        ],
        "Security": [
            "ClinicSyncModel", "Crypto", "Foundation", "Glibc", "NIOConcurrencyHelpers", "NIOSSL", "SwiftASN1", "X509",
        ],
        "Clinic": [
            "CCrypt", "ClinicSyncModel", "ClinicSyncCore", "ClinicSyncStorage", "Crypto", "CryptoExtras", "Foundation",
            "GRDB", "NIOConcurrencyHelpers", "NIOPosix",
        ],
        "Discovery": ["ClinicSyncModel", "CAvahi", "NIOConcurrencyHelpers", "Foundation", "Glibc"],
        "LocalAPI": [
            "ClinicSyncModel", "Crypto", "Foundation", "Glibc", "HTTPTypes", "Hummingbird", "HummingbirdCore",
            "Logging",
            "NIOConcurrencyHelpers", "NIOCore", "NIOHTTP1", "NIOPosix", "NIOWebSocket", "ServiceLifecycle",
        ],
        "Telemetry": ["ClinicSyncModel", "ClinicSyncCore", "Logging", "Metrics", "NIOConcurrencyHelpers"],
        "Configuration": ["ClinicSyncModel", "Foundation", "Glibc"],
        // The only folder that may import all others; it still imports no SQLite, no HTTP and no wire bytes.
        "Runtime": [
            "ClinicSyncModel", "ClinicSyncCore", "ClinicSyncStorage", "ClinicSyncClinic", "ClinicSyncDiscovery",
            "Crypto", "Dispatch",
            "Foundation", "Glibc", "Logging", "Metrics", "NIOConcurrencyHelpers", "NIOCore", "NIOPosix",
            "ServiceLifecycle",
        ],
    ]

    @Test("every folder imports only what its layer may know")
    func imports() throws {
        for file in try SourceFile.all(in: ["Sources/ClinicSync"]) {
            let folder = String(file.path.split(separator: "/")[2])
            // Files beside the folders belong to the module and import only the standard library.
            let allowed = folder.hasSuffix(".swift") ? [] : Self.allowed[folder]
            guard let allowed else {
                Issue.record("\(file.path) is in a folder that no rule knows")
                continue
            }
            for module in file.imports {
                #expect(allowed.contains(module), "\(file.path) imports \(module)")
            }
        }
    }

    @Test("the core reads no clock and no randomness, waits for nothing and logs nothing")
    func core() throws {
        let bannedWords: Set<String> = ["Date", "UUID", "Task", "await", "async", "Logger", "print"]
        let bannedMembers = [".now", ".random("]
        let files = try SourceFile.all(in: ["Sources/ClinicSync/Core", "Sources/ClinicSync/Model"])
        #expect(files.count > 20)
        for file in files {
            for (number, line) in file.code {
                let words = line.split { !$0.isLetter && !$0.isNumber && $0 != "_" }
                for word in words where bannedWords.contains(String(word)) {
                    Issue.record("\(file.path):\(number) contains \(word)")
                }
                // The core's own `now` is the injected time.
                let foreign = line.replacing("self.now", with: "")
                for member in bannedMembers where foreign.contains(member) {
                    Issue.record("\(file.path):\(number) contains \(member)")
                }
            }
        }
    }

    @Test("the core keeps nothing in an unordered dictionary")
    func ordered() throws {
        for file in try SourceFile.all(in: ["Sources/ClinicSync/Core"]) {
            for (number, line) in file.code where line.replacing("OrderedDictionary", with: "").contains("Dictionary") {
                Issue.record("\(file.path):\(number) uses Dictionary")
            }
        }
    }

    @Test("no file has more than 600 lines")
    func fileLength() throws {
        for file in try SourceFile.all(in: ["Sources", "Tests", "schema"]) {
            #expect(file.lines.count <= 600, "\(file.path) has \(file.lines.count) lines")
        }
    }

    @Test("no function has more than 70 lines, in tests 100")
    func functionLength() throws {
        for file in try SourceFile.all(in: ["Sources", "Tests", "schema"]) {
            let limit = file.path.hasPrefix("Tests/") ? 100 : 70
            for function in file.functions where function.lines > limit {
                Issue.record("\(file.path):\(function.start) has a function of \(function.lines) lines")
            }
        }
    }

    // MARK: - Engine and clinic

    /// The folders of the engine, which moves rows of any table.
    private static let engine = ["Model", "Core", "Wire", "Storage", "Discovery", "Transport", "WebSocket", "Security"]

    /// The clinic's tables whose names are no English words.
    private static let tables = [
        "medical_records", "patient_history", "patient_bills", "bill_items", "active_patient_queue", "patient_queue",
        "clinic_services", "user_sessions", "user_activity_log",
    ]

    /// The clinic's tables whose names are English words too: a comment may speak of users.
    private static let plainTables = ["patients", "appointments", "payments", "users"]

    /// The tables of the clinic that a line names.
    private static func tables(in line: String) -> [String] {
        let words = Set(line.split { !$0.isLetter && !$0.isNumber && $0 != "_" }.map(String.init))
        let plain = self.plainTables.filter { table in
            [
                "\"\(table)\"", "`\(table)", "FROM \(table)", "INTO \(table)", "UPDATE \(table)", "JOIN \(table)",
                "TABLE \(table)",
            ]
            .contains { line.contains($0) }
        }
        return self.tables.filter(words.contains) + plain
    }

    @Test("no table of the clinic is named below the target of the clinic")
    func engineKnowsNoTable() throws {
        for folder in Self.engine {
            let files = try SourceFile.all(in: ["Sources/ClinicSync/\(folder)"])
            #expect(!files.isEmpty, "there is no folder \(folder)")
            for file in files {
                for (number, line) in file.lines.enumerated() {
                    for table in Self.tables(in: String(line)) {
                        Issue.record("\(file.path):\(number + 1) names the clinic's table \(table)")
                    }
                }
            }
        }
    }

    @Test("the rule on tables sees names in code, in SQL and in comments, and lets people be users")
    func engineRuleSelfTest() {
        #expect(Self.tables(in: #"let table = "users""#) == ["users"])
        #expect(Self.tables(in: "SELECT 1 FROM users WHERE id = ?1") == ["users"])
        #expect(Self.tables(in: "/// The key in `user_sessions`.") == ["user_sessions"])
        #expect(Self.tables(in: "/// What users and patients see.") == [])
    }

    @Test("the rules see what they are meant to see")
    func selfTest() {
        let text = """
            package import Core
            @testable import struct Model.Thing
            struct A {
                // print(1)
                func long() {
                    print(2)
                }
                init() {}
            }
            """
        let file = SourceFile(path: "Sources/ClinicSync/X/A.swift", text: text)
        #expect(file.imports == ["Core", "Model"])
        #expect(file.code.filter { $0.line.contains("print(") }.map(\.number) == [6])
        #expect(file.functions.map(\.lines) == [3, 1])
    }
}
