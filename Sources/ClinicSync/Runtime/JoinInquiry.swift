import ClinicSyncDiscovery
import ClinicSyncModel
import Foundation
import NIOPosix

/// Finds the node that a join code was made on and asks it.
struct JoinInquiry: Sendable {
    /// How long an address that somebody named may take to answer.
    static let answerTimeout = Duration.seconds(10)
    /// The same for one that was found: it is on this very network.
    static let foundAnswerTimeout = Duration.seconds(3)
    /// How long nodes are looked for on the LAN; one that is there is found within a second.
    static let searchTimeout = Duration.seconds(5)
    /// Addresses asked at most of those that were found: anybody on the LAN can announce some.
    private static let askedMax = 16
    /// Events of discovery that wait while a node is asked.
    private static let eventsMax = 256

    /// What is shown and believed.
    let attempt: JoinAttempt
    /// Whether addresses outside of private ranges are refused.
    let isLANOnly: Bool

    /// Whether an error says that nobody answered, so that another address may.
    static func isUnreachable(_ error: ClinicSyncError) -> Bool {
        error.code == .notReachable || error.code == .timeout
    }

    /// Asks the addresses in turn until one answers; a refusal is an answer.
    ///
    /// - Parameter addresses: where to ask.
    /// - Returns: The membership and the address that gave it.
    /// - Throws: ``ClinicSyncError``: `notReachable` and `timeout` when none answers, else the refusal.
    func ask(_ addresses: [String]) async throws -> (Membership, String) {
        var failure = ClinicSyncError(
            .notReachable,
            "The join code holds no address: name the host with --host ADDRESS:PORT."
        )
        for address in addresses {
            do {
                return (try await self.ask(address, timeout: JoinInquiry.answerTimeout), address)
            } catch let error as ClinicSyncError where JoinInquiry.isUnreachable(error) {
                failure = error
            }
        }
        throw failure
    }

    /// Asks the clinic's nodes that are found on the LAN until one gives the membership.
    ///
    /// A refusal is not the end here: only the node that made the code knows it, and which one that is the code does not say.
    ///
    /// - Parameters:
    ///   - discovery: looks for the clinic.
    ///   - failure: why it has to be looked for.
    /// - Returns: The membership and the address that gave it.
    /// - Throws: ``ClinicSyncError``: a refusal if there was one, else `notReachable`.
    func search(_ discovery: any Discovery, after failure: ClinicSyncError) async throws -> (Membership, String) {
        let (events, event) = AsyncStream.makeStream(
            of: DiscoveryEvent.self,
            bufferingPolicy: .bufferingOldest(JoinInquiry.eventsMax)
        )
        return try await withThrowingTaskGroup(of: Void.self) { tasks in
            defer { tasks.cancelAll() }
            tasks.addTask {
                // Cancelled when the answer is there.
                do { try await discovery.run { event.yield($0) } } catch is CancellationError {}
                event.finish()
            }
            tasks.addTask {
                do { try await Task.sleep(for: JoinInquiry.searchTimeout) } catch is CancellationError {}
                event.finish()
            }
            return try await self.ask(events, after: failure)
        }
    }

    private func ask(_ events: AsyncStream<DiscoveryEvent>, after failure: ClinicSyncError) async throws -> (
        Membership, String
    ) {
        var asked: Set<String> = []
        var refusal: ClinicSyncError?
        var reason = "no PC of the clinic was found on this network"
        search: for await event in events {
            switch event {
            case .found(let peer):
                for address in peer.addresses
                where asked.count < JoinInquiry.askedMax && asked.insert(address).inserted {
                    reason = "the PCs of the clinic that were found on this network do not answer"
                    do {
                        return (try await self.ask(address, timeout: JoinInquiry.foundAnswerTimeout), address)
                    } catch let error as ClinicSyncError {
                        if !JoinInquiry.isUnreachable(error) { refusal = error }
                    }
                }
            case .unavailable:
                // Not even a daemon: what the addresses in the code said is all there is to say.
                reason = "PCs cannot be found on this network without avahi-daemon"
                break search
            case .lost, .available, .renamed: break
            }
        }
        if let refusal { throw refusal }
        throw ClinicSyncError(
            .notReachable,
            "The host does not answer at the addresses in the join code, and \(reason): "
                + "see that it runs and name it with --host ADDRESS:PORT.",
            cause: failure
        )
    }

    private func ask(_ address: String, timeout: Duration) async throws -> Membership {
        let attempt = self.attempt
        let reply = try await PeerTransport.enroll(
            address: address,
            context: attempt.clientContext,
            judge: { await attempt.judge($0) },
            isLANOnly: self.isLANOnly,
            group: MultiThreadedEventLoopGroup.singleton,
            timeout: timeout,
            makeRequest: { try attempt.request(to: $0, hostCertificate: $1) }
        )
        switch reply {
        case .joined(let membership): return membership
        case .refused(let reason): throw reason.error
        case .renewed:
            throw ClinicSyncError(
                .refused,
                "The node at \(address) answered something else than was asked: install the same version on both PCs."
            )
        }
    }
}
