import ClinicSyncModel

extension StorageFailure {
    /// Why a connection closes whose request failed.
    ///
    /// A peer is at fault only for bytes that cannot be decoded. It may have relayed a forked batch in good faith.
    var closeReason: CloseReason {
        switch self {
        case .malformed: .protocolViolation
        case .unavailable, .disk, .forked, .damaged: .storageFailed
        }
    }

    /// Why the request failed, for people.
    var reason: String {
        switch self {
        case .unavailable(let reason), .disk(_, let reason), .malformed(let reason): reason
        case .forked(let batch): "two different batches have the number \(batch.sequence) of \(batch.origin)"
        case .damaged(let damage): "the bookkeeping is damaged: \(damage.reason)"
        }
    }
}
