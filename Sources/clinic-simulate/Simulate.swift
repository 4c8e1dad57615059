import ClinicSyncSimulation
import Foundation

/// Runs many seeds of a kind: `clinic-simulate KIND FIRST COUNT [JOURNAL]`; of `absence` the numbers of its runs.
///
/// It prints each seed that fails and a line with counts at the end. The journal holds the seed that runs: after a trap it
/// names the culprit.
@main
enum Simulate {
    static func main() throws {
        let words = CommandLine.arguments
        guard words.count >= 4, let first = UInt64(words[2]), let count = UInt64(words[3]),
            let kind = Kind(words[1])
        else {
            print(
                "usage: clinic-simulate hostile|damaged|absence|ordinary|pruning|deleting|joining|storm FIRST COUNT [JOURNAL]"
            )
            exit(2)
        }
        let journal = words.count > 4 ? words[4] : nil
        let isVerbose = ProcessInfo.processInfo.environment["CLINICSYNC_TRANSCRIPT"].flatMap { Int($0) }
        var failed = 0
        var counts: [String: Int] = [:]
        let start = Date()
        let templates = DiskTemplates()
        for seed in first..<first + count {
            self.beginLimit()
            if let journal { try "\(seed)\n".write(toFile: journal, atomically: false, encoding: .utf8) }
            let run: Run
            do {
                run = try kind.run(seed, isRecording: isVerbose != nil, templates: templates)
            } catch {
                failed += 1
                print("FAILED \(words[1]) \(seed): the simulator cannot go on: \(error)")
                continue
            }
            counts.merge(run.counts, uniquingKeysWith: +)
            if let lines = isVerbose { for line in run.transcript.suffix(lines) { print("  | \(line)") } }
            if isVerbose != nil { print(run.words, run.complaints) }
            if run.isSilent { print("SILENT \(words[1]) \(seed): \(run.words.prefix(160))") }
            guard let violation = run.violation else { continue }
            failed += 1
            print("FAILED \(words[1]) \(seed): \(violation)")
            fflush(nil)
        }
        let seconds = Date().timeIntervalSince(start)
        let rate = Double(count) / max(seconds, 0.001)
        print("\(words[1]) \(first) \(count): \(failed) failed, \(String(format: "%.1f", rate)) seeds a second")
        print(counts.sorted { $0.key < $1.key }.map { "\($0.key) \($0.value)" }.joined(separator: ", "))
        if failed > 0 { exit(1) }
    }

    /// Ends the process (SIGPROF) when a run takes a minute of the processor: beside other work it may take longer by the clock.
    private static func beginLimit() {
        var limit = itimerval()
        limit.it_value.tv_sec = 60
        setitimer(__itimer_which_t(ITIMER_PROF.rawValue), &limit, nil)
    }
}

/// What is run.
private enum Kind {
    /// One member is hostile or damaged.
    case suspect(SuspectKind)
    /// PCs are away, restored, copied, wiped, and join in pieces.
    case absence
    /// Faults among programs that write, with options that the seed decides.
    case faults((UInt64) -> SimulationOptions)
    /// A load overloads the clinic and ends.
    case storm

    /// The kind of a word of the command line.
    init?(_ word: String) {
        switch word {
        case "absence": self = .absence
        case "storm": self = .storm
        case "ordinary": self = .faults(SimulationOptions.random)
        case "pruning": self = .faults(SimulationOptions.pruning)
        case "deleting": self = .faults(SimulationOptions.deleting)
        case "joining": self = .faults(SimulationOptions.joining)
        default:
            guard let kind = SuspectKind(rawValue: word) else { return nil }
            self = .suspect(kind)
        }
    }

    /// Carries out a run.
    func run(_ seed: UInt64, isRecording: Bool, templates: DiskTemplates) throws -> Run {
        switch self {
        case .suspect(let kind):
            let result = try kind.result(seed: seed, isRecording: isRecording, templates: templates)
            var run = Run(violation: result.violation, words: result.words, transcript: result.transcript)
            run.complaints = result.complaints
            run.isSilent = result.isSilent
            for (mutation, times) in result.mutations { run.counts[mutation.rawValue] = times }
            return run
        case .storm:
            let kind = StormKind.allCases[Int(seed % UInt64(StormKind.allCases.count))]
            let count = UInt64(StormKind.allCases.count)
            let cost = (seed / count).isMultiple(of: 2) ? ProcessingCost.crowded : .shared
            let (outcomes, transcript) = try StormRun.outcomes(
                [kind],
                nodes: 50,
                cost: cost,
                seed: seed,
                isRecording: isRecording,
                templates: templates
            )
            guard let outcome = outcomes.last else { return Run(violation: nil, words: "", transcript: transcript) }
            let recovery = outcome.recovery.map { "well after \($0)" } ?? "never well"
            let words = "\(kind): \(recovery), \(outcome.terms) terms, \(outcome.handshakes) ends of handshakes"
            return Run(
                violation: outcome.holds ? nil : outcome.violation ?? words,
                words: words,
                transcript: transcript
            )
        case .absence:
            let result = try AbsenceRun.result(number: seed, isRecording: isRecording, templates: templates)
            var run = Run(violation: result.violation, words: "\(result.plan)", transcript: result.transcript)
            run.counts = result.counts.named
            return run
        case .faults(let options):
            let result = try SimulationRun.result(of: options(seed))
            var run = Run(violation: result.violation, words: "\(result.options)", transcript: result.transcript)
            for (fault, times) in result.fired { run.counts[fault.rawValue] = times }
            return run
        }
    }
}

/// What a run says.
private struct Run {
    var violation: String?
    var words: String
    var transcript: [String]
    var complaints: [String] = []
    var isSilent = false
    var counts: [String: Int] = [:]
}
