import ClinicSyncModel
import ClinicSyncWire
import FoundationEssentials
import Testing

@Suite("docs/PROTOCOL.md")
struct ProtocolDocumentTests {
    @Test("its byte examples decode to the messages they are named after")
    func byteExamples() throws {
        let examples = try ProtocolDocumentTests.examples()
        #expect(examples.count >= 5)
        for (name, bytes) in examples {
            let (message, term) = try MessageCodec.decode(bytes)
            #expect("\(message)".hasPrefix(name + "("), "\(name)")
            #expect(MessageCodec.encode(message, term: term) == bytes, "\(name)")
        }
    }

    @Test("its tables name every limit, close reason and message with its number")
    func tables() throws {
        let text = try ProtocolDocumentTests.text()
        for reason in CloseReason.allCases {
            #expect(text.contains("| \(4_000 + Int(reason.rawValue)) | \(reason) |"))
        }
        for message in MessageSamples.all {
            let name = MessageSamples.name(message)
            #expect(text.contains("| \(MessageSamples.kind(message)) | \(name) |"))
        }
        for limit in Mirror(reflecting: WireLimits.standard).children {
            #expect(text.contains("| `\(limit.label ?? "")` | \(limit.value) |"))
        }
    }

    private static func text() throws -> String {
        let path = #filePath.split(separator: "/").dropLast(4).map { "/" + $0 }.joined() + "/docs/PROTOCOL.md"
        return String(decoding: try Data(contentsOf: URL(filePath: path)), as: UTF8.self)
    }

    /// Lines `name: hexadecimal digits`.
    private static func examples() throws -> [(name: String, bytes: [UInt8])] {
        try self.text().split(separator: "\n").compactMap { line in
            let parts = line.split(separator: ":", maxSplits: 1)
            guard parts.count == 2 else { return nil }
            let digits = parts[1].filter { $0 != " " }
            guard digits.count >= 4, digits.allSatisfy({ $0.isHexDigit && !$0.isUppercase }) else { return nil }
            return (parts[0].filter { $0 != " " }, Hex.bytes(digits))
        }
    }
}
