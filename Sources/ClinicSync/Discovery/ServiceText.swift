package import ClinicSyncModel

/// The content of a node's TXT record (RFC 6763, section 6).
package struct ServiceText: Sendable, Hashable {
    /// The largest number of examined strings in a record.
    ///
    /// This program's records have seven strings.
    package static let entriesMax = 32

    /// The tag of the clinic.
    package var clinic: String
    /// The node.
    package var node: NodeID
    /// The term of the node.
    package var term: UInt64
    /// Whether the node is host.
    package var isHost: Bool
    /// Where the node listens.
    ///
    /// The SRV record also contains the port and takes precedence.
    package var port: Int
    /// The version of the protocol between nodes.
    package var protocolVersion: Int
    /// The version of the database's schema.
    package var schemaVersion: Int

    /// Makes the text of an advertisement.
    package init(_ advertisement: Advertisement) {
        self.clinic = ServiceText.tag(ofClinic: advertisement.clinicID)
        self.node = advertisement.node
        self.term = advertisement.term
        self.isHost = advertisement.isHost
        self.port = advertisement.port
        self.protocolVersion = advertisement.protocolVersion
        self.schemaVersion = advertisement.schemaVersion
    }

    /// Reads a record; `nil` when it is not the record of a node.
    ///
    /// Keys may be upper or lower case. The first of several equal keys counts, and unknown keys are ignored (RFC 6763,
    /// 6.4), so that later versions can add keys.
    package init?(entries: [[UInt8]]) {
        let values = ServiceText.values(of: entries.prefix(ServiceText.entriesMax))
        guard let clinic = values["clinic"], let node = values["node"].flatMap({ NodeID($0) }),
            let term = values["term"].flatMap({ UInt64($0) }),
            let role = values["role"],
            let port = values["port"].flatMap({ Int($0) }), (1...65_535).contains(port),
            let protocolVersion = values["protocol"].flatMap({ Int($0) }), protocolVersion >= 0,
            let schemaVersion = values["schema"].flatMap({ Int($0) }), schemaVersion >= 0
        else { return nil }
        self.clinic = clinic
        self.node = node
        self.term = term
        self.isHost = role == "host"
        self.port = port
        self.protocolVersion = protocolVersion
        self.schemaVersion = schemaVersion
    }

    /// The record's keys and values.
    package var pairs: [(key: String, value: String)] {
        [
            ("clinic", self.clinic), ("node", self.node.description), ("term", String(self.term)),
            ("role", self.isHost ? "host" : "member"), ("port", String(self.port)),
            ("protocol", String(self.protocolVersion)), ("schema", String(self.schemaVersion)),
        ]
    }

    /// Returns sixteen hexadecimal digits that distinguish clinics on one network: the 64-bit FNV-1a hash of the
    /// clinic's id.
    ///
    /// The tag is only a filter. It needs no strong hash: anybody on the LAN can copy it, and certificates decide which
    /// node belongs to the clinic.
    package static func tag(ofClinic id: String) -> String {
        var hash: UInt64 = 0xcbf2_9ce4_8422_2325
        for byte in id.utf8 { hash = (hash ^ UInt64(byte)) &* 0x0000_0100_0000_01b3 }
        return hash.padded(to: 16, radix: 16)
    }

    private static func values(of entries: some Sequence<[UInt8]>) -> [String: String] {
        var values: [String: String] = [:]
        for entry in entries {
            guard let text = String(validating: entry, as: UTF8.self), let equals = text.firstIndex(of: "=") else {
                continue
            }
            let key = text[..<equals].lowercased()
            if values[key] == nil { values[key] = String(text[text.index(after: equals)...]) }
        }
        return values
    }
}
