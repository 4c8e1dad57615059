import ClinicSyncDiscovery
import ClinicSyncModel
import ClinicSyncTestKit
import Foundation
import Testing

@testable import ClinicSync

@Suite("Joining when the addresses in the code are wrong", .timeLimit(.minutes(2)), .serialized)
struct JoinInquiryTests {
    /// No process listens at this address.
    private static let nowhere = NetworkAddress(host: "127.0.0.1", port: 1)

    private static func outdated(_ text: String) throws -> (code: JoinCode, right: String) {
        let code = try JoinCode(parsing: text)
        let right = try #require(code.addresses.first).description
        return (JoinCode(pin: code.pin, secret: code.secret, addresses: [self.nowhere]), right)
    }

    private static func found(_ addresses: [String], node: UInt64) -> DiscoveryEvent {
        .found(DiscoveredPeer(node: NodeID(high: 0, low: node), addresses: addresses, term: 1, isHost: false))
    }

    private static func join(
        _ code: JoinCode,
        in directory: TemporaryDirectory,
        host: String? = nil,
        _ events: [DiscoveryEvent]
    ) async throws -> NodeIdentity {
        try await NodeSetup.join(
            directory: NodeDirectory(url: directory.file("node")),
            code: code,
            host: host,
            nodeName: "late",
            discovery: { clinicID in
                // The inquiry looks for the clinic of the code.
                clinicID == code.pin.description
                    ? ScriptedDiscovery(events) : ScriptedDiscovery([.unavailable("wrong")])
            }
        )
    }

    @Test("the clinic's PCs on the LAN are asked one after the other until one knows the code")
    func found() async throws {
        try await ClinicSyncTestKit.TestClinic.start(nodes: 2) { clinic in
            let directory = try TemporaryDirectory()
            let (code, right) = try Self.outdated(try await clinic.invite())
            let member = clinic.nodes[1].address
            let identity = try await Self.join(
                code,
                in: directory,
                [
                    .available, Self.found([Self.nowhere.description], node: 1), Self.found([member], node: 2),
                    Self.found([Self.nowhere.description, right], node: 3),
                ]
            )
            #expect(identity.clinicID == code.pin.description)
            #expect(identity.host?.address == right)
        }
    }

    @Test("an address outside of the local network in the code does not keep the others from being asked")
    func outside() async throws {
        try await ClinicSyncTestKit.TestClinic.start(nodes: 1) { clinic in
            let directory = try TemporaryDirectory()
            let made = try JoinCode(parsing: try await clinic.invite())
            let outside = NetworkAddress(host: "192.0.2.2", port: 7450)
            let code = JoinCode(pin: made.pin, secret: made.secret, addresses: [outside] + made.addresses)
            #expect(try await Self.join(code, in: directory, []).clinicID == made.pin.description)
            let alone = JoinCode(pin: made.pin, secret: made.secret, addresses: [outside])
            let error = await #expect(throws: ClinicSyncError.self) {
                try await Self.join(alone, in: try TemporaryDirectory(), [])
            }
            #expect(error?.code == .addressNotAllowed)
        }
    }

    @Test("without avahi-daemon the error says so, and what to do")
    func unavailable() async throws {
        try await ClinicSyncTestKit.TestClinic.start(nodes: 1) { clinic in
            let directory = try TemporaryDirectory()
            let (code, right) = try Self.outdated(try await clinic.invite())
            let error = await #expect(throws: ClinicSyncError.self) {
                try await Self.join(code, in: directory, [.unavailable("no"), Self.found([right], node: 1)])
            }
            #expect(error?.code == .notReachable)
            #expect(error?.message.contains("avahi-daemon") == true)
            #expect(error?.message.contains("--host") == true)
            #expect(!FileManager.default.fileExists(atPath: directory.file("node").path))
        }
    }

    @Test("who named the host is not sent elsewhere")
    func named() async throws {
        try await ClinicSyncTestKit.TestClinic.start(nodes: 1) { clinic in
            let directory = try TemporaryDirectory()
            let (code, right) = try Self.outdated(try await clinic.invite())
            let error = await #expect(throws: ClinicSyncError.self) {
                try await Self.join(
                    code,
                    in: directory,
                    host: Self.nowhere.description,
                    [Self.found([right], node: 1)]
                )
            }
            #expect(error?.code == .notReachable)
        }
    }

    @Test("the refusal of a PC that was found is what is told when no other gives the membership")
    func refused() async throws {
        try await ClinicSyncTestKit.TestClinic.start(nodes: 1) { clinic in
            let directory = try TemporaryDirectory()
            let (code, right) = try Self.outdated(try await clinic.invite())
            let wrong = JoinCode(
                pin: code.pin,
                secret: [UInt8](repeating: 7, count: JoinCode.secretBytes),
                addresses: code.addresses
            )
            let error = await #expect(throws: ClinicSyncError.self) {
                try await Self.join(wrong, in: directory, [Self.found([right], node: 1), .unavailable("over")])
            }
            #expect(error?.code == .enrollmentRefused)
        }
    }
}
