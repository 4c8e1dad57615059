import ClinicSyncStorage

/// Notices that the database file was replaced, moved or deleted while the node has it open.
///
/// Programs that open the path then write into another file, or into none, and the node would serve a file that nobody sees.
/// So the run ends, and the service manager starts the node again on the file that is there
/// (`docs/design/0013-own-damage.md`).
final class DatabaseFileWatch: Sendable {
    /// What happened to the file.
    typealias Fault = HeldFile.Fault

    /// The time between two looks.
    static let interval = Duration.seconds(1)
    /// The time that programs have to receive the event before the run ends.
    static let goodbye = Duration.milliseconds(200)

    private let file: HeldFile

    /// Watches the file that the store opened.
    init(_ file: HeldFile) { self.file = file }

    /// What is wrong now; `nil` while the watched file is at its path.
    var fault: Fault? { self.file.fault }

    /// Whether no path leads to the watched file any more, so that its content is gone when the node closes it.
    var isUnlinked: Bool { self.file.isUnlinked }

    /// Looks once a second until something is wrong.
    ///
    /// - Throws: `CancellationError`.
    func run() async throws -> Fault {
        while true {
            try await Task.sleep(for: DatabaseFileWatch.interval)
            if let fault = self.fault { return fault }
        }
    }
}
