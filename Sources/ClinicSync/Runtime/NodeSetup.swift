import ClinicSyncClinic
package import ClinicSyncDiscovery
import ClinicSyncModel
import ClinicSyncStorage
import Foundation

/// Makes a node in a directory: the first node of a new clinic, or a further node of an existing clinic.
///
/// The setup writes the identity last, and removes everything else when a step fails. So a directory contains a
/// complete node or no node. After a kill the same setup may be repeated: it takes back what the killed one had made.
package enum NodeSetup {
    /// Makes a new clinic whose host is this node.
    ///
    /// - Parameters:
    ///   - directory: the new node's files.
    ///   - clinicName: the clinic's name for people.
    ///   - nodeName: the node's name for people.
    ///   - admin: the first user, who may make the others; with `nil`, the clinic's program makes its users.
    ///   - clock: the PC's clock.
    /// - Returns: The new node.
    /// - Throws: ``ClinicSyncError``: `usage` for an invalid name or password, `refused` when the directory already
    ///   contains a node, `permission`, `diskFull`, `storage`.
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
        let mark = try directory.create()
        do {
            try SQLiteReplicaStore.create(at: directory.databaseURL, origin: Origin(node: identity.nodeID))
            if let admin {
                // Write the row as a program would: the collector takes it at the first start.
                _ = try StorageErrors.mapping {
                    try UserAdministration(path: directory.databaseURL.path)
                        .add(username: admin.username, role: .admin, fullName: nil, password: admin.password)
                }
            }
            try files.write(to: directory)
            try directory.write(identity)
            mark.remove()
        } catch {
            directory.takeBackCreation()
            throw error
        }
        return identity
    }

    /// Makes this PC a member of the clinic that made `code`.
    ///
    /// The method asks `host` when given. Otherwise it asks the addresses in the code in turn, then the clinic's nodes
    /// found on the LAN. Steps that can fail on this PC come first, so that a failure does not waste a use of the code.
    ///
    /// - Parameters:
    ///   - directory: the new node's files.
    ///   - code: the join code.
    ///   - host: the address to ask, `address:port`; with `nil`, the addresses in the code.
    ///   - nodeName: the node's name for people.
    ///   - isNameFixed: whether a name that another PC has is refused; otherwise this PC gets a number behind it.
    ///   - isLANOnly: whether to refuse addresses outside private ranges.
    ///   - clock: the PC's clock.
    ///   - discovery: makes a discovery that searches for the clinic with a given id.
    /// - Returns: The new node.
    /// - Throws: ``ClinicSyncError``: the errors of ``create(directory:clinicName:nodeName:admin:clock:)``, and
    ///   `notReachable`, `enrollmentRefused`, `addressNotAllowed`, `timeout`.
    package static func join(
        directory: NodeDirectory,
        code: JoinCode,
        host: String?,
        nodeName: String,
        isNameFixed: Bool = true,
        isLANOnly: Bool = true,
        clock: NodeClock = NodeClock(),
        discovery: @Sendable (String) -> any Discovery = { AvahiDiscovery(lookingFor: $0) }
    ) async throws -> NodeIdentity {
        try NodeSetup.check(name: nodeName, of: "node")
        let addresses = host.map { [$0] } ?? code.addresses.map(\.description)
        let mark = try directory.create()
        do {
            // A host that has admitted the key of an interrupted attempt admits it again, without another use of the code.
            let key = NodeSetup.key(noted: mark.left) ?? SigningKey()
            try mark.note(Array(key.pem.utf8))
            try SQLiteReplicaStore.create(
                at: directory.databaseURL,
                origin: Origin(node: key.id),
                isJoining: true
            )
            var names = NodeSetup.names(from: nodeName, isFixed: isNameFixed)[...]
            let (attempt, membership, address) = try await NodeSetup.ask(&names) { name in
                let attempt = try JoinAttempt(code: code, nodeName: name, key: key) { clock.wallMilliseconds }
                let inquiry = JoinInquiry(attempt: attempt, isLANOnly: isLANOnly)
                do {
                    let (membership, address) = try await inquiry.ask(addresses)
                    return (attempt, membership, address)
                } catch let error as ClinicSyncError where host == nil && JoinInquiry.isUnreachable(error) {
                    let (membership, address) = try await inquiry.search(discovery(code.pin.description), after: error)
                    return (attempt, membership, address)
                }
            }
            let files = try await attempt.check(membership)
            let identity = NodeIdentity(
                nodeID: attempt.nodeID,
                nodeName: attempt.nodeName,
                clinicID: membership.clinicID,
                clinicName: membership.clinicName,
                host: NodeIdentity.Host(
                    nodeID: membership.hostID,
                    address: membership.hostAddresses.first ?? address
                )
            )
            try files.write(to: directory)
            try directory.write(identity)
            mark.remove()
            return identity
        } catch {
            directory.takeBackCreation()
            throw error
        }
    }

    /// The names to ask for in turn.
    private static func names(from name: String, isFixed: Bool) -> [String] {
        if isFixed { return [name] }
        return [name]
            + (2...NodeSetup.namesMax).map { number in
                let addition = "-\(number)"
                var beginning = name
                while beginning.utf8.count + addition.utf8.count > DisplayName.bytesMax { beginning.removeLast() }
                return beginning + addition
            }
    }

    /// How many names a PC asks for before it needs a person: as many PCs may have been installed from one image.
    private static let namesMax = 250

    /// Asks with one name after the other, until no other PC has it.
    private static func ask<Answer>(
        _ names: inout ArraySlice<String>,
        _ body: (String) async throws -> Answer
    ) async throws -> Answer {
        while let name = names.popFirst() {
            do {
                return try await body(name)
            } catch let refusal as NameTaken where names.isEmpty {
                throw refusal.error
            } catch is NameTaken {
                continue
            }
        }
        throw NameTaken().error
    }

    /// The key that an interrupted attempt noted; `nil` when it noted none, or only a part of it.
    private static func key(noted bytes: [UInt8]) -> SigningKey? {
        do { return try SigningKey(pem: String(decoding: bytes, as: UTF8.self)) } catch { return nil }
    }

    /// Checks that a text is a valid name of a `thing`.
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
