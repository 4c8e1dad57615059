import ArgumentParser
import ClinicSync
import ClinicSyncDemo
import Foundation
import Synchronization
import UnixSignals

/// `demo`: several nodes in one process, a clinic's morning, and proof of equality.
struct DemoCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "demo",
        abstract: "Show several PCs that work together, and prove at the end that they are equal.",
        discussion: """
            Starts real nodes in this process on loopback, each with its own files in a temporary directory. Programs write \
            the transactions of a clinic's morning with plain SQL. The command shows when each transaction is visible on \
            the other PCs, stops a PC for a while, and compares all files at the end. The exit status is 0 only if all \
            files are equal.
            """
    )

    /// The longest morning.
    static let secondsMax = 86_400

    @Option(help: ArgumentHelp("How many PCs.", valueName: "n")) var nodes = 3
    @Option(help: ArgumentHelp("How long the morning lasts; without this option, until Ctrl-C.", valueName: "n"))
    var seconds: Int?
    @Flag(help: "Keep the files and print where they are.") var keep = false
    @OptionGroup var output: OutputFormat

    func validate() throws {
        guard Demo.nodes.contains(self.nodes) else {
            throw ValidationError("--nodes is from \(Demo.nodes.lowerBound) to \(Demo.nodes.upperBound).")
        }
        if let seconds, !(1...DemoCommand.secondsMax).contains(seconds) {
            throw ValidationError("--seconds is from 1 to \(DemoCommand.secondsMax).")
        }
    }

    func run() async throws {
        let directory = FileManager.default.temporaryDirectory
            .appendingPathComponent("clinicsync-demo-\(UUID().uuidString.prefix(8).lowercased())")
        try AtomicFile.makeDirectory(directory, mode: 0o700)
        defer {
            // A file that cannot be removed is left to the system's clean-up of temporary files.
            if !self.keep { _ = Result { try FileManager.default.removeItem(at: directory) } }
        }
        let proof: DemoEvent.Proof
        do {
            proof = try await self.play(in: directory.path)
        } catch let code as ExitCode where code.isSuccess {
            // The reader of the output has gone; nothing was proven.
            throw ExitCode.failure
        } catch let error as DemoError {
            throw ClinicSyncError(.storage, "The demonstration cannot go on: \(error.message)", cause: error)
        }
        if self.keep { Output.report("The files are in \(directory.path).") }
        if !proof.equal { throw ExitCode.failure }
    }

    /// Plays, and turns the first Ctrl-C into the wish to end.
    private func play(in directory: String) async throws -> DemoEvent.Proof {
        let stop = StopWish()
        let signals = await UnixSignalsSequence(trapping: [.sigint, .sigterm])
        let text = DemoText(nodes: self.nodes, isEndless: self.seconds == nil)
        let isJSON = self.output.isJSON
        return try await withThrowingTaskGroup(of: DemoEvent.Proof?.self) { tasks in
            tasks.addTask {
                for await _ in signals {
                    // Asked twice: at once. The system cleans up the temporary files.
                    if stop.isWanted { Foundation.exit(130) }
                    stop.want()
                    Output.report("")
                    Output.report("Ending: the last changes arrive, then all files are compared.")
                }
                return nil
            }
            tasks.addTask {
                try await Demo.run(
                    nodes: self.nodes,
                    duration: self.seconds.map { .seconds($0) },
                    directory: directory,
                    isStopWanted: { stop.isWanted }
                ) { event in
                    if isJSON { return try Output.json(event) }
                    for line in text.lines(event) { try Output.line(line) }
                }
            }
            defer { tasks.cancelAll() }
            while let result = try await tasks.next() {
                if let result { return result }
            }
            throw ExitCode.failure
        }
    }
}

/// Whether a signal asked for the end.
private final class StopWish: Sendable {
    private let wanted = Atomic<Bool>(false)

    var isWanted: Bool { self.wanted.load(ordering: .relaxed) }

    func want() { self.wanted.store(true, ordering: .relaxed) }
}
