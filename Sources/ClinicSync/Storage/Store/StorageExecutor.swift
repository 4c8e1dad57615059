package import ClinicSyncCore
import ClinicSyncModel

/// Carries out the core's requests that write, one after the other.
///
/// The node and the simulator share it, so that both run the same store. Not `Sendable`, like the writer it owns.
package final class WritingExecutor {
    /// The store.
    package let writer: ReplicaWriter
    private let retentionMilliseconds: Int64
    private(set) var clockOffset: Int64 = 0

    /// Makes an executor.
    ///
    /// - Parameters:
    ///   - writer: the store.
    ///   - retentionMilliseconds: how long the log is kept at least.
    package init(_ writer: ReplicaWriter, retentionMilliseconds: Int64) {
        self.writer = writer
        self.retentionMilliseconds = retentionMilliseconds
    }

    /// Carries out a request that writes.
    ///
    /// Damage that the request finds in the node's own bookkeeping is repaired, and the request is carried out again.
    package func perform(_ request: StorageRequest) -> StorageReply {
        var reply = StorageReply.of(request) { try self.reply(to: request) }
        var attempts = 0
        while case .failed(_, .damaged(let damage)) = reply, attempts < BookkeepingRepair.attemptsMax,
            self.writer.repairs(damage)
        {
            attempts += 1
            reply = StorageReply.of(request) { try self.reply(to: request) }
        }
        let notice = self.writer.takeNotice()
        return notice.isEmpty ? reply : .noticed(notice, reply)
    }

    private func reply(to request: StorageRequest) throws -> StorageReply {
        switch request {
        case .collect(let offset):
            self.clockOffset = offset
            return .collected(try self.writer.collect(clockOffsetMilliseconds: offset))
        case .store(let connection, let sender, let chunks):
            return .stored(
                from: connection,
                try self.writer.store(chunks, from: sender, clockOffsetMilliseconds: self.clockOffset)
            )
        case .discard(let members, let waiting):
            return .discarded(
                try self.writer.discard(members, waiting: waiting, clockOffsetMilliseconds: self.clockOffset)
            )
        case .applyStored:
            return .storedApplied(try self.writer.applyStored(clockOffsetMilliseconds: self.clockOffset))
        case .sweep(let table, let purpose):
            let (escaped, outcome) = try self.writer.sweep(table: table, clockOffsetMilliseconds: self.clockOffset)
            return .swept(purpose, escaped: escaped, outcome)
        case .mergeRows(let connection, let page, let range):
            let outcome = try self.writer.merge(page, within: range, clockOffsetMilliseconds: self.clockOffset)
            return .rowsMerged(from: connection, page, outcome)
        case .recordAcknowledged(let members):
            try self.writer.recordAcknowledged(members)
            return .acknowledgedRecorded
        case .prune(let presence):
            return .pruned(
                try self.writer.maintain(retentionMilliseconds: self.retentionMilliseconds, presence: presence)
            )
        case .recordTerm(let term):
            return .termRecorded(try self.writer.recordTerm(term))
        case .restamp(let offset):
            self.clockOffset = offset
            let done = try self.writer.restamp(clockOffsetMilliseconds: offset)
            return .restamped(changes: done.changes, done.outcome)
        case .beginIsolation:
            self.writer.beginIsolation()
            return .isolationBegun
        case .decideLogin, .keepSessions:
            guard let reply = try self.writer.replyFromExtension(to: request) else {
                preconditionFailure("a request that neither the store nor its extension knows")
            }
            return reply
        case .recordEvent(let event):
            return .eventRecorded(try self.writer.recordEvent(event))
        case .probeDisk:
            try self.writer.probeDisk()
            return .diskProbed
        case .mend(let damage): return .mended(try self.writer.repair(damage))
        case .pinState(let peer, let vector, let isNew):
            try self.writer.transfers.pin(peer, vector, isNew: isNew)
            return .statePinned
        case .stageState(let connection, let answer, let place):
            return .stateStaged(from: connection, try self.writer.transfers.stage(answer, behind: place))
        case .installState(let isForced):
            let installed = try self.writer.transfers.install(
                isForced: isForced,
                clockOffsetMilliseconds: self.clockOffset
            )
            return installed.map { .stateInstalled(rows: $0.rows, $0.outcome) } ?? .stateWaits
        case .locate, .readLog, .digests, .rowHashes, .compare, .rowStates, .leaveOut, .readBatch, .readState,
            .compareRanges, .wantedStates:
            preconditionFailure("a request that reads was given to the writer")
        }
    }
}

/// Carries out the core's requests that only read, beside the writer.
package final class ReadingExecutor {
    /// The store.
    package let reader: ReplicaReader

    /// Makes an executor.
    package init(_ reader: ReplicaReader) { self.reader = reader }

    /// Carries out a request that reads.
    package func perform(_ request: StorageRequest) -> StorageReply {
        StorageReply.of(request) { try self.reply(to: request) }
    }

    private func reply(to request: StorageRequest) throws -> StorageReply {
        switch request {
        case .locate(let connection, let vector, let takesState):
            let position = try self.reader.locate(vector)
            if takesState, let offer = try self.reader.stateOffer(inPlaceOfLogAfter: position) {
                return .stateNeeded(for: connection, offer)
            }
            return .located(for: connection, position: position)
        case .readState(let connection, let request):
            return .stateRead(for: connection, try self.reader.statePages(request))
        case .readLog(let connection, let position, let maxBytes):
            let (chunks, head) = try self.reader.readLog(after: position, maxBytes: maxBytes)
            return .logRead(for: connection, chunks: chunks, head: head)
        case .digests(let purpose):
            let (vector, tables) = try self.reader.digests()
            return .digests(purpose, vector: vector, tables: tables, sum: ReportSum.of(tables))
        case .rowHashes(let round, let table, let after, let hasHidden):
            return .rowHashes(
                try self.reader.rowHashes(round: round, table: table, after: after, hasHidden: hasHidden)
            )
        case .compare(let connection, let page):
            return .compared(for: connection, try self.reader.compare(page))
        case .compareRanges(.question, let page): return .ranged(try self.reader.compareRanges(page))
        case .compareRanges(.answer(let connection), let page):
            return .rangesAnswered(for: connection, try self.reader.answerRanges(page))
        case .wantedStates(let connection, let wants):
            return .compared(for: connection, try self.reader.states(wants))
        case .rowStates(let connection, let round, let table, let keys):
            let (pages, rest) = try self.reader.answer(round: round, table: table, keys: keys)
            return .rowStates(for: connection, pages, rest: rest)
        case .leaveOut(let batch):
            self.reader.leaveOut(batch)
            return .leftOut(batch)
        case .readBatch(let connection, let chunk, let maxBytes):
            return .batchRead(for: connection, try self.reader.chunks(from: chunk, maxBytes: maxBytes))
        case .collect, .store, .applyStored, .discard, .sweep, .mergeRows, .recordAcknowledged, .prune, .recordTerm,
            .restamp, .beginIsolation, .decideLogin, .keepSessions, .recordEvent, .mend, .pinState, .stageState,
            .installState, .probeDisk:
            preconditionFailure("a request that writes was given to the reader")
        }
    }
}

extension StorageReply {
    /// Runs `body` and turns what it throws into a failed reply.
    fileprivate static func of(_ request: StorageRequest, _ body: () throws -> StorageReply) -> StorageReply {
        do {
            return try body()
        } catch let malformed as MalformedChunk {
            return .failed(request, .malformed(malformed.reason))
        } catch let damage as OwnDamage {
            return .failed(request, .damaged(damage))
        } catch let malformed as MalformedRecord {
            // What a peer sent is checked where it is decoded. So these bytes are the node's own.
            return .failed(request, .damaged(OwnDamage(.file, malformed.reason)))
        } catch let error as StoreError where error.code == .corrupt {
            return .failed(request, .damaged(OwnDamage(.file, error.message)))
        } catch let error as StoreError where error.diskFault != nil {
            return .failed(request, .disk(error.diskFault ?? .failing, error.message))
        } catch let fork as ForkedBatch {
            return .failed(request, .forked(fork.batch))
        } catch {
            return .failed(request, .unavailable("\(error)"))
        }
    }
}
