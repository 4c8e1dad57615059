/// Limits of the core that no installation needs to change.
///
/// Those that may be tuned are in ``CoreConfiguration``. Each limit names what happens beyond it.
package enum CoreLimits {
    /// The version of the protocol this node speaks; another is closed as `protocolVersion`.
    package static let protocolVersion: UInt32 = 1
    /// Addresses known at once; those worth least are forgotten.
    package static let dialTargetsMax = 1_024
    /// Dials in progress at once; others wait.
    package static let dialsMax = 8
    /// Connections with which a searching node is content; it dials no more until one of them is gone.
    package static let searchLinksMax = 8
    /// An address that does not answer is dialled again within this time, unless there are very many.
    package static let dialRest: Duration = .milliseconds(1_200)
    /// Addresses that do not answer are dialled this often at most, taken together.
    package static let dialsPerSecond = 16
    /// What each member adds to the time over which clients spread their return to a host.
    package static let returnSpread: Duration = .milliseconds(20)
    /// The most that comes to.
    package static let returnSpreadMax: Duration = .milliseconds(1_500)
    /// A host that stops waits this long for its successor; then it stops all the same.
    package static let handOverLimit: Duration = .milliseconds(400)
    /// An administrator's wish for another host is answered within this time.
    package static let transferLimit: Duration = .seconds(5)
    /// A login for which no host is found within this time is decided by the PC itself, as provisional; one that the host does
    /// not answer within twice this time is given up.
    package static let loginLimit: Duration = .seconds(3)
    /// A login that most nodes do not confirm within this time is told as provisional; so long a new host waits for its clients
    /// before it decides.
    package static let grantLimit: Duration = .milliseconds(1_500)
    /// Logins of this PC that wait for their decision; more are answered as `unavailable` at once.
    package static let loginsMax = 64
    /// Logins on which a host decides at a time; more are answered as `unavailable` at once.
    package static let loginsHeldMax = 256
    /// Between two looks for expired sessions.
    package static let sessionsInterval: Duration = .seconds(15)
    /// The doublings of a minute by which uptimes are told apart.
    package static let uptimeBucketsMax: UInt32 = 12
    /// Bytes of a node's name; a longer one is closed as `protocolViolation`.
    package static let nodeNameBytesMax = 64
    /// Partial batches remembered of a peer; the smallest is forgotten and at worst sent again.
    package static let partialsMax = 4_096
    /// Messages kept of a connection while the first collect runs; more are a `protocolViolation`.
    package static let earlyMessagesMax = 2
    /// Chunks handed to the store in one request; the others wait for the next.
    package static let storeChunksMax = 64
    /// Payload bytes handed to the store in one request, one larger chunk excepted; the others wait.
    package static let storeBytesMax = 4 << 20
    /// Payload bytes of one chunk, which exceeds 256 KiB only for a single large row; more are a
    /// `protocolViolation`.
    package static let chunkBytesMax = 8 << 20
    /// Chunks of one peer that wait for the store, whatever their size; more are a `protocolViolation`.
    package static let inboundChunksMax = 1 << 18
    /// Peers remembered after their loss; the one lost longest ago is forgotten.
    package static let knownPeersMax = 512
    /// Samples of which the clock offset is the median; the oldest goes.
    package static let offsetSamplesMax = 8
    /// Pings whose answer still counts for the round trip; answers to older ones are signs of life only.
    package static let pingsRememberedMax = 8
    /// Between two notices of a wrong clock; those between are dropped.
    package static let clockSkewNoticeInterval: Duration = .seconds(60)
    /// Between a client's hello and its first reconciliation, plus as much again of jitter.
    package static let firstReconcileDelay: Duration = .milliseconds(500)
    /// A member that is only heard of, with nothing new applied, is recorded this seldom.
    package static let seenRecordInterval: Duration = .seconds(600)
    /// Questions of one client that the store works on at once; more are a `protocolViolation`.
    package static let questionsMax = 4
    /// Row state pages of one peer that the store works on at once; more are a `protocolViolation`.
    package static let repairPagesMax = 4_096
    /// Manual syncs that wait for the one in progress; more are answered as `unreachable` at once.
    package static let syncsWaitingMax = 16
    /// Who may wait for the same manual sync; more are answered as `unreachable` at once.
    package static let syncRequestersMax = 1_024
}
