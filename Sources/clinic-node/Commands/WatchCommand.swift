import ArgumentParser
import ClinicSync
import Glibc

/// `watch`: live events, one a line.
struct WatchCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "watch",
        abstract: "Print committed changes as they happen.",
        discussion: "Given both, an event must be of one of the categories and of one of the tables."
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
    @Option(help: ArgumentHelp("Begin after the event at this position.", valueName: "position")) var since: UInt64?
    @Option(
        help: ArgumentHelp("Append each event to this file as a line of JSON.", valueName: "file"),
        completion: .file()
    )
    var logFile: String?

    func run() async throws {
        let client = try LocalAPIClient(directory: self.data.directory())
        let log = try self.logFile.map { try WatchCommand.openLog($0) }
        defer { if let log { close(log) } }
        var query = self.categories.map { (name: "category", value: $0) }
        query += self.tables.map { (name: "table", value: $0) }
        if let since = self.since { query.append((name: "since", value: String(since))) }
        let style = Style.standardOutput
        try await client.lines("/v1/events", query: query) { line in
            if let log { try Output.write(Array(line) + [UInt8(ascii: "\n")], to: log) }
            if self.output.isJSON {
                try Output.write(Array(line) + [UInt8(ascii: "\n")], to: STDOUT_FILENO)
            } else {
                try Output.line(EventText.line(try APICoding.decode(NodeEvent.self, from: Array(line)), style: style))
            }
        }
        throw ClinicSyncError(.notReachable, "The node stopped: start it again with clinic-node run.")
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
            let details = (event.details ?? [:]).sorted { $0.key < $1.key }.map { "\($0.key)=\($0.value)" }
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
