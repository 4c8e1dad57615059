package import ClinicSyncModel

/// The identity of a node and of its clinic; the content of `identity/identity.json`.
package struct NodeIdentity: Sendable, Hashable, Codable {
    /// The host to which a client connects first.
    package struct Host: Sendable, Hashable, Codable {
        /// The host's id.
        package var nodeID: NodeID
        /// The last known address of the host, `address:port`.
        package var address: String

        /// Makes a host.
        package init(nodeID: NodeID, address: String) {
            self.nodeID = nodeID
            self.address = address
        }
    }

    /// The node.
    package var nodeID: NodeID
    /// Its name for people.
    package var nodeName: String
    /// The clinic: the text form of the id of its authority's key.
    package var clinicID: String
    /// The clinic's name for people.
    package var clinicName: String
    /// The host; `nil` when this node is the host.
    package var host: Host?

    /// Makes an identity.
    package init(
        nodeID: NodeID,
        nodeName: String,
        clinicID: String,
        clinicName: String,
        host: Host?
    ) {
        self.nodeID = nodeID
        self.nodeName = nodeName
        self.clinicID = clinicID
        self.clinicName = clinicName
        self.host = host
    }
}

extension NodeID: Codable {
    /// Reads the text form.
    package init(from decoder: any Decoder) throws {
        let container = try decoder.singleValueContainer()
        let text = try container.decode(String.self)
        guard let id = NodeID(text) else {
            throw DecodingError.dataCorruptedError(in: container, debugDescription: "no node id")
        }
        self = id
    }

    /// Writes the text form.
    package func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(self.description)
    }
}
