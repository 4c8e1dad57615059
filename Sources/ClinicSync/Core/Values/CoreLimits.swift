/// Limits of the core that no installation needs to change.
///
/// An installation may change those in ``CoreConfiguration``. Each limit says what happens beyond it.
package enum CoreLimits {
    /// The version of the protocol that this node speaks; a peer with another version is closed as `protocolVersion`.
    package static let protocolVersion: UInt32 = 1
    /// Addresses known at a time; the least useful ones are forgotten.
    package static let dialTargetsMax = 1_024
    /// Addresses beyond ``dialTargetsMax`` that are kept until the next ones are forgotten together.
    package static let dialTargetsSlack = 64
    /// Dials in progress at a time; others wait.
    package static let dialsMax = 8
    /// A searching node with this many connections dials no more addresses until a connection is gone.
    package static let searchLinksMax = 3
    /// A searching node asks the next candidate after this time, if the PC before it has not accepted the socket.
    package static let attemptDelay: Duration = .milliseconds(100)
    /// A searching node asks the next candidate this long after the one before it has accepted the socket.
    package static let answerWait: Duration = .seconds(1)
    /// An address that does not answer is dialled again within this time, unless very many addresses are known.
    package static let dialRest: Duration = .milliseconds(1_200)
    /// Dials a second to addresses that do not answer, all addresses together.
    package static let dialsPerSecond = 16
    /// Addresses at a time that are dialled before others; the oldest ones become ordinary addresses.
    package static let urgentTargetsMax = 64
    /// An address whose last connection was refused is not dialled again within this time, however urgent it is.
    package static let urgentRest: Duration = .milliseconds(1_200)
    /// Connections of one peer at a time; further ones are closed as `overloaded`.
    package static let connectionsPerPeerMax = 8
    /// A peer's waits are forgotten when a connection with it has lasted this long.
    package static let usefulAfter: Duration = .seconds(30)
    /// A link that ends within this time was of no use.
    package static let shortLink: Duration = .seconds(2)
    /// So many such links in a row, and the peer rests for ``dialRest``.
    package static let shortLinksMax = 5
    /// Links that end further apart than this are in no row.
    package static let shortLinkMemory: Duration = .seconds(10)
    /// A peer that waits may say hello after this time, because its process may be a new one.
    ///
    /// The time doubles with each new process that was heard, up to ``hearingIntervalMax``.
    package static let hearingInterval: Duration = .seconds(5)
    /// The longest such time.
    package static let hearingIntervalMax: Duration = .seconds(60)
    /// A node whose numbers others have used runs at least so long before it starts again on new ones.
    ///
    /// The time doubles with each former incarnation, up to ``forkPatienceMax``, because any member can cause it with one
    /// message, and the clinic keeps batches of 256 incarnations of a node.
    package static let forkPatience: Duration = .seconds(5)
    /// The longest such time.
    package static let forkPatienceMax: Duration = .seconds(86_400)
    /// The jitter that is added to the time after which a peer wants to be dialled again.
    package static let retryJitter: Duration = .seconds(1)
    /// Ends of connections with one peer that are counted; further ones make its wait no longer.
    package static let backOffFailuresMax = 32
    /// The time that each known address adds to the period over which clients spread their return to a host.
    package static let returnSpread: Duration = .milliseconds(10)
    /// The longest such period.
    package static let returnSpreadMax: Duration = .seconds(2)
    /// A host that stops waits this long for its successor; then it stops without one.
    package static let handOverLimit: Duration = .milliseconds(400)
    /// A command for another host is answered within this time.
    package static let transferLimit: Duration = .seconds(5)
    /// Such a command is repeated after this time, until it is answered.
    package static let transferRepeat: Duration = .seconds(1)
    /// A store that waits this long for another program's write transaction counts as locked.
    ///
    /// A host with a locked store hands over.
    package static let storeLockLimit: Duration = .seconds(3)
    /// A login without a host is decided by this PC, as provisional, after this time.
    ///
    /// A login that a host does not answer within twice this time is answered as `unavailable`.
    package static let loginLimit: Duration = .seconds(3)
    /// A granted login that most nodes do not confirm within this time is answered as provisional.
    ///
    /// A new host waits this long for its clients before it decides on logins.
    package static let grantLimit: Duration = .milliseconds(1_500)
    /// How long a host gathers answers to probes before it sends them on.
    package static let probeGathering: Duration = .milliseconds(10)
    /// Probes whose answers a host gathers at a time; answers to further ones are dropped.
    package static let probesGatheredMax = 64
    /// Logins of this PC that wait for their answer; further ones are answered as `unavailable` at once.
    package static let loginsMax = 64
    /// Logins on which a host decides at a time; further ones are answered as `unavailable` at once.
    package static let loginsHeldMax = 256
    /// The time between two looks for expired sessions.
    package static let sessionsInterval: Duration = .seconds(15)
    /// The largest bucket of uptime: the number of times that one minute was doubled.
    package static let uptimeBucketsMax: UInt32 = 12
    /// Bytes of a node's name; a peer with a longer name is closed as `protocolViolation`.
    package static let nodeNameBytesMax = 64
    /// Authors in what is remembered of a peer, and authors in a message; further ones are left out.
    ///
    /// An honest clinic has fewer: the store takes no more.
    package static let vectorEntriesMax = 4_096
    /// Partial batches remembered of a peer; the smallest is forgotten, and its chunks may be sent twice.
    package static let partialsMax = 4_096
    /// Messages kept of a connection while the first collection runs; a further one is a `protocolViolation`.
    package static let earlyMessagesMax = 2
    /// Lost chunks of one peer that wait to be read for it; further ones are ignored.
    package static let wantedMax = 16
    /// Nodes whose proof of membership one message asks for; the others follow with later messages.
    package static let unprovenMax = 16
    /// Payload bytes that are read from one lost chunk on, except for one larger chunk; the rest is sent when it is asked for.
    package static let resentBytesMax = 8 << 20
    /// Chunks in one request to the store; the others wait for the next request.
    package static let storeChunksMax = 64
    /// Payload bytes in one request to the store, except for one larger chunk; the others wait for the next request.
    package static let storeBytesMax = 4 << 20
    /// Payload bytes of one chunk; a larger chunk is a `protocolViolation`.
    ///
    /// Only a single large row makes a chunk larger than 256 KiB.
    package static let chunkBytesMax = 8 << 20
    /// Chunks of one peer that wait for the store, whatever their size; a further one is a `protocolViolation`.
    package static let inboundChunksMax = 1 << 18
    /// Peers remembered after their loss; the peer that was lost first is forgotten.
    package static let knownPeersMax = 512
    /// A node whose own timers fire late is at most so many times as patient with others.
    ///
    /// So a peer that is really dead is noticed within this many times ``CoreConfiguration/silenceLimit``.
    package static let patienceMax = 5
    /// Samples of which the clock offset is the median; the oldest is dropped.
    package static let offsetSamplesMax = 8
    /// A host pings a client that pings it at one of so many beats: 5 s.
    package static let roundTripBeats: UInt64 = 10
    /// Pings whose answer still measures the round trip; an answer to an older ping is only a sign of life.
    package static let pingsRememberedMax = 8
    /// The time between two notices of a wrong clock; notices between them are dropped.
    package static let clockSkewNoticeInterval: Duration = .seconds(60)
    /// The time between a client's hello and its first reconciliation, plus up to as much jitter.
    package static let firstReconcileDelay: Duration = .milliseconds(500)
    /// The time between two records of a member that was heard of and has applied nothing new.
    package static let seenRecordInterval: Duration = .seconds(600)
    /// Questions of one client that the store works on at a time; a further one is a `protocolViolation`.
    package static let questionsMax = 4
    /// Pages of one peer's rows that the store works on at a time; a further one is a `protocolViolation`.
    ///
    /// An answer with more pages than this ends the round as `differs`.
    package static let repairPagesMax = 4_096
    /// Bytes of one peer's rows that the store works on at a time; a further page is dropped, and the next round asks again.
    ///
    /// An answer of this program has at most 12 MiB. Only older programs answer with whole tables.
    package static let repairBytesMax = 64 << 20
    /// Keys of rows that one exchange of a round sends to the host; with more the round ends as `differs`.
    ///
    /// A page of hashes has at most 4 096 rows, and an answer of this program at most 4 096 more.
    package static let repairKeysMax = 16_384
    /// Payload bytes of a state that one request asks for; one page may exceed the rest.
    package static let stateAnswerBytes: UInt32 = 1 << 20
    /// Answers to such requests that wait for the store; no more are asked for until they are stored.
    package static let stateAnswersStagingMax = 3
    /// Payload bytes of a state that a sender can announce; a larger number counts as this one.
    package static let stateBytesMax: UInt64 = 1 << 36
    /// A state may have four times the announced payload bytes and these; more is a `protocolViolation`.
    package static let stateBytesMin: UInt64 = 64 << 20
    /// Pages in one answer to a request for a state; a further one is a `protocolViolation`.
    package static let statePagesMax = 4_096
    /// A whole state waits this long for batches that its pages have a part of; then it is shown without them.
    package static let stateTailLimit: Duration = .seconds(30)
    /// A whole state that the store could not merge waits this long for the next try, and twice as long after each further failure.
    package static let stateRetryDelay: Duration = .seconds(10)
    /// The longest such time.
    package static let stateRetryDelayMax: Duration = .seconds(600)
    /// The log is pinned again for a peer that takes the state when the last pin is this old.
    package static let statePinInterval: Duration = .seconds(600)
    /// Rows that a comparison of ranges finds; with more of them the table is compared by keys, in pages.
    package static let rangedRowsMax = 2_048
    /// Messages with which a client compares the ranges of one table: each makes a range 16 times smaller.
    package static let rangeMessagesMax = 16
    /// A host has a member lapse that was silent for so many milliseconds: 30 days.
    ///
    /// Nothing waits for it then.
    package static let silenceMilliseconds: Int64 = 30 * 86_400_000
    /// A link closes when its peer has what this node lacks and nothing of it has come for so long.
    ///
    /// The time doubles with each close in a row, up to ``stallLimitMax``.
    package static let stallLimit: Duration = .seconds(30)
    /// The longest such time.
    package static let stallLimitMax: Duration = .seconds(3_600)
    /// Manual syncs that wait for the one in progress; further ones are answered as `unreachable` at once.
    package static let syncsWaitingMax = 16
    /// Commands that wait for the same manual sync; further ones are answered as `unreachable` at once.
    package static let syncRequestersMax = 1_024
    /// Members of one report about all members.
    package static let reportedMembersMax = 1_024
    /// How long a client waits for what its host knows of the members.
    package static let membersLimit: Duration = .seconds(2)
    /// A comparison of tables may be older than three rounds by this time, before it counts as old.
    package static let comparisonSlack: Duration = .seconds(10)
}
