import ClinicSyncModel
import ClinicSyncStorage
import Foundation
import NIOPosix

/// Makes a directory a node: the first of a new clinic, or a further one of an existing clinic.
///
/// The identity is written last and everything else is taken back when a step fails, so that a directory
/// holds a complete node or none.
package enum NodeSetup {
    /// Bytes of a name at most; the wire's limit.
    package static let nameBytesMax = 64
    /// How long one address may take to answer a join.
    package static let joinTimeout = Duration.seconds(10)

    /// Makes a new clinic whose host is this node.
    ///
    /// - Throws: ``ClinicSyncError``: `usage` for a name that cannot be one, `refused` when the directory
    ///   holds a node already, `permission`, `diskFull`, `storage`.
    package static func create(
        directory: NodeDirectory,
        clinicName: String,
        nodeName: String
    ) throws -> NodeIdentity {
        try NodeSetup.check(name: clinicName, of: "clinic")
        try NodeSetup.check(name: nodeName, of: "node")
        var generator = SystemRandomNumberGenerator()
        let identity = NodeIdentity(
            nodeID: NodeID(using: &generator),
            nodeName: nodeName,
            clinicID: NodeID(using: &generator).description,
            clinicName: clinicName,
            clinicSecret: NodeSetup.randomBytes(32, using: &generator),
            host: nil
        )
        try directory.create()
        do {
            try SQLiteReplicaStore.create(at: directory.databaseURL, origin: Origin(node: identity.nodeID))
            try directory.write(identity)
        } catch {
            directory.takeBackCreation()
            throw error
        }
        return identity
    }

    /// Makes this PC a member of the clinic whose host made `code`.
    ///
    /// Asks `host` when it is given, else the addresses in the code in turn. All that can fail on this PC is
    /// done first, so that the code is not used up in vain.
    ///
    /// - Throws: ``ClinicSyncError``: as ``create(directory:clinicName:nodeName:)``, and `notReachable`,
    ///   `refused`, `timeout`.
    package static func join(
        directory: NodeDirectory,
        code: JoinCode,
        host: String?,
        nodeName: String
    ) async throws -> NodeIdentity {
        try NodeSetup.check(name: nodeName, of: "node")
        let addresses = host.map { [$0] } ?? code.addresses.map(\.description)
        var generator = SystemRandomNumberGenerator()
        let nodeID = NodeID(using: &generator)
        try directory.create()
        do {
            try SQLiteReplicaStore.create(at: directory.databaseURL, origin: Origin(node: nodeID))
            let request = JoinRequest(secret: code.secret, nodeID: nodeID, nodeName: nodeName)
            let (membership, address) = try await NodeSetup.ask(addresses, request, hostID: code.hostID)
            let identity = NodeIdentity(
                nodeID: nodeID,
                nodeName: nodeName,
                clinicID: membership.clinicID,
                clinicName: membership.clinicName,
                clinicSecret: Data(membership.clinicSecret),
                host: NodeIdentity.Host(nodeID: membership.hostID, address: address)
            )
            try directory.write(identity)
            return identity
        } catch {
            directory.takeBackCreation()
            throw error
        }
    }

    /// Asks the addresses in turn until one answers; a refusal is an answer.
    private static func ask(
        _ addresses: [String],
        _ request: JoinRequest,
        hostID: NodeID
    ) async throws -> (Membership, address: String) {
        var failure = ClinicSyncError(.usage, "The join code holds no address: name the host with --host ADDRESS:PORT.")
        for address in addresses {
            do {
                let reply = try await PeerTransport.join(
                    address: address,
                    request: request,
                    group: MultiThreadedEventLoopGroup.singleton,
                    timeout: NodeSetup.joinTimeout
                )
                switch reply {
                case .refused(let reason):
                    throw ClinicSyncError(.refused, reason)
                case .accepted(let membership):
                    guard membership.hostID == hostID else {
                        throw ClinicSyncError(
                            .refused,
                            "Another node than the one that made the code answers at \(address): check --host."
                        )
                    }
                    return (membership, address)
                }
            } catch let error as ClinicSyncError where error.code == .notReachable || error.code == .timeout {
                failure = error
            }
        }
        throw failure
    }

    private static func check(name: String, of thing: String) throws {
        let isPrintable = name.unicodeScalars.allSatisfy { $0.properties.generalCategory != .control }
        guard !name.trimmingCharacters(in: .whitespaces).isEmpty, isPrintable,
            name.utf8.count <= NodeSetup.nameBytesMax
        else {
            throw ClinicSyncError(
                .usage,
                "The name of a \(thing) has 1 to \(NodeSetup.nameBytesMax) bytes and no control characters: choose another."
            )
        }
    }

    private static func randomBytes(_ count: Int, using generator: inout SystemRandomNumberGenerator) -> Data {
        Data((0..<count).map { _ in UInt8.random(in: .min ... .max, using: &generator) })
    }
}
