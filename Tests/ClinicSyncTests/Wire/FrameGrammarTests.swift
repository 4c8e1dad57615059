import ClinicSyncFuzzing
import ClinicSyncSimulation
import ClinicSyncWire
import Foundation
import Testing

/// The grammar by which the simulator changes a hostile member's frames.
@Suite("The grammar of frames") struct FrameGrammarTests {
    @Test("honest frames are read and written back unchanged")
    func rewriting() throws {
        let subject = try FuzzTarget.frame.subject()
        #expect(subject.corpus.count >= 20)
        for frame in subject.corpus { #expect(FrameGrammar.rewritten(frame) == frame) }
    }

    @Test("the grammar has every field of the messages between members, and no other")
    func proto() throws {
        let file = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
            .deletingLastPathComponent().deletingLastPathComponent().appending(
                path: "Sources/ClinicSync/Wire/clinicsync.proto"
            )
        let text = try String(contentsOf: file, encoding: .utf8)
        let end = try #require(text.range(of: "// One WebSocket message of an enrollment connection."))
        var stack: [String] = []
        var found: [String: Set<UInt64>] = [:]
        for line in text[..<end.lowerBound].split(separator: "\n") {
            if let match = line.firstMatch(of: /^\s*message (\w+) \{(\})?/) {
                let name = String(match.1) == "Node" ? "SyncReport.Node" : String(match.1)
                found[name] = []
                if match.2 == nil { stack.append(name) }
            } else if line.firstMatch(of: /^\s*(oneof|enum) \w+ \{/) != nil {
                stack.append(line.contains("enum") ? "" : stack.last ?? "")
            } else if line.firstMatch(of: /^\s*\}/) != nil {
                stack.removeLast()
            } else if let match = line.firstMatch(of: /^\s+[\w ]+ \w+ = (\d+);/), let name = stack.last, !name.isEmpty {
                found[name, default: []].insert(try #require(UInt64(match.1)))
            }
        }
        #expect(found == FrameGrammar.messages.mapValues { Set($0.keys) })
    }
}
