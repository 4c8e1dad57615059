import ClinicSyncDiscovery
import ClinicSyncModel
import Foundation
import NIOPosix

/// Another PC of the clinic has the name that was asked for; nothing was used up.
struct NameTaken: Error {
    /// The error for people.
    var error: ClinicSyncError { EnrollmentRefusal.nameTaken.error }
}

/// Finds the node that made a join code, and sends it the request to join.
struct JoinInquiry: Sendable {
    /// How long a given address may take to answer.
    static let answerTimeout = Duration.seconds(10)
    /// How long a found address may take to answer.
    ///
    /// Such an address is on the local network.
    static let foundAnswerTimeout = Duration.seconds(3)
    /// How long to search for nodes on the LAN.
    ///
    /// A present node is found within a second.
    static let searchTimeout = Duration.seconds(5)
    /// The largest number of found addresses to ask.
    ///
    /// A limit is necessary, because anybody on the LAN can announce addresses.
    private static let askedMax = 16
    /// The largest number of discovery events that wait during a request.
    private static let eventsMax = 256

    /// The attempt, with its certificate and trust.
    let attempt: JoinAttempt
    /// Whether to refuse addresses outside private ranges.
    let isLANOnly: Bool

    /// Returns whether an error means that no node answered, so that another address may work.
    static func isUnreachable(_ error: ClinicSyncError) -> Bool {
        error.code == .notReachable || error.code == .timeout
    }

    /// Asks the addresses in turn until a node answers; a refusal is an answer.
    ///
    /// An address outside of private ranges is passed over. A host with a public and a private address names both.
    ///
    /// - Parameter addresses: the addresses to ask.
    /// - Returns: The membership and the address of the node that granted it.
    /// - Throws: ``ClinicSyncError``: `notReachable` and `timeout` when no node answers, `addressNotAllowed` when all
    ///   addresses are outside, otherwise the refusal.
    func ask(_ addresses: [String]) async throws -> (Membership, String) {
        var failure: ClinicSyncError?
        for address in addresses {
            do {
                return (try await self.ask(address, timeout: JoinInquiry.answerTimeout), address)
            } catch let error as ClinicSyncError where JoinInquiry.isUnreachable(error) {
                failure = error
            } catch let error as ClinicSyncError where error.code == .addressNotAllowed {
                failure = failure ?? error
            }
        }
        throw failure
            ?? ClinicSyncError(
                .notReachable,
                "The join code holds no address: name the host with --host ADDRESS:PORT."
            )
    }

    /// Asks the clinic's nodes on the LAN until a node grants the membership.
    ///
    /// The search continues after a refusal. Only the node that made the code knows the code, and the code does not
    /// identify this node.
    ///
    /// - Parameters:
    ///   - discovery: searches for the clinic.
    ///   - failure: why a search is necessary.
    /// - Returns: The membership and the address of the node that granted it.
    /// - Throws: ``ClinicSyncError``: a refusal if a node refused, otherwise `notReachable`.
    func search(_ discovery: any Discovery, after failure: ClinicSyncError) async throws -> (Membership, String) {
        let (events, event) = AsyncStream.makeStream(
            of: DiscoveryEvent.self,
            bufferingPolicy: .bufferingOldest(JoinInquiry.eventsMax)
        )
        return try await withThrowingTaskGroup(of: Void.self) { tasks in
            defer { tasks.cancelAll() }
            tasks.addTask {
                // The group cancels this task when an answer is available.
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
                // No daemon runs, so the failure of the addresses in the code is the only reason to report.
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
        let reply = try await EnrollmentInquiry.enroll(
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
        case .refused(.nameTaken): throw NameTaken()
        case .refused(let reason): throw reason.error
        case .renewed:
            throw ClinicSyncError(
                .refused,
                "The node at \(address) answered something else than was asked: install the same version on both PCs."
            )
        }
    }
}
