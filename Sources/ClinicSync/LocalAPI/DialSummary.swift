/// An address that the node dialled since its start, with the newest answer.
public struct DialSummary: Sendable, Hashable, Codable {
    /// What was dialled, `address:port`.
    public var address: String
    /// The id of the node that is said to be there, or that was there last; `nil` when that is not known.
    @Nullable public var node: String?
    /// `linked`, why no connection was opened (for example `refused` or `timedOut`), or why the connection ended, for example
    /// `wrongClinic`; see `docs/API.md`.
    public var answer: String
    /// The answer in words, for people.
    public var message: String
    /// When the answer came.
    public var at: UTCTimestamp
    /// When this answer came for the first time in a row.
    public var since: UTCTimestamp
    /// How often this answer came in a row.
    public var tries: Int

    /// Makes a description.
    public init(
        address: String,
        node: String?,
        answer: String,
        message: String,
        at: UTCTimestamp,
        since: UTCTimestamp,
        tries: Int
    ) {
        self.address = address
        self.node = node
        self.answer = answer
        self.message = message
        self.at = at
        self.since = since
        self.tries = tries
    }
}
