import ClinicSyncCore
import NIOCore
import NIOPosix

/// Tries whether a program listens at an address.
enum PortTest {
    /// What came of a connection.
    struct Answer: Sendable, Hashable {
        /// The address and port.
        var address: String
        /// Why there is no connection, in words; `nil` when it was accepted.
        var failure: String?
    }

    private static let timeout = TimeAmount.seconds(2)
    /// The most addresses that are tried.
    private static let addressesMax = 8

    /// Connects with all addresses at the same time, and closes the connections.
    static func answers(of addresses: [String]) async -> [Answer] {
        await withTaskGroup(of: (Int, Answer).self) { tasks in
            for (index, address) in addresses.prefix(PortTest.addressesMax).enumerated() {
                tasks.addTask { (index, await PortTest.answer(of: address)) }
            }
            var answers: [(Int, Answer)] = []
            for await answer in tasks { answers.append(answer) }
            return answers.sorted { $0.0 < $1.0 }.map(\.1)
        }
    }

    private static func answer(of text: String) async -> Answer {
        do {
            let address = try NetworkAddress(parsing: text)
            let channel = try await ClientBootstrap(group: MultiThreadedEventLoopGroup.singleton)
                .connectTimeout(PortTest.timeout)
                .connect(to: SocketAddress(ipAddress: address.host, port: address.port)).get()
            channel.close(promise: nil)
            return Answer(address: text, failure: nil)
        } catch {
            return Answer(address: text, failure: DialFailure(connecting: error).words)
        }
    }

    /// Judges the answers of a PC's addresses.
    static func finding(of name: String, subject: String?, _ answers: [Answer]) -> Finding {
        if let open = answers.first(where: { $0.failure == nil }) {
            return Finding(ok: "members", "\(name) accepts connections at \(open.address).")
        }
        let tried = answers.map { "\($0.address) \($0.failure ?? "")" }.joined(separator: "; ")
        return Finding(
            .memberNotReached,
            tried.isEmpty ? "\(name) is not reached: no address is known." : "\(name) is not reached: \(tried).",
            subject: subject
        )
    }
}
