import ArgumentParser
import ClinicSync
import ClinicSyncModel
import Glibc

/// `watch`: live events, one a line.
struct WatchCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "watch",
        abstract: "Print committed changes as they happen.",
        discussion: """
            Given several of --category, --table and --user, an event must fit each of them. When the node stops, the \
            command waits until it runs again and goes on with the events that came meanwhile.
            """
    )

    @OptionGroup var data: DataOptions
    @OptionGroup var output: OutputFormat
    @Option(
        name: .customLong("category"),
        parsing: .singleValue,
        help: ArgumentHelp("billing, patient, user, data or system; may be repeated.", valueName: "category")
    )
    var categories: [String] = []
    @Option(
        name: .customLong("table"),
        parsing: .singleValue,
        help: ArgumentHelp("A table; may be repeated.", valueName: "table")
    )
    var tables: [String] = []
    @Option(
        name: .customLong("user"),
        parsing: .singleValue,
        help: ArgumentHelp("Events about the user with this id; may be repeated.", valueName: "id")
    )
    var users: [String] = []
    @Option(help: ArgumentHelp("Start after the event at this position.", valueName: "position")) var since: UInt64?
    @Option(
        help: ArgumentHelp("Append each event to this file as a line of JSON.", valueName: "file"),
        completion: .file()
    )
    var logFile: String?

    /// Between two looks whether the node runs again.
    private static let pause = Duration.milliseconds(300)

    func run() async throws {
        let log = try self.logFile.map { try WatchCommand.openLog($0) }
        defer { if let log { close(log) } }
        var position = self.since
        // The first time a node that does not run is an error; later it will run again.
        try await self.follow(try LocalAPIClient(directory: self.data.directory()), from: &position, log: log)
        while true {
            Output.report("The node stopped: this command waits until it runs again.")
            var isBack = false
            while !isBack {
                try await Task.sleep(for: WatchCommand.pause)
                do {
                    let client = try LocalAPIClient(directory: self.data.directory())
                    try await self.follow(client, from: &position, log: log) { isBack = true }
                } catch let error as ClinicSyncError where error.code == .notReachable {
                    continue
                }
            }
        }
    }

    /// Prints events until the node stops; `position` is then that of the last one printed.
    private func follow(
        _ client: LocalAPIClient,
        from position: inout UInt64?,
        log: Int32?,
        onConnected: () -> Void = {}
    ) async throws {
        var query = self.categories.map { (name: "category", value: $0) }
        query += self.tables.map { (name: "table", value: $0) }
        query += self.users.map { (name: "user", value: $0) }
        if let position { query.append((name: "since", value: String(position))) }
        var isConnected = false
        var reached = position
        defer { position = reached }
        do {
            try await client.lines("/v1/events", query: query) { start in
                isConnected = true
                onConnected()
                reached = reached ?? start
            } onLine: { line in
                reached = try self.show(line, log: log)
            }
        } catch let error as ClinicSyncError where isConnected && error.code == .notReachable {
            // The connection broke: the node has stopped or is stopping.
        }
    }

    /// Prints one event and returns its position.
    private func show(_ line: ArraySlice<UInt8>, log: Int32?) throws -> UInt64 {
        let event = try APICoding.decode(NodeEvent.self, from: Array(line))
        if let log { try Output.write(Array(line) + [UInt8(ascii: "\n")], to: log) }
        if self.output.isJSON {
            try Output.write(Array(line) + [UInt8(ascii: "\n")], to: STDOUT_FILENO)
        } else {
            try Output.line(EventText.line(event, style: Style.standardOutput))
        }
        return event.position
    }

    private static func openLog(_ path: String) throws -> Int32 {
        // Events name records of patients, so the file is the owner's alone.
        let descriptor = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0o600)
        guard descriptor >= 0 else { throw AtomicFile.failure(errno, doing: "write", path: path) }
        return descriptor
    }
}

/// An event as people read it.
enum EventText {
    static func line(_ event: NodeEvent, style: Style) -> String {
        let time = event.timestamp.description.dropFirst(11).dropLast()
        guard let table = event.table else {
            var details = (event.details ?? [:]).sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }
            if let user = event.userId { details.append("user=\(user)") }
            for key in ["username", "reason", "text"] {
                if case .text(let text)? = event.fields[key] {
                    details.append("\(key)=\(TerminalText.printable(text))")
                }
            }
            if let record = event.recordId { details.append(record) }
            return ([style.dim(String(time)), style.warning(event.type)] + details).joined(separator: "  ")
        }
        let record = event.recordId ?? "\(event.rows ?? 1) rows"
        let columns = event.columns.map { $0.isEmpty ? "" : style.dim($0.joined(separator: " ")) } ?? ""
        let cells = [
            style.dim(String(time)), EventText.pad(event.category, 7), EventText.pad(table, 20),
            EventText.pad(event.operation ?? "", 6), EventText.pad(event.source ?? "", 6), record, columns,
        ]
        return cells.filter { !$0.isEmpty }.joined(separator: "  ")
    }

    private static func pad(_ text: String, _ width: Int) -> String {
        text + String(repeating: " ", count: max(0, width - text.count))
    }
}
