import ClinicSyncClinic
package import ClinicSyncDiscovery
import ClinicSyncModel
import ClinicSyncStorage
import Foundation

/// Makes a directory a node: the first of a new clinic, or a further one of an existing clinic.
///
/// The identity is written last and everything else is taken back when a step fails, so that a directory
/// holds a complete node or none.
package enum NodeSetup {
    /// Makes a new clinic whose host is this node.
    ///
    /// - Parameters:
    ///   - directory: the new node's files.
    ///   - clinicName: the clinic's name for people.
    ///   - nodeName: the node's name for people.
    ///   - admin: the first user, who may make the others; `nil`: the clinic's program makes its users.
    ///   - clock: the PC's clock.
    /// - Returns: The new node.
    /// - Throws: ``ClinicSyncError``: `usage` for a name or password that cannot be one, `refused` when the directory
    ///   holds a node already, `permission`, `diskFull`, `storage`.
    package static func create(
        directory: NodeDirectory,
        clinicName: String,
        nodeName: String,
        admin: FirstAdministrator? = nil,
        clock: NodeClock = NodeClock()
    ) throws -> NodeIdentity {
        try NodeSetup.check(name: clinicName, of: "clinic")
        try NodeSetup.check(name: nodeName, of: "node")
        if let admin { try StorageErrors.mapping { try UserAdministration.check(username: admin.username) } }
        let files = try IdentityFiles.found(at: clock.wallMilliseconds)
        let identity = NodeIdentity(
            nodeID: files.key.id,
            nodeName: nodeName,
            clinicID: files.authority.id.description,
            clinicName: clinicName,
            host: nil
        )
        try directory.create()
        do {
            try SQLiteReplicaStore.create(at: directory.databaseURL, origin: Origin(node: identity.nodeID))
            if let admin {
                // As a program would: the row is collected at the first start.
                _ = try StorageErrors.mapping {
                    try UserAdministration(path: directory.databaseURL.path)
                        .add(username: admin.username, role: .admin, fullName: nil, password: admin.password)
                }
            }
            try files.write(to: directory)
            try directory.write(identity)
        } catch {
            directory.takeBackCreation()
            throw error
        }
        return identity
    }

    /// Makes this PC a member of the clinic on one of whose PCs `code` was made.
    ///
    /// Asks `host` when it is given, else the addresses in the code in turn, else those at which nodes of the clinic are
    /// found on the LAN. All that can fail on this PC is done first, so that the code is not used up in vain.
    ///
    /// - Parameters:
    ///   - directory: the new node's files.
    ///   - code: the join code.
    ///   - host: where to ask, `address:port`; `nil`: where the code says.
    ///   - nodeName: the node's name for people.
    ///   - isLANOnly: whether addresses outside of private ranges are refused.
    ///   - clock: the PC's clock.
    ///   - discovery: makes what looks for the clinic with the id it is given.
    /// - Returns: The new node.
    /// - Throws: ``ClinicSyncError``: as ``create(directory:clinicName:nodeName:admin:clock:)``, and `notReachable`,
    ///   `enrollmentRefused`, `addressNotAllowed`, `timeout`.
    package static func join(
        directory: NodeDirectory,
        code: JoinCode,
        host: String?,
        nodeName: String,
        isLANOnly: Bool = true,
        clock: NodeClock = NodeClock(),
        discovery: @Sendable (String) -> any Discovery = { AvahiDiscovery(lookingFor: $0) }
    ) async throws -> NodeIdentity {
        try NodeSetup.check(name: nodeName, of: "node")
        let addresses = host.map { [$0] } ?? code.addresses.map(\.description)
        let attempt = try JoinAttempt(code: code, nodeName: nodeName, wallClock: { clock.wallMilliseconds })
        try directory.create()
        do {
            try SQLiteReplicaStore.create(
                at: directory.databaseURL,
                origin: Origin(node: attempt.nodeID),
                isJoining: true
            )
            let inquiry = JoinInquiry(attempt: attempt, isLANOnly: isLANOnly)
            let (membership, address): (Membership, String)
            do {
                (membership, address) = try await inquiry.ask(addresses)
            } catch let error as ClinicSyncError where host == nil && JoinInquiry.isUnreachable(error) {
                (membership, address) = try await inquiry.search(discovery(code.pin.description), after: error)
            }
            let files = try await attempt.check(membership)
            let identity = NodeIdentity(
                nodeID: attempt.nodeID,
                nodeName: nodeName,
                clinicID: membership.clinicID,
                clinicName: membership.clinicName,
                host: NodeIdentity.Host(
                    nodeID: membership.hostID,
                    address: membership.hostAddresses.first ?? address
                )
            )
            try files.write(to: directory)
            try directory.write(identity)
            return identity
        } catch {
            directory.takeBackCreation()
            throw error
        }
    }

    /// Refuses what cannot be the name of a `thing`.
    ///
    /// - Throws: ``ClinicSyncError`` of code `usage`.
    static func check(name: String, of thing: String) throws {
        guard DisplayName.isName(name) else {
            throw ClinicSyncError(
                .usage,
                "The name of a \(thing) has 1 to \(DisplayName.bytesMax) bytes and no control characters: choose another."
            )
        }
    }
}
