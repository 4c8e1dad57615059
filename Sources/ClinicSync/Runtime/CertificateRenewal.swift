import ClinicSyncModel
import Logging
import NIOCore

/// Renews this node's certificate when two thirds of its life are over: by itself where it may, else from a node that may.
///
/// Looks at the clock at short intervals instead of setting one long timer: PCs are suspended, and their clocks corrected.
package struct CertificateRenewal: Sendable {
    /// How often to look and how fast to try again.
    package struct Pace: Sendable, Hashable {
        /// Between two looks at the clock.
        package var interval = Duration.seconds(60)
        /// The upper bound of the first delay after a failure; doubles with each further one.
        package var delayMin = Duration.seconds(10)
        /// The upper bound of all delays.
        package var delayMax = Duration.seconds(3_600)
        /// The same once the certificate has run out, and with it the connection to the clinic.
        package var delayMaxExpired = Duration.seconds(300)
        /// How long one node may take to answer.
        package var timeout = Duration.seconds(10)

        /// Makes the standard pace.
        package init() {}
    }

    /// Nodes that are asked in one attempt.
    private static let askedMax = 8

    let trust: TrustStore
    let group: any EventLoopGroup
    let isLANOnly: Bool
    let clock: NodeClock
    let pace: Pace
    let logger: Logger
    /// Where nodes that may sign were last known to listen, the likeliest first.
    let addresses: @Sendable () async throws -> [String]
    /// Called at each look at the clock: peers' certificates run out as well.
    let looked: @Sendable () -> Void
    /// Called when there is a new certificate.
    let renewed: @Sendable () -> Void

    /// Renews whenever it is time, until cancelled.
    func run() async throws {
        var failures = 0
        while true {
            var pause = self.pace.interval
            if self.trust.isRenewalDue(at: self.clock.wallMilliseconds) {
                if await self.attempt() {
                    failures = 0
                } else {
                    failures += 1
                    pause = self.delay(afterFailures: failures)
                }
            }
            self.looked()
            try await Task.sleep(for: pause)
        }
    }

    /// A random delay up to a bound that doubles with each failure: all nodes of a clinic that was off come at once.
    private func delay(afterFailures failures: Int) -> Duration {
        let isExpired = self.trust.certificateExpiresAt <= self.clock.wallMilliseconds
        let cap = isExpired ? self.pace.delayMaxExpired : self.pace.delayMax
        let bound = min(cap, self.pace.delayMin * (1 << min(failures - 1, 16)))
        return .milliseconds(Int64.random(in: 0...max(bound.wholeMilliseconds, 1)))
    }

    private func attempt() async -> Bool {
        do {
            if self.trust.maySign {
                try self.trust.renewOwn()
            } else {
                guard try await self.ask() else { return false }
            }
        } catch {
            self.logger.warning("The certificate could not be renewed", metadata: ["error.message": "\(error)"])
            return false
        }
        self.logger.notice(
            "The certificate was renewed",
            metadata: ["certificate.expires": "\(UTCTimestamp(milliseconds: self.trust.certificateExpiresAt))"]
        )
        self.renewed()
        return true
    }

    /// Asks one node after the other.
    ///
    /// - Returns: Whether one of them gave a certificate.
    private func ask() async throws -> Bool {
        let trust = self.trust
        for address in try await self.addresses().prefix(CertificateRenewal.askedMax) {
            do {
                let reply = try await PeerTransport.enroll(
                    address: address,
                    context: trust.clientContext,
                    judge: { await trust.judge($0) },
                    isLANOnly: self.isLANOnly,
                    group: self.group,
                    timeout: self.pace.timeout,
                    makeRequest: { _, _ in try trust.makeRenewalRequest() }
                )
                switch reply {
                case .renewed(let certificates):
                    try await trust.install(certificates: certificates)
                    return true
                case .refused(let reason):
                    self.note(address, "\(reason)")
                case .joined:
                    self.note(address, "unexpected answer")
                }
            } catch let error as ClinicSyncError {
                self.note(address, error.message)
            }
        }
        return false
    }

    private func note(_ address: String, _ reason: String) {
        self.logger.info(
            "A node did not renew the certificate",
            metadata: ["peer.address": "\(address)", "error.message": "\(reason)"]
        )
    }
}
