import ClinicSyncModel

/// The peers that sent other content of a batch than the log has, and may not replace it.
///
/// A later chunk from such a peer continues the other content. Behind the chunks in the log it would make a batch that nobody
/// wrote. Nothing is kept on disk: after a restart the peers send their content again, from the first chunk.
struct OtherContent {
    private struct Entry: Hashable {
        var sender: NodeID
        var author: Int
        var sequence: UInt64
    }

    private var entries: [Entry] = []

    /// Entries that are kept; the oldest is forgotten.
    static let entriesMax = 1_024

    /// Notes that `sender` has other content of a batch.
    mutating func note(_ sender: NodeID, author: Int, sequence: UInt64) {
        let entry = Entry(sender: sender, author: author, sequence: sequence)
        guard !self.entries.contains(entry) else { return }
        if self.entries.count >= OtherContent.entriesMax { self.entries.removeFirst() }
        self.entries.append(entry)
    }

    /// Whether `sender` has other content of a batch.
    func has(_ sender: NodeID?, author: Int, sequence: UInt64) -> Bool {
        guard let sender, !self.entries.isEmpty else { return false }
        return self.entries.contains(Entry(sender: sender, author: author, sequence: sequence))
    }

    /// The log has no content of these batches any more.
    mutating func forget(author: Int, _ sequences: ClosedRange<UInt64>) {
        guard !self.entries.isEmpty else { return }
        self.entries.removeAll { $0.author == author && sequences.contains($0.sequence) }
    }
}
