import ClinicSyncModel
import Foundation

/// Discovery by multicast DNS through avahi-daemon: `_clinicsync._tcp`, one instance for each node, named by its id.
///
/// Works with whatever the daemon does: none yet, restarted, stopped; it asks again every few seconds for ever. Everything of
/// libavahi happens on one thread, which lives while ``run(onEvent:)`` does. An instance is run once.
package final class AvahiDiscovery: Discovery {
    /// The service's type.
    static let serviceType = "_clinicsync._tcp"

    private let clinicID: String
    private let ownNode: NodeID?
    private let mailbox: AvahiMailbox

    /// Makes what announces a node and looks for the others of its clinic.
    package init(_ advertisement: Advertisement) {
        self.clinicID = advertisement.clinicID
        self.ownNode = advertisement.node
        self.mailbox = AvahiMailbox(advertisement)
    }

    /// Makes what only looks for the nodes of a clinic.
    package init(lookingFor clinicID: String) {
        self.clinicID = clinicID
        self.ownNode = nil
        self.mailbox = AvahiMailbox(nil)
    }

    /// Announces and looks until cancelled.
    package func run(onEvent: @escaping @Sendable (DiscoveryEvent) -> Void) async throws {
        let mailbox = self.mailbox
        let clinicID = self.clinicID
        let ownNode = self.ownNode
        await withTaskCancellationHandler {
            await mailbox.wait(onEvent: onEvent) {
                let thread = Thread {
                    // Made, used and freed on this thread alone.
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

    /// Announces something else from now on.
    package func update(_ advertisement: Advertisement) { self.mailbox.update(advertisement) }
}
