import ClinicSyncSimulation
import Foundation

/// Runs many seeds of a kind: `clinic-simulate KIND FIRST COUNT [JOURNAL]`.
///
/// It prints each seed that fails and a line with counts at the end. The journal holds the seed that runs: after a trap it
/// names the culprit.
@main
enum Simulate {
    static func main() throws {
        let words = CommandLine.arguments
        guard words.count >= 4, let kind = SuspectKind(rawValue: words[1]), let first = UInt64(words[2]),
            let count = UInt64(words[3])
        else {
            print("usage: clinic-simulate hostile|damaged FIRST COUNT [JOURNAL]")
            exit(2)
        }
        let journal = words.count > 4 ? words[4] : nil
        let isVerbose = ProcessInfo.processInfo.environment["CLINICSYNC_TRANSCRIPT"].flatMap { Int($0) }
        var failed = 0
        var mutations: [MutationKind: Int] = [:]
        let start = Date()
        let templates = DiskTemplates()
        for seed in first..<first + count {
            self.beginLimit()
            if let journal { try "\(seed)\n".write(toFile: journal, atomically: false, encoding: .utf8) }
            let result: SuspectResult
            do {
                result = try kind.result(seed: seed, isRecording: isVerbose != nil, templates: templates)
            } catch {
                failed += 1
                print("FAILED \(kind.rawValue) \(seed): the simulator cannot go on: \(error)")
                continue
            }
            for (mutation, times) in result.mutations { mutations[mutation, default: 0] += times }
            if let lines = isVerbose { for line in result.transcript.suffix(lines) { print("  | \(line)") } }
            if isVerbose != nil { print(result.words, result.complaints) }
            if result.isSilent { print("SILENT \(kind.rawValue) \(seed): \(result.words.prefix(160))") }
            guard let violation = result.violation else { continue }
            failed += 1
            print("FAILED \(kind.rawValue) \(seed): \(violation)")
            fflush(nil)
        }
        let seconds = Date().timeIntervalSince(start)
        let rate = Double(count) / max(seconds, 0.001)
        print("\(kind.rawValue) \(first) \(count): \(failed) failed, \(String(format: "%.1f", rate)) seeds a second")
        print(
            mutations.sorted { $0.key.rawValue < $1.key.rawValue }.map { "\($0.key.rawValue) \($0.value)" }.joined(
                separator: ", "
            )
        )
        if failed > 0 { exit(1) }
    }

    /// Ends the process (SIGPROF) when a run takes a minute of the processor: beside other work it may take longer by the clock.
    private static func beginLimit() {
        var limit = itimerval()
        limit.it_value.tv_sec = 60
        setitimer(__itimer_which_t(ITIMER_PROF.rawValue), &limit, nil)
    }
}
