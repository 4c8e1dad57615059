import ClinicSyncModel
import ClinicSyncWire
import Testing

@Suite("Golden bytes")
struct GoldenTests {
    @Test("print")
    func show() {
        for message in MessageSamples.all {
            print(
                "GOLD "
                    + MessageCodec.encode(message, term: 1).map { ($0 < 16 ? "0" : "") + String($0, radix: 16) }
                    .joined()
            )
        }
    }
}
