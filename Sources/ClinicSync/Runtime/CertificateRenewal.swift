import ClinicSyncModel
import Logging
import NIOCore

/// Renews this node's certificate when two thirds of its life are over.
///
/// A node with the signing right signs its own certificate. Another node asks a node with the right. The renewal checks
/// the clock at short intervals instead of setting one long timer, because PCs are suspended and their clocks are
/// corrected.
package struct CertificateRenewal: Sendable {
    /// How often to check the clock, and how long to wait between attempts.
    package struct Pace: Sendable, Hashable {
        /// The time between two checks of the clock.
        package var interval = Duration.seconds(60)
        /// The upper bound of the first delay after a failure.
        ///
        /// The bound doubles after each further failure.
        package var delayMin = Duration.seconds(10)
        /// The largest upper bound of the delays.
        package var delayMax = Duration.seconds(3_600)
        /// The largest upper bound after the certificate has expired and the node has lost its connection to the
        /// clinic.
        package var delayMaxExpired = Duration.seconds(300)
        /// How long each node may take to answer.
        package var timeout = Duration.seconds(10)

        /// Makes the standard pace.
        package init() {}
    }

    /// The largest number of nodes to ask in one attempt.
    private static let askedMax = 8

    let trust: TrustStore
    let group: any EventLoopGroup
    let isLANOnly: Bool
    let clock: NodeClock
    let pace: Pace
    let logger: Logger
    /// Returns the last known addresses of nodes that may sign, the most likely first.
    let addresses: @Sendable () async throws -> [String]
    /// Called at each check of the clock, because peers' certificates also expire.
    let looked: @Sendable () -> Void
    /// Called after a renewal.
    let renewed: @Sendable () -> Void

    /// Renews the certificate when necessary, until cancelled.
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

    /// Returns a random delay up to a bound that doubles after each failure.
    ///
    /// Randomness is necessary because all nodes of a clinic start at once.
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

    /// Asks one node after another.
    ///
    /// - Returns: Whether a node issued a certificate.
    private func ask() async throws -> Bool {
        let trust = self.trust
        for address in try await self.addresses().prefix(CertificateRenewal.askedMax) {
            do {
                let reply = try await EnrollmentInquiry.enroll(
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
