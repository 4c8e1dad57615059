import ClinicSyncModel

/// A small generator whose numbers depend on its seed alone.
///
/// Source: Steele et al., "Fast Splittable Pseudorandom Number Generators", 2014.
struct SeededGenerator: RandomNumberGenerator {
    private var state: UInt64

    init(seed: UInt64) { self.state = seed }

    mutating func next() -> UInt64 {
        self.state &+= 0x9E37_79B9_7F4A_7C15
        var mixed = self.state
        mixed = (mixed ^ (mixed >> 30)) &* 0xBF58_476D_1CE4_E5B9
        mixed = (mixed ^ (mixed >> 27)) &* 0x94D0_49BB_1331_11EB
        return mixed ^ (mixed >> 31)
    }
}

/// Valid messages of all kinds with random contents.
struct RandomMessages {
    var generator: SeededGenerator

    init(seed: UInt64) { self.generator = SeededGenerator(seed: seed) }

    mutating func next() -> Message {
        switch Int.random(in: 2...27, using: &self.generator) {
        case 2: .hello(self.hello())
        case 3:
            .goodbye(
                CloseReason.allCases.randomElement(using: &self.generator) ?? .replaced,
                retryAfterMilliseconds: Bool.random(using: &self.generator) ? nil : UInt32(max(1, self.number(32)))
            )
        case 4: .ping(Ping(id: self.generator.next()))
        case 5: .pong(Pong(id: self.generator.next(), wallMilliseconds: Int64(self.number(42))))
        case 6: .chunk(self.chunk())
        case 7:
            .acknowledge(
                Acknowledgement(
                    applied: self.vector().entries,
                    creditBytes: UInt32(self.number(32)),
                    wanted: (0..<self.count()).map { _ in
                        LostChunk(batch: self.batch(), index: UInt32(self.number(23)))
                    },
                    unproven: (0..<self.count()).map { _ in self.node() },
                    probe: self.number(1) == 0 ? nil : self.probe()
                )
            )
        case 8: .digests(self.digests())
        case 9: .rowHashes(self.rowHashes())
        case 10: .rowStates(self.rowStates())
        case 11: .syncRequest(SyncRequest(id: self.generator.next(), table: self.optional { $0.text() }))
        case 12: .verifyRequest(SyncRequest(id: self.generator.next(), table: self.optional { $0.text() }))
        case 13:
            .verifyReport(VerifyReport(id: self.generator.next(), result: self.result(), repairedRows: self.number(40)))
        case 14: .syncReport(self.syncReport())
        case 15: .revocation([1] + self.bytes())
        case 16: .hostReport(self.hostReport())
        case 17: .handOver
        case 18: .transferRequest(self.node())
        case 19: .loginRequest(id: self.generator.next(), self.login())
        case 20: .memberProof([[1] + self.bytes(), [2]])
        case 21: .state(.offer(StateOffer(rows: self.number(40), bytes: self.number(40))))
        case 22: .state(.request(self.stateRequest()))
        case 23: .state(.page(self.statePage()))
        case 25:
            .stateRanges(
                StateRangePage(
                    round: self.generator.next(),
                    table: self.text(),
                    ranges: self.bytes(),
                    isTooLong: Bool.random(using: &self.generator)
                )
            )
        case 26:
            .stateWants(
                StateWants(
                    round: self.generator.next(),
                    table: self.text(),
                    ids: (0..<self.count()).map { _ in self.generator.next() }
                )
            )
        case 24: .state(.end(StateEnd(id: self.generator.next(), vector: self.vector(), through: self.vector())))
        default:
            .loginReply(
                LoginReply(
                    id: self.generator.next(),
                    outcome: self.loginOutcome(),
                    batch: self.optional { $0.batch() }
                )
            )
        }
    }

    private mutating func stateRequest() -> StateRequest {
        StateRequest(
            id: self.generator.next(),
            vector: self.vector(),
            after: self.optional { StateCursor(table: $0.text(), key: $0.optional { .string($0.text()) }) },
            creditBytes: UInt32(self.number(32))
        )
    }

    private mutating func statePage() -> StatePage {
        StatePage(
            id: self.generator.next(),
            vector: self.vector(),
            table: self.text(),
            through: self.optional { .blob($0.bytes()) },
            checksum: self.generator.next(),
            payload: self.bytes(),
            rows: UInt32(self.number(32)),
            isLast: Bool.random(using: &self.generator),
            forgotten: self.vector(),
            lacksRows: Bool.random(using: &self.generator)
        )
    }

    private mutating func login() -> LoginRequest {
        LoginRequest(
            sessionID: "s" + self.text(),
            userID: Bool.random(using: &self.generator) ? .string(self.text()) : .blob([0, 0xFF, 0xC3, 0x28]),
            username: self.text(),
            deviceID: self.text(),
            deviceName: self.text(),
            tokenHash: (0..<32).map { _ in UInt8(truncatingIfNeeded: self.generator.next()) },
            loginMilliseconds: Int64(self.number(42)),
            isForced: Bool.random(using: &self.generator)
        )
    }

    private mutating func loginOutcome() -> LoginOutcome {
        switch Int.random(in: 0...3, using: &self.generator) {
        case 0: .granted(isProvisional: Bool.random(using: &self.generator))
        case 1: .refused
        case 2: .unavailable
        default:
            .conflict(
                (0..<self.count()).map { _ in
                    SessionHolder(
                        sessionID: self.text(),
                        deviceID: self.text(),
                        deviceName: self.text(),
                        loginTime: self.text(),
                        lastActivity: self.text()
                    )
                }
            )
        }
    }

    private mutating func number(_ bits: UInt64) -> UInt64 {
        self.generator.next() >> (64 - UInt64.random(in: 1...bits, using: &self.generator))
    }

    private mutating func count(_ max: Int = 6) -> Int { Int.random(in: 0...max, using: &self.generator) }

    private mutating func bytes(_ max: Int = 40) -> [UInt8] {
        (0..<self.count(max)).map { _ in UInt8(truncatingIfNeeded: self.generator.next()) }
    }

    private mutating func text() -> String {
        let letters = Array("aé漢🩺\0 z'")
        return String((0..<self.count()).map { _ in letters[self.count(letters.count - 1)] })
    }

    private mutating func optional<T>(_ make: (inout RandomMessages) -> T) -> T? {
        Bool.random(using: &self.generator) ? make(&self) : nil
    }

    private mutating func node() -> NodeID { NodeID(using: &self.generator) }

    private mutating func vector() -> VersionVector {
        VersionVector(
            (0..<self.count()).map { _ in
                let incarnation = Bool.random(using: &self.generator) ? 0 : UInt32(self.number(32))
                return .init(
                    origin: Origin(node: self.node(), incarnation: incarnation),
                    sequence: self.number(47) + 1
                )
            }
        )
    }

    private mutating func batch() -> BatchID {
        BatchID(origin: Origin(node: self.node(), incarnation: UInt32(self.number(32))), sequence: self.number(47) + 1)
    }

    private mutating func digest() -> Digest { Digest(high: self.generator.next(), low: self.generator.next()) }

    private mutating func value() -> SQLiteValue {
        switch self.count(4) {
        case 0: .null
        case 1: .integer(Int64(bitPattern: self.generator.next()))
        case 2: .real(self.generator.next())
        case 3: .text(self.bytes())
        default: .blob(self.bytes())
        }
    }

    private mutating func result() -> ReconciliationResult {
        ReconciliationResult.allCases[self.count(3)]
    }

    private mutating func hello() -> Hello {
        Hello(
            protocolVersion: UInt32(self.number(32)),
            clinicID: self.text(),
            nodeName: self.text(),
            softwareVersion: self.text(),
            schemaVersion: UInt32(self.number(32)),
            addresses: self.addresses(),
            hostReport: self.hostReport(),
            wallMilliseconds: Int64(self.number(42)),
            vector: self.vector(),
            partials: (0..<self.count()).map { _ in
                PartialBatch(
                    batch: self.batch(),
                    nextChunk: UInt32(self.number(23)),
                    content: .init(first: self.number(63), timestamp: self.number(63), newest: self.number(63))
                )
            },
            creditBytes: UInt32(self.number(32)),
            runID: self.generator.next(),
            knowsEpochs: true,
            epoch: self.epoch(),
            gathersProbes: self.number(1) == 1,
            reportsMembers: self.number(1) == 1
        )
    }

    private mutating func probe() -> ProbeAnswers {
        ProbeAnswers(
            prober: self.node(),
            number: Int64(bitPattern: self.generator.next()),
            answers: (0..<self.count()).map { _ in
                ProbeAnswers.Answer(node: self.node(), milliseconds: Int64(self.number(42)))
            },
            connected: (0..<self.count()).map { _ in self.node() }
        )
    }

    private mutating func epoch() -> Epoch? {
        let body = Epoch.body(
            clinic: self.node(),
            number: 1 + self.number(62),
            node: self.node(),
            decidedAt: Int64(self.number(42)),
            batches: self.number(62)
        )
        return self.count(1) == 0 ? nil : Epoch(statement: body + self.bytes())
    }

    private mutating func addresses() -> [String] { (0..<self.count(4)).map { _ in self.text() } }

    private mutating func candidacy() -> Candidacy {
        Candidacy(
            priority: UInt32(self.number(32)),
            coverage: self.generator.next(),
            uptimeBucket: UInt32(self.number(32)),
            node: self.node()
        )
    }

    private mutating func hostReport() -> HostReport {
        let own = self.candidacy()
        let role = MemberRole.allCases[self.count(2)]
        let term = self.number(47) + 1
        let reigning = role == .host ? own : self.candidacy()
        return HostReport(
            role: role,
            term: term,
            reign: role == .searching ? nil : Reign(term: max(term / 2, 1), candidacy: reigning),
            addresses: self.addresses(),
            candidacy: own,
            successors: (0..<self.count(3)).map { _ in
                NodeAddresses(node: self.node(), addresses: self.addresses())
            },
            lockedSince: Bool.random(using: &self.generator) ? Int64(self.number(42)) + 1 : nil,
            lockedPeers: (0..<self.count(2)).map { _ in
                HostReport.LockedPeer(node: self.node(), since: Int64(self.number(42)))
            }
        )
    }

    private mutating func chunk() -> BatchChunk {
        let index = Bool.random(using: &self.generator) ? 0 : UInt32(self.number(23)) + 1
        let header = BatchHeader(
            timestamp: HybridTimestamp(rawValue: self.number(58)),
            dependencies: self.vector(),
            schemaVersion: UInt32(self.number(32))
        )
        return BatchChunk(
            batch: self.batch(),
            index: index,
            header: index == 0 ? header : nil,
            isLast: Bool.random(using: &self.generator),
            checksum: self.generator.next(),
            payload: self.bytes(400)
        )
    }

    private mutating func digests() -> DigestReport {
        DigestReport(
            round: self.generator.next(),
            vector: self.vector(),
            sum: self.optional { $0.digest() },
            tables: (0..<self.count()).map { _ in
                TableDigest(
                    name: self.text(),
                    rows: self.number(48),
                    digest: self.digest(),
                    hidden: self.optional { StateSum(rows: $0.number(48), digest: $0.digest()) },
                    deleted: self.optional { StateSum(rows: $0.number(48), digest: $0.digest()) }
                )
            }
        )
    }

    private mutating func rowHashes() -> RowHashPage {
        RowHashPage(
            round: self.generator.next(),
            table: self.text(),
            after: self.optional { $0.value() },
            through: self.optional { $0.value() },
            rows: (0..<self.count()).map { _ in RowHash(key: self.value(), hash: self.digest()) }
        )
    }

    private mutating func rowStates() -> RowStatePage {
        RowStatePage(
            round: self.generator.next(),
            table: self.text(),
            payload: self.bytes(400),
            wanted: (0..<self.count()).map { _ in self.value() },
            isLast: Bool.random(using: &self.generator)
        )
    }

    private mutating func syncReport() -> SyncReport {
        SyncReport(
            id: self.generator.next(),
            result: self.result(),
            repairedRows: self.number(48),
            nodes: (0..<self.count()).map { _ in
                .init(id: self.node(), name: self.text(), result: self.result())
            },
            members: (0..<self.count()).map { _ in self.memberReport() }
        )
    }

    private mutating func memberReport() -> MemberReport {
        var report = MemberReport(node: self.node())
        report.isConnected = self.number(1) == 1
        report.isJoining = self.number(1) == 1
        report.isLate = self.number(1) == 1
        if self.number(1) == 1 { report.lastSeen = Int64(self.number(40)) + 1 }
        if self.number(1) == 1 { report.lagBatches = self.number(40) }
        if self.number(1) == 1 {
            report.comparison = MemberReport.Comparison(
                isEqual: self.number(1) == 1,
                milliseconds: Int64(self.number(40)) + 1,
                tables: (0..<MemberReport.Comparison.tablesMax).map { _ in self.text() }
            )
        }
        if self.number(1) == 1 { report.lastTry = MemberReport.Try(address: "a" + self.text(), answer: self.text()) }
        return report
    }
}
