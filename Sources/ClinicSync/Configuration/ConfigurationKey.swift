/// A setting of the node: its names in `node.json` and in the environment.
package enum ConfigurationKey: String, Sendable, Hashable, CaseIterable {
    /// Where the node listens for other nodes.
    case listen
    /// Where the local API listens.
    case api
    /// Foreign web pages that may use the local API, besides the node's own pages.
    case allowedOrigins = "api.allowedOrigins"
    /// Further addresses where the node searches for the host.
    case peers
    /// Whether the node refuses peers outside private address ranges.
    case lanOnly
    /// How other nodes are found.
    case discovery
    /// How strongly the node is preferred as host: a larger value is preferred, and 0 means never.
    case priority
    /// The time between two reconciliations.
    case reconcileEvery
    /// How long the change log keeps changes that every node has.
    case logRetention = "log.retention"
    /// The lowest level of log messages that the node writes.
    case logLevel = "log.level"
    /// The file to which the node writes its log, in place of standard error.
    case logFile = "log.file"
    /// The group whose accounts may open the database.
    case group

    /// Whether the key takes a list.
    ///
    /// In the environment, commas separate its values.
    package var isList: Bool { self == .peers || self == .allowedOrigins }

    /// The flag of the key: `--reconcile-every` for `reconcileEvery`.
    ///
    /// The flag of `peers` is `--peer`, because a caller gives it once for each peer.
    package var flagName: String {
        guard self != .peers else { return "--peer" }
        return "--" + self.environmentName.dropFirst("CLINIC_NODE_".count).lowercased().replacing("_", with: "-")
    }

    /// The environment variable: `CLINIC_NODE_RECONCILE_EVERY` for `reconcileEvery`.
    package var environmentName: String {
        var name = "CLINIC_NODE_"
        for character in self.rawValue {
            if character == "." {
                name += "_"
            } else {
                if character.isUppercase { name += "_" }
                name += character.uppercased()
            }
        }
        return name
    }
}

/// The source of a setting's value, from the weakest to the strongest.
package enum ConfigurationSource: String, Sendable, Hashable, Codable {
    /// The default, because no other source sets the key.
    case `default`
    /// `node.json`.
    case file
    /// An environment variable.
    case environment
    /// The command line.
    case flag
}

/// How other nodes are found.
public enum DiscoveryMode: String, Sendable, Hashable, CaseIterable {
    /// By Avahi where it runs, otherwise by addresses.
    case auto
    /// By Avahi.
    ///
    /// The node reports a missing daemon.
    case avahi
    /// Only by configured and remembered addresses.
    case off
}
