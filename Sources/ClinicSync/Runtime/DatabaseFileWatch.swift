import ClinicSyncStorage

/// Notices that the database file was replaced, overwritten, moved or deleted while the node has it open.
///
/// Programs that open the path then write into another file, or into none, and the node would serve a file that nobody sees.
/// A file that was overwritten in place has another past than the node's memory.
/// So the run ends, and the service manager starts the node again on the file that is there
/// (`docs/design/0013-own-damage.md`).
final class DatabaseFileWatch: Sendable {
    /// What happened to the file.
    enum Fault: String, Sendable, Hashable {
        /// There is another file at the path.
        case replaced
        /// There is no file at the path.
        case missing
        /// Another database was copied into the file.
        case overwritten
        /// A program dropped a table of the node's own, which only opening can make again.
        case incomplete

        /// What happened to the file's name.
        init(_ fault: HeldFile.Fault) {
            switch fault {
            case .replaced: self = .replaced
            case .missing: self = .missing
            }
        }
    }

    /// The time between two looks.
    static let interval = Duration.seconds(1)
    /// The time that programs have to receive the event before the run ends.
    static let goodbye = Duration.milliseconds(200)

    private let file: HeldFile

    /// Watches the file that the store opened.
    init(_ file: HeldFile) { self.file = file }

    /// What is wrong now; `nil` while the watched file is at its path.
    var fault: Fault? { self.file.fault.map(Fault.init) }

    /// Whether no path leads to the watched file any more, so that its content is gone when the node closes it.
    var isUnlinked: Bool { self.file.isUnlinked }

    /// Looks once a second until something is wrong.
    ///
    /// - Parameter contentFault: returns what is wrong with the content of the file.
    /// - Returns: What is wrong.
    /// - Throws: `CancellationError`, and what `contentFault` throws.
    func run(contentFault: () async throws -> Fault?) async throws -> Fault {
        while true {
            try await Task.sleep(for: DatabaseFileWatch.interval)
            if let fault = self.fault { return fault }
            if let fault = try await contentFault() { return fault }
        }
    }
}
