import Foundation
import Testing

/// Three nodes as people run them: processes, their commands, and `sqlite3`.
@Suite(.timeLimit(.minutes(2)), .serialized) struct ClusterTests {
    private func sqlite3(_ data: String, _ sql: String) async throws {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = ["sqlite3", "-bail", "-cmd", ".timeout 10000", data + "/clinic.db"]
        let input = FileManager.default.temporaryDirectory.appendingPathComponent("sql-" + UUID().uuidString)
        try Data(sql.utf8).write(to: input)
        defer { try? FileManager.default.removeItem(at: input) }
        process.standardInput = try FileHandle(forReadingFrom: input)
        let status = try await withCheckedThrowingContinuation {
            (continuation: CheckedContinuation<Int32, any Error>) in
            process.terminationHandler = { continuation.resume(returning: $0.terminationStatus) }
            do { try process.run() } catch { continuation.resume(throwing: error) }
        }
        try #require(status == 0, "\(sql)")
    }

    /// The content of a database, or the bytes of another file.
    private func content(of data: String, isDamaged: Bool) async throws -> Data {
        if isDamaged { return try Data(contentsOf: URL(fileURLWithPath: data + "/clinic.db")) }
        let dump = data + "/dump.sql"
        try await self.sqlite3(data, ".output '\(dump)'\n.dump")
        return try Data(contentsOf: URL(fileURLWithPath: dump))
    }

    private func digests(_ binary: Binary, _ paths: [String]) async throws -> [String] {
        var digests: [String] = []
        for path in paths { digests.append(try await binary.run(["digest", "--data", path, "--json"]).output) }
        return digests
    }

    @Test("three processes written to by sqlite3, one of them killed and started again, end equal")
    func threeProcesses() async throws {
        let binary = try Binary()
        let paths = ["a", "b", "c"].map { binary.data($0) }
        #expect(try await binary.run(["init", "--data", paths[0], "--name", "a"]).status == 0)
        var agents = [try await Agent(binary, data: paths[0])]
        let code = try await binary.run(["invite", "--data", paths[0], "--uses", "2"]).output
            .trimmingCharacters(in: .newlines)
        for path in paths.dropFirst() {
            #expect(try await binary.run(["join", code, "--data", path]).status == 0)
            agents.append(try await Agent(binary, data: path))
        }
        func write(_ round: Int) async throws {
            for (index, path) in paths.enumerated() {
                try await self.sqlite3(
                    path,
                    """
                    INSERT INTO patients(id, fullName) VALUES ('p\(round)-\(index)', 'Ana');
                    BEGIN IMMEDIATE;
                    INSERT INTO patient_bills(id, patientId, invoiceNumber, billDate, totalAmount, status)
                        VALUES ('b\(round)-\(index)', 'p\(round)-\(index)', 'I\(round)-\(index)', 'd', 1.5, 'Paid');
                    INSERT INTO bill_items(billId, description, unitPrice, itemTotal)
                        VALUES ('b\(round)-\(index)', 'ECG', 1.5, 1.5);
                    COMMIT;
                    UPDATE clinic_services SET selectionCount = selectionCount + 1;
                    """
                )
            }
        }
        try await write(0)
        // The node is killed, so it flushes nothing. A program writes its file while the node is down.
        _ = await agents[1].stop(SIGKILL)
        try await write(1)
        agents[1] = try await Agent(binary, data: paths[1])
        try await write(2)
        // The node that was killed may still be looking for the host.
        try await Binary.wait { try await binary.run(["sync", "--data", paths[2]]).status == 0 }
        // Another process proved the tables equal; the files show that they are.
        let digests = try await self.digests(binary, paths)
        #expect(Set(digests).count == 1, "\(digests)")
        #expect(digests[0].contains("\"patients\""))
        for agent in agents { #expect(await agent.stop() == 0) }
        #expect(try await self.digests(binary, paths) == digests)
        let tables = try #require(
            try JSONSerialization.jsonObject(with: Data(digests[0].utf8)) as? [String: Any]
        )["tables"]
        let rows = (tables as? [[String: Any]])?.first { $0["name"] as? String == "bill_items" }?["rows"] as? Int
        #expect(rows == 9)
        try binary.clean()
    }

    @Test("SIGTERM ends a node with connections and changes within two seconds")
    func graceful() async throws {
        let binary = try Binary()
        let (host, client) = (binary.data("a"), binary.data("b"))
        #expect(try await binary.run(["init", "--data", host]).status == 0)
        let hostAgent = try await Agent(binary, data: host)
        let code = try await binary.run(["invite", "--data", host]).output.trimmingCharacters(in: .newlines)
        #expect(try await binary.run(["join", code, "--data", client]).status == 0)
        let clientAgent = try await Agent(binary, data: client)
        try await self.sqlite3(host, "INSERT INTO patients(id) VALUES ('p');")
        try await Binary.wait { try await binary.run(["sync", "--data", client]).status == 0 }
        for agent in [clientAgent, hostAgent] {
            let clock = ContinuousClock()
            let begun = clock.now
            #expect(await agent.stop() == 0)
            #expect(clock.now - begun < .seconds(2))
            if agent === clientAgent { try await self.expectAlone(binary, host) }
        }
        try binary.clean()
    }

    /// Checks that a host whose only client was stopped says so everywhere.
    private func expectAlone(_ binary: Binary, _ host: String) async throws {
        let words = "not connected"
        try await Binary.wait { try await binary.run(["sync", "--data", host]).errors.contains(words) }
        for flags in [[], ["--reachable"]] {
            let sync = try await binary.run(["sync", "--data", host, "--json"] + flags)
            #expect(sync.status == 1)
            #expect(sync.output.contains(#""verdict":"alone""#) && sync.output.contains(words), "\(sync.output)")
        }
        let status = try await binary.run(["status", "--data", host])
        #expect(status.output.contains("verdict") && status.output.contains("alone, "), "\(status.output)")
    }

    @Test("a database of a newer version, a damaged one and a foreign one are refused in one sentence and left alone")
    func unusableDatabases() async throws {
        let cases: [(what: String, said: String)] = [
            ("newer", "newer"), ("damaged", "damaged"), ("foreign", "another"),
        ]
        for (what, said) in cases {
            let binary = try Binary()
            let data = binary.data()
            _ = try await binary.run(["init", "--data", data])
            let file = URL(fileURLWithPath: data + "/clinic.db")
            switch what {
            case "newer": try await self.sqlite3(data, "INSERT INTO grdb_migrations VALUES ('m9999_future');")
            case "damaged": try Data(repeating: 0x41, count: 65_536).write(to: file)
            default:
                let other = binary.data("other")
                _ = try await binary.run(["init", "--data", other])
                try FileManager.default.removeItem(at: file)
                try FileManager.default.copyItem(atPath: other + "/clinic.db", toPath: file.path)
            }
            let before = try await self.content(of: data, isDamaged: what == "damaged")
            let outcome = try await binary.run(
                ["run", "--data", data, "--listen", "127.0.0.1:0", "--api", "127.0.0.1:0"]
            )
            #expect(outcome.status == 1, "\(what): \(outcome.errors)")
            let sentence = outcome.errors.split(separator: "\n").last.map(String.init) ?? ""
            #expect(sentence.hasPrefix("Error: ") && sentence.contains(said), "\(what): \(outcome.errors)")
            #expect(try await self.content(of: data, isDamaged: what == "damaged") == before, "\(what)")
            try binary.clean()
        }
    }

    @Test(
        "on a full disk a node says so, goes on when there is room, and loses nothing",
        .enabled(if: ClusterTests.mayMount)
    )
    func fullDisk() async throws {
        let binary = try Binary()
        let data = binary.data()
        let program = try #require(try binary.makeProcess([]).executableURL?.path)
        // Runs in a mount namespace that ends with the shell.
        let script = """
            mkdir -p '\(data)' && mount -t tmpfs -o size=3m none '\(data)' || exit 99
            '\(program)' init --data '\(data)/node' >/dev/null || exit 98
            sqlite3 '\(data)/node/clinic.db' "INSERT INTO patients(id) VALUES ('written')" || exit 97
            head -c 6m /dev/zero > '\(data)/filler' 2>/dev/null
            '\(program)' run --data '\(data)/node' --listen 127.0.0.1:0 --api 127.0.0.1:0 >'\(data).out' 2>'\(data).err' &
            until grep -q 'disk is full' '\(data).err'; do sleep 0.02; done
            rm '\(data)/filler'
            until grep -q '^ready' '\(data).err'; do sleep 0.02; done
            kill $! && wait $!
            echo "status $?" >&2
            sqlite3 '\(data)/node/clinic.db' 'PRAGMA integrity_check; SELECT id FROM patients'
            """
        let outcome = try await binary.shell("unshare", ["-m", "sh", "-c", script])
        #expect(outcome.errors.contains("status 0"), "\(outcome.errors)")
        #expect(outcome.output.contains("ok\nwritten"), "\(outcome.output)")
        try binary.clean()
    }

    /// Whether this account may mount a small disk in its own namespace.
    ///
    /// Otherwise the test is skipped.
    static let mayMount: Bool = {
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
        process.arguments = ["unshare", "-m", "mount", "-t", "tmpfs", "none", "/mnt"]
        process.standardError = FileHandle.nullDevice
        do { try process.run() } catch { return false }
        process.waitUntilExit()
        return process.terminationStatus == 0
    }()
}
