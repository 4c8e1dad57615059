import ClinicSyncModel
import Testing

@testable import ClinicSync

@Suite struct JoinCodeTests {
    private static let alphabet = Array("0123456789ABCDEFGHJKMNPQRSTVWXYZ")

    private static func makeCode(_ seed: UInt8, addresses: [NetworkAddress]) -> JoinCode {
        JoinCode(
            pin: NodeID(high: UInt64(seed) << 56 | 42, low: .max - UInt64(seed)),
            secret: (0..<16).map { $0 &* 37 &+ seed },
            addresses: addresses
        )
    }

    private static let codes = [
        makeCode(0, addresses: []),
        makeCode(1, addresses: [NetworkAddress(host: "127.0.0.1", port: 7450)]),
        makeCode(
            200,
            addresses: [
                NetworkAddress(host: "::1", port: 65_535), NetworkAddress(host: "front-desk.local", port: 1),
                NetworkAddress(host: "192.168.1.10", port: 7450),
            ]
        ),
    ]

    @Test("a code reads back as it was written", arguments: codes)
    func roundTrip(code: JoinCode) throws {
        #expect(try JoinCode(parsing: code.description) == code)
    }

    @Test("hyphens, spaces, case and look-alike letters do not matter", arguments: codes)
    func tolerance(code: JoinCode) throws {
        let plain = code.description.replacing("-", with: "")
        #expect(try JoinCode(parsing: plain.lowercased()) == code)
        let sloppy = code.description.replacing("-", with: " ").replacing("0", with: "o").replacing("1", with: "l")
        #expect(try JoinCode(parsing: " \n" + sloppy) == code)
    }

    @Test("every wrong single character is found", arguments: codes)
    func substitution(code: JoinCode) {
        let characters = Array(code.description.replacing("-", with: ""))
        for index in characters.indices {
            for other in JoinCodeTests.alphabet where other != characters[index] {
                var wrong = characters
                wrong[index] = other
                #expect(throws: ClinicSyncError.self) { try JoinCode(parsing: String(wrong)) }
            }
        }
    }

    @Test("every pair of exchanged neighbours and every lost or doubled character is found", arguments: codes)
    func slips(code: JoinCode) {
        let characters = Array(code.description.replacing("-", with: ""))
        for index in characters.indices {
            var lost = characters
            lost.remove(at: index)
            #expect(throws: ClinicSyncError.self) { try JoinCode(parsing: String(lost)) }
            var doubled = characters
            doubled.insert(characters[index], at: index)
            #expect(throws: ClinicSyncError.self) { try JoinCode(parsing: String(doubled)) }
            guard index > 0, characters[index] != characters[index - 1] else { continue }
            var exchanged = characters
            exchanged.swapAt(index, index - 1)
            #expect(throws: ClinicSyncError.self) { try JoinCode(parsing: String(exchanged)) }
        }
    }

    @Test("a code of the version without certificates is told from a typing error")
    func formerFormat() {
        // Format 1, host id 42, and the secret 0, 1, 2, …
        let text = "04000-00000-00000-00000-00000-0N000-820C2-0A1G7-104GM-2RC1M-70Y00-H5CWN-G"
        let error = #expect(throws: ClinicSyncError.self) { try JoinCode(parsing: text) }
        #expect(error?.code == .usage)
        #expect(error?.message.contains("another version") == true)
    }

    @Test(
        "nonsense is refused with a sentence",
        arguments: ["", "-", "U", "ABCDE", "héllo", String(repeating: "A", count: 5_000)]
    )
    func nonsense(text: String) {
        let error = #expect(throws: ClinicSyncError.self) { try JoinCode(parsing: text) }
        #expect(error?.code == .usage)
        #expect(error?.message.hasSuffix(".") == true)
    }
}
