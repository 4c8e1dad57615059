import CAvahi
import ClinicSyncModel

/// A node's announcement: one entry group, reused for every change, because daemons limit the number of groups.
///
/// The session's thread owns the announcement, and the client owns the group.
final class AvahiAnnouncement {
    /// The result of an attempt to announce.
    enum Outcome {
        /// The node is announced, or the attempt has nothing to do now.
        case done
        /// The node is announced under another name.
        case renamed(String)
        /// The daemon refused, with libavahi's error code.
        case failed(Int32)
    }

    /// The consequence of a state for the session.
    enum Verdict {
        /// The session has nothing to do except work that is due.
        case fine
        /// The session must replace the client.
        case failed
    }

    /// The shortest time between two changes.
    ///
    /// The node announces only the last of several faster changes.
    static let changeInterval = Duration.seconds(1)
    /// The number of other names that the node tries immediately.
    ///
    /// Then it tries one name per ``renameInterval``, so that two PCs do not rename each other in a loop.
    static let quickRenamesMax = 8
    /// The time between further names.
    static let renameInterval = Duration.seconds(60)

    /// How long the daemon may take to claim the name before the node asks again; usually a second.
    ///
    /// A daemon (0.8) whose address disappears while it claims a name never finishes.
    static let claimMax = Duration.seconds(4)

    private let group: OpaquePointer
    private var name: String
    private var published: Advertisement?
    private var isEstablished = false
    /// The announcement does not change before this time.
    private var notBefore = Duration.zero
    private var claimedAt = Duration.zero
    private var renames = 0
    /// Whether the node must report a new name when the name is in use.
    private var isNewName = false

    /// Makes the announcement of a node in an empty group.
    ///
    /// ``close()`` or the client frees the group.
    init(group: OpaquePointer, node: NodeID) {
        self.group = group
        self.name = node.description
    }

    /// Returns when work for `advertisement` is due; `nil` when no work is due.
    func nextDue(for advertisement: Advertisement) -> Duration? {
        guard let published = self.published else { return self.notBefore }
        guard self.isEstablished else { return self.claimedAt + AvahiAnnouncement.claimMax }
        return published == advertisement ? nil : self.notBefore
    }

    /// Announces unannounced changes, if the time has come.
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

    /// Records the group's state.
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

    /// Withdraws the announcement and keeps the group.
    func withdraw() {
        avahi_entry_group_reset(self.group)
        self.published = nil
        self.isEstablished = false
    }

    /// Forgets the group.
    ///
    /// Its client frees it.
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
            // Another process on this PC uses the name; the next attempt uses the next name.
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
