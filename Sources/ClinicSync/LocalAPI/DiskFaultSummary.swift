/// What is wrong with the disk under this PC's `clinic.db`, while it lasts.
public struct DiskFaultSummary: Sendable, Hashable, Codable {
    /// What is wrong: `full`, `readOnly`, `failing` or `slow`.
    public var fault: String
    /// When it began.
    public var since: UTCTimestamp
    /// What to do, in one or two sentences for people.
    public var message: String

    /// Makes an entry.
    public init(fault: String, since: UTCTimestamp, message: String) {
        self.fault = fault
        self.since = since
        self.message = message
    }

    /// The fault in words.
    public var name: String { self.fault == "readOnly" ? "read-only" : self.fault }
}
