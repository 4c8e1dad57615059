import Crypto
package import Foundation

/// What the holder of a token may do through the local API; `docs/API.md` names the endpoints of each.
package enum TokenRight: String, CaseIterable, Sendable, Hashable, Codable {
    /// Gets events, over WebSocket or as a stream.
    case events
    /// Reads the state of the node and the clinic, conflicts, and what happened to a value.
    case read
    /// Starts comparisons and measurements, sends notices, and settles conflicts.
    case write
    /// Logs users in and out, and lists sessions.
    case sessions
    /// Administers the clinic: members, the host, join codes, backups; and makes links to the dashboard.
    case admin
}

/// A token that an administrator made for one program, without the secret.
package struct ProgramToken: Sendable, Hashable, Codable {
    /// The longest name, in characters.
    package static let nameCharactersMax = 64

    /// The name by which people know it; unique in a node.
    package var name: String
    /// What it allows.
    package var rights: Set<TokenRight>
    /// The only tables whose changes it shows; empty: all.
    package var tables: Set<String>
    /// When it was made.
    package var created: Date
    /// The SHA-256 hash of the secret, in hexadecimal digits.
    ///
    /// The secret has 256 random bits, so that a hash that takes no time is enough.
    var digest: String

    private enum CodingKeys: String, CodingKey { case name, rights, tables, created, digest }

    init(name: String, rights: Set<TokenRight>, tables: Set<String>, created: Date, secret: [UInt8]) {
        self.name = name
        self.rights = rights
        self.tables = tables
        self.created = created
        self.digest = ProgramToken.digest(of: secret)
    }

    /// Writes sets in the order of the alphabet, so that a file changes only where its meaning does.
    package func encode(to encoder: any Encoder) throws {
        var container = encoder.container(keyedBy: CodingKeys.self)
        try container.encode(self.name, forKey: .name)
        try container.encode(self.rights.map(\.rawValue).sorted(), forKey: .rights)
        try container.encode(self.tables.sorted(), forKey: .tables)
        try container.encode(self.created, forKey: .created)
        try container.encode(self.digest, forKey: .digest)
    }

    /// The hash under which a secret is stored.
    static func digest(of secret: [UInt8]) -> String {
        SHA256.hash(data: secret).map { String($0 >> 4, radix: 16) + String($0 & 15, radix: 16) }.joined()
    }
}
