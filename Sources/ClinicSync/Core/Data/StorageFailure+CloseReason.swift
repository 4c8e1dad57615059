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
}
