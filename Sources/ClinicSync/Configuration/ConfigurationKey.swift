/// A setting of the node: its names in `node.json` and in the environment.
package enum ConfigurationKey: String, Sendable, Hashable, CaseIterable {
    /// Where the node listens for other nodes.
    case listen
    /// Where the local API listens.
    case api
    /// Web pages that may use the local API besides the node's own.
    case allowedOrigins = "api.allowedOrigins"
    /// Further addresses at which to look for the host.
    case peers
    /// Whether nodes outside of private address ranges are refused.
    case lanOnly
    /// How other nodes are found.
    case discovery
    /// How much this node wants to be host; the larger the more, 0 never.
    case priority
    /// The time between two reconciliations.
    case reconcileEvery
    /// How long the change log keeps what everybody has.
    case logRetention = "log.retention"
    /// From which level on messages are written.
    case logLevel = "log.level"
    /// The group whose accounts may open the database.
    case group

    /// Whether the key takes a list, which in the environment is separated by commas.
    package var isList: Bool { self == .peers || self == .allowedOrigins }

    /// The flag: `--reconcile-every` for `reconcileEvery`; `--peer`, because it is given once for each.
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

/// Where a setting's value comes from, from the weakest to the strongest.
package enum ConfigurationSource: String, Sendable, Hashable, Codable {
    /// The default, because nothing sets it.
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
    /// By Avahi where it runs, else by addresses.
    case auto
    /// By Avahi; a missing daemon is reported.
    case avahi
    /// By configured and remembered addresses alone.
    case off
}
