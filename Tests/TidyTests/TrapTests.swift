import Foundation
import Testing

/// A kind of code that ends the process when a number is not as expected.
///
/// The rules see lines, and know no types. So each rule lets pass what cannot trap whatever a peer or a table says:
/// places of columns, sizes in memory, bytes, constants.
enum TrapRule: String, CaseIterable, Sendable {
    /// `Int(x)`, `UInt32(x)` and the like, without a label: they trap when `x` does not fit.
    case conversion
    /// `x + 1` and `x - 1`: they trap at the end of the range, and `&+` and `&-` do not.
    case successor
    /// `x!`, `as!`, `try!`.
    case unwrapping
    /// `precondition`, `fatalError` and the like.
    case trap
    /// An element at a number that was just read from a table.
    case element

    /// The code in a line that breaks the rule.
    func findings(in line: String) -> [String] {
        switch self {
        case .conversion:
            line.matches(of: /\bU?Int(?:8|16|32|64)?\(/).compactMap { match in
                let argument = TrapRule.argument(line[match.range.upperBound...])
                return TrapRule.isTame(argument) ? nil : "\(match.0)\(argument))"
            }
        case .successor:
            line.matches(of: /([\w$.)\]]+) ([+-]) 1(?![\w.])/).compactMap { match in
                TrapRule.isTame(number: match.1) ? nil : String(match.0)
            }
        case .unwrapping: line.matches(of: /[\w)\]}]!(?=[\s.,;:)\[\]]|$)/).map { String($0.0) }
        case .trap:
            line.matches(of: /\b(?:precondition|preconditionFailure|fatalError|assert|assertionFailure)\(/)
                .map { String($0.0) }
        case .element:
            line.matches(of: /[\w.]*\[[^\[\]]*(?:\brow|\bstatement|\$0)\.(?:int|int64|unsigned)\(\w+\)/)
                .map { String($0.0) }
        }
    }

    /// The text up to the parenthesis that closes the call.
    private static func argument(_ rest: Substring) -> Substring {
        var depth = 1
        for index in rest.indices {
            if rest[index] == "(" { depth += 1 }
            if rest[index] == ")" { depth -= 1 }
            if depth == 0 { return rest[..<index] }
        }
        return rest
    }

    private static func isTame(_ argument: Substring) -> Bool {
        // A label that says what happens to a number that does not fit; a literal; no argument.
        if argument.starts(with: /(?:exactly|clamping|truncatingIfNeeded|bitPattern|ascii|littleEndian|bigEndian):/) {
            return true
        }
        if argument.wholeMatch(of: /[0-9_x]*/) != nil { return true }
        // The place of a column or of an element: small, and not negative.
        if argument.wholeMatch(of: /(?:[\w$]+\.)*(?:slot|keySlot|place|\$[01]|index|offset)(?: \+ [12])?/) != nil {
            return true
        }
        if argument.starts(with: /self\.(?:index|place)\(of:/) { return true }
        // A size in memory, and a constant.
        if argument.wholeMatch(of: /(?:[\w$]+\.)*(?:count|slotCount|remaining|\w*[mM]ax|limit)(?: - 1)?/) != nil {
            return true
        }
        if argument.wholeMatch(of: /[A-Z][A-Z0-9_]*/) != nil { return true }
        // A byte, or a number whose type has 32 bits at most, made wider.
        return argument.wholeMatch(
            of: /byte(?: & 0x7[fF])?|try reader\.byte\(\)|bytes\[offset\]|digit|character|counter|stored|port/
        ) != nil
            || argument.wholeMatch(of: /(?:[\w.]+\.)?(?:schemaVersion|incarnation|protocolVersion|creditBytes)/) != nil
    }

    /// Whether a number with this name is a size in memory, a place, a count of tries, or a constant.
    private static func isTame(number: Substring) -> Bool {
        guard let name = number.split(separator: ".").last else { return false }
        let names: Set<Substring> = [
            "count", "index", "slot", "keySlot", "middle", "offset", "end", "attempt", "failures", "level", "max",
        ]
        return names.contains(name) || name.hasSuffix("Max") || name.allSatisfy { $0.isNumber || $0 == "_" }
    }
}

@Suite("Nothing that a peer or a table says ends the process")
struct TrapTests {
    /// The folders through which such numbers pass.
    private static let folders = [
        "Model", "Core", "Wire", "Storage", "Clinic", "LocalAPI", "Runtime", "Discovery", "Transport", "WebSocket",
        "Security", "Telemetry",
    ].map { "Sources/ClinicSync/" + $0 }

    /// Code that breaks a rule with a reason, by file.
    private static let exceptions: [String: [(code: Set<String>, reason: String)]] = [
        "Clinic/Passwords/BcryptHash.swift": [(["Int(fields[2])"], text)],
        "Clinic/Passwords/ScryptHash.swift": [
            (["Int(value.dropFirst(name.count))"], text), (["precondition("], "the callers check it, with no row"),
        ],
        "Core/Data/WriteGate.swift": [(["preconditionFailure("], caller)],
        "Core/Election/ElectionStateMachine.swift": [
            (
                ["UInt64(max((time - self.startedAt) / .seconds(60), 0))"],
                "minutes of this process by the monotonic clock"
            ),
            (["UInt32(UInt64.bitWidth - minutes.leadingZeroBitCount)"], "from 0 to 64"),
        ],
        "Core/Node/NodeStateMachine.swift": [(["preconditionFailure("], caller)],
        "Core/Reconciliation/RoundStateMachine.swift": [(["precondition("], caller)],
        "Core/Replication/ReplicationStateMachine.swift": [
            (["Int(UInt32(clamping: configuration.creditBytes))"], wider)
        ],
        "Core/Time/ClinicClock.swift": [(["Int64(tolerance / .milliseconds(1))"], "a constant")],
        "Core/Time/ClockOffsetEstimator.swift": [(["Int64(roundTrip / .milliseconds(2))"], "by the monotonic clock")],
        "Core/Values/SplitMix64.swift": [
            (["UInt64(max(limit / .microseconds(1), 0))"], "limits of time are constants"),
            (["Int64(self.next().multipliedFullWidth(by: microseconds).high)"], "smaller than a limit of time"),
        ],
        "Discovery/AvahiSignals.swift": [(["AVAHI_ADDRESS_STR_MAX) + 1"], "a constant")],
        "Discovery/ServiceAddress.swift": [(["UInt16(first, radix: 16)"], text)],
        "LocalAPI/Dashboard/DashboardAccess.swift": [
            (["Int64(Date().timeIntervalSince1970)"], clock), (["Int64(parts[1])"], text),
            (["UInt8(digits[$0] << 4 | digits[$0 + 1])", "$0 + 1"], "digits, of which there are 64"),
        ],
        "LocalAPI/EventBroadcaster.swift": [(["precondition("], caller)],
        "LocalAPI/LocalAPIClient.swift": [(["Int(head.status.code)"], "three digits")],
        "LocalAPI/LocalAPIRoutes.swift": [(["Int(text)", "UInt64(text)"], text)],
        "LocalAPI/LocalAPIRoutes+Dashboard.swift": [(["Int(DashboardAccess.linkSeconds)"], "a constant")],
        "LocalAPI/LocalAPIRoutes+Sessions.swift": [
            (["Int((time / .seconds(1)).rounded(.up))"], "the time of a lock, at most a quarter of an hour")
        ],
        "LocalAPI/RequestRate.swift": [
            (
                ["Int(wait.components.seconds)", "wait.components.seconds) + 1"],
                "the time until the next token, by constants"
            )
        ],
        "Model/Base32.swift": [
            (
                [
                    "UInt8(pending >> UInt32(bits) & 31)", "UInt32(bits)", "UInt8(pending << UInt32(5 - bits) & 31)",
                    "UInt32(5 - bits)",
                ],
                "five bits of a number, and their place"
            )
        ],
        "Model/Bounds.swift": [(["term + 1"], "below the largest")],
        "Model/HybridTimestamp.swift": [
            (["UInt64(Bounds.milliseconds(clamping: milliseconds))", "Int64(self.rawValue >> 16)"], "48 bits"),
            (["self.rawValue + 1"], "below the largest"),
        ],
        "Runtime/CommitWatcher.swift": [
            (["Int(bytes.loadUnaligned(fromByteOffset: offset + 12, as: UInt32.self))"], wider)
        ],
        "Runtime/Control/NodeStatusControl.swift": [(["Int(uptime.components.seconds)"], "by the monotonic clock")],
        "Runtime/Inbox.swift": [(["precondition("], caller)],
        "Runtime/LatencyLog.swift": [(["Int(LatencyLog.interval.components.seconds)"], "a constant")],
        "Runtime/LockHolder.swift": [(["Int(words[4])", "Int(words[6])", "Int(words[7])"], text)],
        "Runtime/NodeClock.swift": [(["Int64(Date().timeIntervalSince1970 * 1_000)"], clock)],
        "Security/CertificateProfile.swift": [
            (
                [
                    "Int64(self.notValidBefore.timeIntervalSince1970 * 1_000)",
                    "Int64(self.notValidAfter.timeIntervalSince1970 * 1_000)",
                ],
                "a certificate's date has a year of four digits"
            )
        ],
        "Security/MemberRegister.swift": [([") + 1"], "below the largest")],
        "Security/ClinicSignature.swift": [(["Int(self.integer(1))", "Int(self.integer(2))"], "one or two bytes")],
        "Security/Revocation.swift": [(["Int(try reader.integer(2))"], "two bytes")],
        "Security/SigningKey.swift": [(["preconditionFailure("], caller)],
        "Security/StatementReader.swift": [(["UInt64(8 * (count - 1 - $0))"], "the place of a bit")],
        "Security/TrustStore+Epoch.swift": [([") + 1"], "below the largest")],
        "Security/TrustStore+Signing.swift": [([") + 1"], "below the largest")],
        "Storage/Backup/FileRestore.swift": [(["Int64($0.dropFirst(prefix.count))"], text)],
        "Storage/Collect/MissingTables.swift": [(["Int64(pair[1])"], text)],
        "Storage/Events/EventLog.swift": [
            (
                ["UInt64(Bounds.milliseconds(clamping: wallMilliseconds))", "Int64(start)"],
                "clamped, or read as a position"
            )
        ],
        "Storage/Journal/Conflict.swift": [(["first + 1"], column), (["UInt32(parts[1])"], text)],
        "Storage/Journal/JournalReading.swift": [(["first + 1"], column)],
        "Storage/Journal/OldJournal.swift": [(["self.rows.plans[row.int(0)"], lookUp)],
        "Storage/Log/BatchLog.swift": [(["2) + 1"], "a chunk's number, read as such")],
        "Storage/Members/MigrationGate.swift": [(["Int64(version)"], wider)],
        "Storage/Members/StorePlace.swift": [(["UInt64(information.st_ino)"], "the same type")],
        "Storage/Plans/TableSQL.swift": [(["precondition("], caller)],
        "Storage/Plans/UniqueRule.swift": [(["$0 + 1"], "the place of a byte")],
        "Storage/Record/ByteReader.swift": [(["UInt64(self.remaining / size)"], "sizes in memory")],
        "Storage/Rows/Marks.swift": [(["plans[row.int(0)"], lookUp)],
        "Storage/Rows/ProgramRows.swift": [(["preconditionFailure("], caller)],
        "Storage/Rows/RowMeta.swift": [(["UInt64(group.version.origin)"], "an author's number, read as such")],
        "Storage/Rows/RowTable.swift": [(["totals[row.int(0)"], lookUp)],
        "Storage/Rows/Shadows.swift": [(["self.state.counts[row.int(0)"], lookUp)],
        "Storage/Rows/Tombstones.swift": [(["self.counts[row.int(0)"], lookUp)],
        "Storage/SQLite/StoreError.swift": [(["Int32(error.extendedResultCode.rawValue)"], "the same type")],
        "Storage/SQLite/WriteTransaction.swift": [
            (["precondition("], caller),
            (
                [
                    "Int(sqlite3_changes(self.connection.handle))", "Int(self.int64(column))",
                    "Int(sqlite3_column_bytes(self.pointer, column))",
                ],
                wider
            ), (["Int(busyTimeoutSeconds * 1_000)"], "a constant"),
        ],
        "Storage/Schema/ClinicMigrator.swift": [(["UInt32(name.drop { !$0.isNumber }.prefix { $0.isNumber })"], text)],
        "Storage/Schema/ClinicTables.swift": [(["Int(self.db.lastInsertedRowID)"], "the same size")],
        "Storage/Store/ReplicaReader+Events.swift": [(["self.plans[row.int(2)"], lookUp)],
        "Storage/Store/AgentTableReading.swift": [(["preconditionFailure("], caller)],
        "Storage/Store/StoreSummary.swift": [(["plans[row.int(0)"], lookUp)],
        "Storage/Store/ReplicaWriter.swift": [(["preconditionFailure("], caller)],
        "Storage/Store/SQLiteReplicaStore.swift": [(["Int64(Date().timeIntervalSince1970 * 1_000)"], clock)],
        "Storage/Store/StorageExecutor.swift": [(["preconditionFailure("], caller)],
        "Transport/CloseCodeMapping.swift": [
            (
                ["Int(CloseCodeMapping.base + reason.rawValue)", "UInt16(webSocketErrorCode: code)"],
                "a case of an enumeration of this program; a code of two bytes"
            )
        ],
        "Transport/ConnectionRegistry.swift": [(["1] - 1"], "a number of connections of this process")],
        "Transport/PeerConnection.swift": [(["state.unconsumed - 1"], "a number of messages of this process")],
        "Wire/FrameRule.swift": [
            (["UInt8(tag)", "UInt8(tag & 0x7F | 0x80)", "UInt8(tag >> 7)"], "the numbers of fields are constants"),
            (["preconditionFailure("], caller),
        ],
        "Wire/ProtocolBuffers.swift": [
            (["Int(value.rawValue)"], "a case of an enumeration of this program"), (["preconditionFailure("], caller),
        ],
    ]

    private static let text = "reads a text; nil when it is no number"
    private static let caller = "a fault of the code that calls, which no number of a peer or a table can cause"
    private static let wider = "a number of at most as many bits becomes wider"
    private static let clock = "the time of the operating system"
    private static let column = "the place of a column"
    private static let lookUp = "looks up a key; nil when there is none"

    private struct Finding: Hashable {
        var file: String
        var code: String
    }

    /// What breaks the rules, with the places.
    private func findings() throws -> [Finding: [String]] {
        // Foundation's engine is the fast one; it passes over the many lines that break no rule.
        let candidate = try NSRegularExpression(
            pattern: #"Int(8|16|32|64)?\(| [+-] 1\b|[\w)\]}]!|precondition|fatalError|assert|\.(int|int64|unsigned)\("#
        )
        var findings: [Finding: [String]] = [:]
        for file in try SourceFile.all(in: TrapTests.folders) where !file.path.contains("/SampleData/") {
            let name = String(file.path.dropFirst("Sources/ClinicSync/".count))
            for (index, line) in SwiftScanner.code(of: file.lines.joined(separator: "\n")).enumerated() {
                let range = NSRange(location: 0, length: line.utf16.count)
                guard candidate.firstMatch(in: line, range: range) != nil else { continue }
                for code in TrapRule.allCases.flatMap({ $0.findings(in: line) }) {
                    findings[Finding(file: name, code: code), default: []].append("\(file.path):\(index + 1): \(code)")
                }
            }
        }
        return findings
    }

    private func allowed() -> Set<Finding> {
        var allowed: Set<Finding> = []
        for (file, entries) in TrapTests.exceptions {
            for entry in entries { allowed.formUnion(entry.code.map { Finding(file: file, code: $0) }) }
        }
        return allowed
    }

    @Test("no number of a peer or of a table can end the process, except where the list says why not")
    func traps() throws {
        let (found, allowed) = (try self.findings(), self.allowed())
        let unlisted = found.filter { !allowed.contains($0.key) }.flatMap(\.value).sorted()
        #expect(unlisted == [], "use exactly:, clamping:, truncatingIfNeeded:, &+, or list it with a reason")
        // The list has no exception that nobody needs.
        let unused = allowed.subtracting(found.keys).map { "\($0.file): \($0.code)" }.sorted()
        #expect(unused == [])
    }

    @Test(
        "the rules find what they are for",
        arguments: [
            ("partials.append(PartialBatch(batch: batch, nextChunk: UInt32(row.int64(2)) + 1))", TrapRule.conversion),
            ("partials.append(PartialBatch(batch: batch, nextChunk: UInt32(row.int64(2)) + 1))", .successor),
            ("term: Int(core?.term ?? 0),", .conversion), ("repairedRows: Int(last.repairedRows)", .conversion),
            ("let term = max(self.highestTerm, self.recordedTerm) + 1", .successor),
            ("return NodeEvent(named, position: oldest - 1)", .successor),
            ("var positionBefore: UInt64? { self.oldest.min().map { $0 - 1 } }", .successor),
            ("batch: BatchID(origin: self.origins[statement.int(1)], sequence: 1)", .element),
            ("let name = row[3]!", .unwrapping), ("let data = try! read()", .unwrapping),
            ("precondition(count > 0)", .trap),
        ]
    )
    func rules(line: String, rule: TrapRule) {
        #expect(!rule.findings(in: line).isEmpty)
    }
}
