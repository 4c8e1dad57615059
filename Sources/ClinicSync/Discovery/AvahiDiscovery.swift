import ClinicSyncModel
import Foundation

/// Discovery by multicast DNS through avahi-daemon: `_clinicsync._tcp`, one instance for each node, named by its id.
///
/// Discovery works in every state of the daemon: missing, restarted or stopped. It retries every few seconds without
/// end. All calls to libavahi run on one thread, which lives as long as ``run(onEvent:)``. Run an instance only once.
package final class AvahiDiscovery: Discovery {
    /// The service's type.
    static let serviceType = "_clinicsync._tcp"

    private let clinicID: String
    private let ownNode: NodeID?
    private let mailbox: AvahiMailbox

    /// Makes a discovery that announces a node and searches for the other nodes of its clinic.
    package init(_ advertisement: Advertisement) {
        self.clinicID = advertisement.clinicID
        self.ownNode = advertisement.node
        self.mailbox = AvahiMailbox(advertisement)
    }

    /// Makes a discovery that only searches for the nodes of a clinic.
    package init(lookingFor clinicID: String) {
        self.clinicID = clinicID
        self.ownNode = nil
        self.mailbox = AvahiMailbox(nil)
    }

    /// Announces and searches until cancelled.
    package func run(onEvent: @escaping @Sendable (DiscoveryEvent) -> Void) async throws {
        let mailbox = self.mailbox
        let clinicID = self.clinicID
        let ownNode = self.ownNode
        await withTaskCancellationHandler {
            await mailbox.wait(onEvent: onEvent) {
                let thread = Thread {
                    // Only this thread makes, uses and frees the session.
                    AvahiSession(clinicID: clinicID, ownNode: ownNode, mailbox: mailbox).run()
                }
                thread.name = "avahi"
                thread.start()
            }
        } onCancel: {
            mailbox.stop()
        }
        try Task.checkCancellation()
    }

    /// Replaces the announced advertisement from now on.
    package func update(_ advertisement: Advertisement) { self.mailbox.update(advertisement) }
}
