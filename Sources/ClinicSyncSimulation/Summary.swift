import ClinicSyncCore
import ClinicSyncModel
import ClinicSyncWire

/// Short forms of inputs and effects, for transcripts; the legend is in `docs/SIMULATION.md`.
enum Summary {
    /// A message.
    static func encode(_ message: Message, term: UInt64) -> [UInt8] {
        MessageCodec.encode(message, term: term)
    }

    /// `input > effects`.
    static func line(_ input: Input, _ effects: [Effect]) -> String {
        effects.reduce(Summary.of(input) + " >") { $0 + " " + Summary.of($1) }
    }

    static func of(_ input: Input) -> String {
        switch input {
        case .started(let state): "started\(Summary.of(state.vector))"
        case .connectionOpened(let id, let dialled, _): "opened c\(id.rawValue)\(dialled == nil ? "" : " dialled")"
        case .peersFound(let hints): "peersFound(\(hints.count))"
        case .dialAnswered: "dialAnswered"
        case .dialFailed: "dialFailed"
        case .addressesChanged: "addressesChanged"
        case .membersChanged(let members): "membersChanged(\(members.present.count))"
        case .messageReceived(let id, let message, _): "c\(id.rawValue) \(Summary.of(message))"
        case .malformedMessageReceived(let id): "malformed c\(id.rawValue)"
        case .connectionClosed(let id): "closed c\(id.rawValue)"
        case .timerFired(let timer): "timer \(Summary.of(timer))"
        case .localCommitNoticed: "notice"
        case .storeLocked: "store locked"
        case .storeUnlocked: "store unlocked"
        case .roomIsShort: "room is short"
        case .syncsTakeLong(let reason): "syncs \(reason == nil ? "quick" : "slow")"
        case .eventOccurred(let event): "event \(event.type)"
        case .storageReplied(let reply): "reply \(Summary.of(reply))"
        case .answerProbe(let answer): "probe of \(Summary.letter(answer.prober))"
        case .commandReceived(let request, .sync): "sync r\(request.rawValue)"
        case .commandReceived(let request, .members): "members r\(request.rawValue)"
        case .commandReceived(let request, .transferHost(let node)):
            "transfer r\(request.rawValue) \(Summary.letter(node))"
        case .commandReceived(let request, .login(let login)): "login r\(request.rawValue) \(Summary.of(login))"
        case .shutdownRequested: "shutdown"
        }
    }

    private static func of(_ probe: ProbeAnswers?) -> String {
        probe.map { " probe of \(Summary.letter($0.prober)) \($0.answers.count)" } ?? ""
    }

    private static func asked(_ nodes: [NodeID]) -> String {
        nodes.isEmpty ? "" : "?" + nodes.map(Summary.letter).joined()
    }

    static func of(_ effect: Effect) -> String {
        switch effect {
        case .send(let ids, let message):
            "send(\(ids.map { "c\($0.rawValue)" }.joined(separator: ","))) \(Summary.of(message))"
        case .dial: "dial"
        case .close(let id, let reason): "close(c\(id.rawValue) \(reason))"
        case .turnAway(let id, let reason, let retryAfter):
            "turnAway(c\(id.rawValue) \(reason) \(retryAfter / .milliseconds(1)))"
        case .setTimer(let timer, let after): "set(\(Summary.of(timer)) \(after / .milliseconds(1)))"
        case .cancelTimer(let timer): "cancel(\(Summary.of(timer)))"
        case .storage(let request): "store(\(Summary.of(request)))"
        case .publish(let events): "publish(\(events.count))"
        case .reply(let request, .synced(let report)): "answer(r\(request.rawValue) \(report.result))"
        case .reply(let request, .hostTransferred(let transfer)): "answer(r\(request.rawValue) \(transfer))"
        case .reply(let request, .loginDecided(let outcome)): "answer(r\(request.rawValue) \(Summary.of(outcome)))"
        case .learn: "learn"
        case .prove(let nodes, let id): "prove(c\(id.rawValue) \(nodes.map(Summary.letter).joined()))"
        case .probeAnswered(let answers): "probe(\(answers.answers.count))"
        case .recordAnswers(let answers): "record(\(answers.answers.count))"
        case .meter(let id, _): "meter(c\(id.rawValue))"
        case .notify(let notification): "notify(\(Summary.of(notification)))"
        case .stopped(let reason): "stopped \(reason)"
        }
    }

    private static func of(_ notification: Notification) -> String {
        switch notification {
        case .peerConnected(_, let name, _): "connected \(name)"
        case .peerLost(let node, let reason): "lost \(Summary.letter(node)) \(reason)"
        case .connectionRefused(let reason): "refused \(reason)"
        case .peerBacksOff(let node, let reason, _): "backsOff \(Summary.letter(node)) \(reason)"
        case .dialFailed: "dialFailed"
        case .hostChanged(let node, _, let term): "host \(node.map(Summary.letter) ?? "none") \(term)"
        case .splitHealed(let node): "healed \(Summary.letter(node))"
        case .reconciled(let result, let rows, _): "reconciled \(result) \(rows)"
        case .conflictsRecorded(let count): "conflicts \(count)"
        case .captureRepaired: "captureRepaired"
        case .tableNoticed(let notice): "table \(notice)"
        case .escapedWrites(let count): "escaped \(count)"
        case .unmarkedSetBack(let count): "set back \(count)"
        case .triggersFailed(let count): "triggers failed \(count)"
        case .clockSkew(let milliseconds): "skew \(milliseconds)"
        case .storageFailed(let failure): "storageFailed \(failure)"
        case .duplicateIdentity(let node, _): "duplicateIdentity \(Summary.letter(node))"
        case .logTooShort(let node): "logTooShort \(Summary.letter(node))"
        case .ownDamage(let repair): "ownDamage \(Summary.of(repair))"
        case .storeLocked: "storeLocked"
        case .storeUnlocked(let time): "storeUnlocked \(time)"
        case .diskFault(let fault, _): "diskFault \(fault)"
        case .diskRecovered(let fault, let time): "diskRecovered \(fault) \(time)"
        }
    }

    private static func of(_ timer: TimerID) -> String {
        switch timer {
        case .heartbeat: "beat"
        case .handshake(let id): "handshake c\(id.rawValue)"
        case .dial: "dial"
        case .election: "election"
        case .handOver: "handOver"
        case .transfer: "transfer"
        case .login(let number): "login \(number)"
        case .grants: "grants"
        case .sessions: "sessions"
        case .reconcile: "reconcile"
        case .retryRound: "retryRound"
        case .roundTimeout: "roundTimeout"
        case .syncTimeout(let id): "syncTimeout \(id)"
        case .retryStorage: "retryStorage"
        case .refetch: "refetch"
        case .probes: "probes"
        case .housekeeping: "housekeeping"
        }
    }

    static func of(_ message: Message) -> String {
        switch message {
        case .hello(let hello):
            "hello \(Summary.of(hello.hostReport))\(Summary.of(hello.vector))\(hello.partials.isEmpty ? "" : "+\(hello.partials.count)")"
        case .goodbye(let reason, nil): "goodbye \(reason)"
        case .goodbye(let reason, let retryAfter?): "goodbye \(reason) \(retryAfter)"
        case .ping: "ping"
        case .pong: "pong"
        case .chunk(let chunk): "chunk \(Summary.of(chunk))"
        case .acknowledge(let ack):
            "ack\(Summary.of(VersionVector(ack.applied)))+\(ack.creditBytes)\(Summary.asked(ack.unproven))\(Summary.of(ack.probe))"
        case .digests(let report): "digests \(report.round)\(Summary.of(report.vector))"
        case .rowHashes(let page): "rowHashes \(page.round) \(page.table) \(page.rows.count)"
        case .stateRanges(let page): "stateRanges \(page.round) \(page.table) \(page.ranges.count)"
        case .stateWants(let wants): "stateWants \(wants.round) \(wants.table) \(wants.ids.count)"
        case .rowStates(let page):
            "rowStates \(page.round) \(page.table) \(page.payload.count)b \(page.wanted.count)w\(page.isLast ? "." : "")"
        case .syncRequest(let request): "syncRequest \(request.id)"
        case .verifyRequest(let request): "verifyRequest \(request.id)"
        case .verifyReport(let report): "verifyReport \(report.id) \(report.result)"
        case .syncReport(let report): "syncReport \(report.id) \(report.result)"
        case .revocation: "revocation"
        case .memberProof: "proof"
        case .hostReport(let report): "report \(Summary.of(report))"
        case .handOver: "handOver"
        case .transferRequest(let node): "transferRequest \(Summary.letter(node))"
        case .loginRequest(let id, let login): "loginRequest \(id) \(Summary.of(login))"
        case .loginReply(let reply): "loginReply \(reply.id) \(Summary.of(reply.outcome))"
        case .state(let message): "state \(Summary.of(message))"
        }
    }

    private static func of(_ message: StateMessage) -> String {
        switch message {
        case .offer(let offer): "offer \(offer.rows)"
        case .request(let request):
            "request \(request.id)\(Summary.of(request.vector)) \(request.after.map { $0.table } ?? "begin")"
        case .page(let page):
            "page \(page.id)\(Summary.of(page.vector)) \(page.table) \(page.rows)\(page.isLast ? "." : "")"
        case .end(let end): "end \(end.id)\(Summary.of(end.through))"
        }
    }

    private static func of(_ login: LoginRequest) -> String {
        "\(login.username) \(login.sessionID)\(login.isForced ? "!" : "")"
    }

    private static func of(_ outcome: LoginOutcome) -> String {
        switch outcome {
        case .granted(let isProvisional): isProvisional ? "granted?" : "granted"
        case .conflict(let holders): "conflict \(holders.map(\.sessionID).joined(separator: " "))"
        case .refused: "refused"
        case .unavailable: "unavailable"
        }
    }

    private static func of(_ report: HostReport) -> String {
        guard let reign = report.reign else { return "searching \(report.term)" }
        return "\(report.role) of \(Summary.letter(reign.host)) \(reign.term)"
    }

    static func of(_ request: StorageRequest) -> String {
        switch request {
        case .collect: "collect"
        case .store(let id, _, let chunks): "store c\(id.rawValue) \(chunks.count)"
        case .applyStored: "applyStored"
        case .discard(let members, let waiting): "discard \(members.past.count) \(waiting.count)"
        case .locate(let id, _, _): "locate c\(id.rawValue)"
        case .readLog(let id, let after, let bytes): "readLog c\(id.rawValue) \(after) \(bytes)"
        case .digests: "digests"
        case .sweep: "sweep"
        case .rowHashes(let round, let table, _, _): "rowHashes \(round) \(table)"
        case .compareRanges(.question, let page): "compareRanges \(page.table) \(page.ranges.count)"
        case .compareRanges(.answer(let id), let page):
            "compareRanges c\(id.rawValue) \(page.table) \(page.ranges.count)"
        case .wantedStates(let id, let wants): "wantedStates c\(id.rawValue) \(wants.table) \(wants.ids.count)"
        case .compare(let id, let page): "compare c\(id.rawValue) \(page.table)"
        case .mergeRows(let id, let page, _): "mergeRows c\(id.rawValue) \(page.table)"
        case .rowStates(_, let round, let table, let keys): "rowStates \(round) \(table) \(keys.count)"
        case .recordAcknowledged(let members): "recordAcknowledged \(members.count)"
        case .prune: "prune"
        case .recordTerm(let term): "recordTerm \(term)"
        case .restamp(let offset): "restamp \(offset)"
        case .beginIsolation: "beginIsolation"
        case .decideLogin(let decision):
            "decideLogin \(Summary.of(decision.request)) \(decision.hearing)/\(decision.members)"
        case .keepSessions(let hearing, let members, _): "keepSessions \(hearing)/\(members)"
        case .recordEvent(let event): "recordEvent \(event.type)"
        case .mend(let damage): "mend \(damage.table.rawValue)"
        case .leaveOut(let batch): "leaveOut \(Summary.of(batch))"
        case .readBatch(let id, let lost, _): "readBatch c\(id.rawValue) \(Summary.of(lost.batch)).\(lost.index)"
        case .readState(let id, let request): "readState c\(id.rawValue) \(request.id)"
        case .pinState(let node, let vector, _): "pinState \(Summary.letter(node))\(Summary.of(vector))"
        case .stageState(let id, let answer, _):
            "stageState c\(id.rawValue) \(answer.pages.count)\(answer.end == nil ? "" : ".")"
        case .probeDisk: "probeDisk"
        case .installState(let isForced): "installState\(isForced ? "!" : "")"
        }
    }

    static func of(_ reply: StorageReply) -> String {
        switch reply {
        case .collected(let outcome):
            "collected\(Summary.of(outcome.logged))\(Summary.of(outcome.vector))\(outcome.hasMore ? "+" : "")"
        case .stored(let id, let outcome):
            "stored c\(id.rawValue)\(Summary.of(outcome.logged))\(Summary.of(outcome.vector))"
                + "\(outcome.isApplyPending ? " pending" : "")"
        case .storedApplied(let outcome):
            "applied\(Summary.of(outcome.logged))\(Summary.of(outcome.vector))\(outcome.isApplyPending ? " pending" : "")"
        case .discarded(let outcome): "discarded \(outcome.forgotten.count)\(Summary.of(outcome.vector))"
        case .located(let id, let position): "located c\(id.rawValue) \(position.map { "\($0)" } ?? "nowhere")"
        case .logRead(let id, let chunks, let head): "logRead c\(id.rawValue)\(Summary.of(chunks)) head \(head)"
        case .digests(_, let vector, _, _): "digests\(Summary.of(vector))"
        case .swept(_, let escaped, let outcome): "swept \(escaped)\(Summary.of(outcome.logged))"
        case .rowHashes(let page): "rowHashes \(page.table) \(page.rows.count)"
        case .compared(let id, let pages): "compared c\(id.rawValue) \(pages.count)"
        case .rowsMerged(_, let page, let outcome):
            "merged \(page.table) \(outcome.changedRows) \(outcome.aheadKeys.count)"
        case .ranged(let step): "ranged \(step.table) \(step.haveKeys.count) \(step.need.count)"
        case .rangesAnswered(let id, let page): "rangesAnswered c\(id.rawValue) \(page.table) \(page.ranges.count)"
        case .rowStates(_, let pages, _): "rowStates \(pages.count)"
        case .acknowledgedRecorded: "recorded"
        case .diskProbed: "probed"
        case .pruned(let outcome): "pruned \(outcome.pruned) \(outcome.escaped)"
        case .termRecorded(let term): "termRecorded \(term)"
        case .restamped(let changes, let outcome): "restamped \(changes)\(Summary.of(outcome.logged))"
        case .isolationBegun: "isolationBegun"
        case .loginDecided(_, .tooEarly, _): "loginDecided later"
        case .loginDecided(_, .decided(let outcome, let members), let collected):
            "loginDecided \(Summary.of(outcome)) of \(members)\(Summary.of(collected.logged))"
        case .sessionsKept(let changes, let collected): "sessionsKept \(changes)\(Summary.of(collected.logged))"
        case .eventRecorded(let event): "eventRecorded \(event.position)"
        case .failed(let request, .damaged(let damage)): "failed \(Summary.of(request)) \(Summary.of(damage))"
        case .failed(let request, let failure): "failed \(Summary.of(request)) \(failure)"
        case .mended(let repair): "mended \(Summary.of(repair))"
        case .leftOut(let batch): "leftOut \(Summary.of(batch))"
        case .batchRead(let id, let chunks): "batchRead c\(id.rawValue) \(chunks.count)"
        case .stateNeeded(let id, let offer): "stateNeeded c\(id.rawValue) \(offer.rows)"
        case .stateRead(let id, let answer):
            "stateRead c\(id.rawValue) \(answer.pages.count)\(answer.end == nil ? "" : ".")"
        case .statePinned: "statePinned"
        case .stateStaged(let id, let staged):
            "stateStaged c\(id.rawValue) \(staged.map { "\($0.rows)" } ?? "forgotten")"
        case .stateWaits: "stateWaits"
        case .stateInstalled(let rows, let outcome):
            "stateInstalled \(rows)\(Summary.of(outcome.logged))\(Summary.of(outcome.vector))"
        case .noticed(let notice, let reply):
            notice.repairs.reduce("") { $0 + "(\(Summary.of($1))) " }
                + (notice.committed.map { "(committed\(Summary.of($0.logged))) " } ?? "") + Summary.of(reply)
        }
    }

    private static func of(_ logged: [LoggedChunk]) -> String {
        logged.reduce("") { $0 + " \($1.position):\(Summary.of($1.chunk))" }
    }

    private static func of(_ damage: OwnDamage) -> String { "damaged \(damage.table.rawValue): \(damage.reason)" }

    private static func of(_ repair: DamageRepair) -> String {
        "\(repair.outcome.rawValue) \(repair.table.rawValue) \(repair.count)"
    }

    private static func of(_ batch: BatchID) -> String { "\(Summary.letter(batch.origin.node))\(batch.sequence)" }

    static func of(_ chunk: BatchChunk) -> String {
        "\(Summary.letter(chunk.batch.origin.node))\(chunk.batch.sequence)#\(chunk.index)\(chunk.isLast ? "." : "")"
    }

    static func of(_ vector: VersionVector) -> String {
        vector.entries.reduce(" [") { $0 + Summary.letter($1.origin.node) + "\($1.sequence)" } + "]"
    }

    /// The node's letter: numbers count up from 1 or down from 100.
    ///
    /// A question mark and a number for nobody's id.
    static func letter(_ node: NodeID) -> String {
        guard node.high == 0xC11, 1...100 ~= node.low else { return "?\(node.low)" }
        let index = node.low > 50 ? 100 - node.low : node.low - 1
        return String(UnicodeScalar(UInt8(65 + index)))
    }
}
