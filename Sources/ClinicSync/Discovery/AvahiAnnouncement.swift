import CAvahi
import ClinicSyncModel

/// A node's announcement: one entry group, used again for every change, because daemons limit how many there may be.
///
/// Belongs to the session's thread, and the group to the client.
final class AvahiAnnouncement {
    /// How an attempt to announce went.
    enum Outcome {
        /// Announced, or nothing to do for now.
        case done
        /// Announced under another name.
        case renamed(String)
        /// The daemon refused, for libavahi's reason.
        case failed(Int32)
    }

    /// The consequence of a state for the session.
    enum Verdict {
        /// Nothing is to be done but what is due.
        case fine
        /// The client is to be replaced.
        case failed
    }

    /// The least time between two changes: what changes more often, the last state of it is announced.
    static let changeInterval = Duration.seconds(1)
    /// Other names tried at once; after that one each ``renameInterval``, so that two PCs do not chase one another.
    static let quickRenamesMax = 8
    /// The time between further names.
    static let renameInterval = Duration.seconds(60)

    /// How long the daemon may take to claim the name, usually a second, before the node asks again.
    ///
    /// A daemon (0.8) whose address goes away while it claims a name never finishes.
    static let claimMax = Duration.seconds(4)

    private let group: OpaquePointer
    private var name: String
    private var published: Advertisement?
    private var isEstablished = false
    /// Nothing is changed before.
    private var notBefore = Duration.zero
    private var claimedAt = Duration.zero
    private var renames = 0
    /// Whether people are to be told of a new name when it is in use.
    private var isNewName = false

    /// Makes the announcement of a node in an empty group, which is freed with ``close()`` or its client.
    init(group: OpaquePointer, node: NodeID) {
        self.group = group
        self.name = node.description
    }

    /// When something is due for `advertisement`; `nil` when nothing is.
    func nextDue(for advertisement: Advertisement) -> Duration? {
        guard let published = self.published else { return self.notBefore }
        guard self.isEstablished else { return self.claimedAt + AvahiAnnouncement.claimMax }
        return published == advertisement ? nil : self.notBefore
    }

    /// Announces what is not announced yet, if it is time.
    func publish(_ advertisement: Advertisement, at now: Duration) -> Outcome {
        guard let due = self.nextDue(for: advertisement), due <= now else { return .done }
        self.notBefore = now + AvahiAnnouncement.changeInterval
        if let published = self.published {
            let isSamePlace = published.port == advertisement.port && published.reach == advertisement.reach
            if self.isEstablished, isSamePlace {
                let error = self.withText(of: advertisement) { text in
                    avahi_entry_group_update_service_txt_strlst(
                        self.group,
                        AvahiSession.anyInterface,
                        AvahiAnnouncement.proto(advertisement.reach),
                        AvahiPublishFlags(rawValue: 0),
                        self.name,
                        AvahiDiscovery.serviceType,
                        nil,
                        text
                    )
                }
                self.published = advertisement
                return error < 0 ? .failed(error) : .done
            }
            self.withdraw()
        }
        self.claimedAt = now
        return self.add(advertisement)
    }

    /// Takes note of the group's state.
    func changed(to state: AvahiEntryGroupState, at now: Duration) -> Verdict {
        self.isEstablished = state == AVAHI_ENTRY_GROUP_ESTABLISHED
        switch state {
        case AVAHI_ENTRY_GROUP_COLLISION:
            self.rename(at: now)
            return .fine
        case AVAHI_ENTRY_GROUP_FAILURE: return .failed
        default: return .fine
        }
    }

    /// Takes the announcement back; the group stays.
    func withdraw() {
        avahi_entry_group_reset(self.group)
        self.published = nil
        self.isEstablished = false
    }

    /// Forgets the group, which its client frees.
    func close() { self.published = nil }

    private func add(_ advertisement: Advertisement) -> Outcome {
        var error = self.withText(of: advertisement) { text in
            avahi_entry_group_add_service_strlst(
                self.group,
                AvahiSession.anyInterface,
                AvahiAnnouncement.proto(advertisement.reach),
                AvahiPublishFlags(rawValue: 0),
                self.name,
                AvahiDiscovery.serviceType,
                nil,
                nil,
                UInt16(clamping: advertisement.port),
                text
            )
        }
        if error >= 0 { error = avahi_entry_group_commit(self.group) }
        if error == AVAHI_ERR_COLLISION {
            // Another process of this very PC has the name; the next attempt takes the next one.
            self.rename(at: self.notBefore)
            return .done
        }
        guard error >= 0 else { return .failed(error) }
        self.published = advertisement
        defer { self.isNewName = false }
        return self.isNewName ? .renamed(self.name) : .done
    }

    private func rename(at now: Duration) {
        self.withdraw()
        self.renames += 1
        self.isNewName = true
        self.notBefore = now
        if self.renames > AvahiAnnouncement.quickRenamesMax { self.notBefore += AvahiAnnouncement.renameInterval }
        guard let next = avahi_alternative_service_name(self.name) else { return }
        self.name = String(cString: next)
        avahi_free(next)
    }

    private func withText(
        of advertisement: Advertisement,
        _ body: (UnsafeMutablePointer<AvahiStringList>?) -> Int32
    ) -> Int32 {
        var list: UnsafeMutablePointer<AvahiStringList>?
        for (key, value) in ServiceText(advertisement).pairs { list = avahi_string_list_add_pair(list, key, value) }
        defer { avahi_string_list_free(list) }
        return body(list)
    }

    private static func proto(_ reach: Advertisement.Reach) -> AvahiProtocol {
        switch reach {
        case .ipv4: Int32(AVAHI_PROTO_INET)
        case .ipv6: Int32(AVAHI_PROTO_INET6)
        case .both: AvahiSession.anyProtocol
        }
    }
}
