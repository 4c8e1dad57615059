/// The settings of a node.
///
/// A flag takes precedence over an environment variable, which takes precedence over `node.json`. A key without a value
/// has its default. The reader checks every key, even a key that has no effect yet.
public struct NodeConfiguration: Sendable, Hashable {
    /// `listen`: where other nodes connect; default `0.0.0.0:7450`, which is every IPv4 address of the PC.
    public var listen = NetworkAddress(host: "0.0.0.0", port: 7450)
    /// `api`: where the local API listens; default `127.0.0.1:7451`; always loopback.
    public var api = NetworkAddress(host: "127.0.0.1", port: 7451)
    /// `api.allowedOrigins`: origins of web pages that may use the local API with the token; default none, at most 16.
    ///
    /// An example is `http://127.0.0.1:8080`.
    public var allowedOrigins: [String] = []
    /// `peers`: where the node searches for the host besides the remembered address; default none, at most 32.
    public var peers: [NetworkAddress] = []
    /// `lanOnly`: whether the node refuses addresses other than private, link-local and loopback addresses; default
    /// `true`.
    ///
    /// The node checks the real address of the socket, for connections in both directions.
    public var isLANOnly = true
    /// `discovery`: whether nodes find each other on the LAN by avahi-daemon; `auto`, `avahi` or `off`; default `auto`.
    ///
    /// The node uses known and configured addresses in every mode. Without a daemon, `auto` reports this once and
    /// continues, and `avahi` logs a warning.
    public var discovery = DiscoveryMode.auto
    /// `priority`: 0 to 1000, default 100.
    ///
    /// Nodes with larger values are preferred as host; 0 means never host.
    public var priority = 100
    /// `reconcileEvery`: 1 s to 1 d, default 30 s.
    public var reconcileEvery = Duration.seconds(30)
    /// `log.retention`: 1 m to 365 d, default 7 d.
    ///
    /// A batch stays in the log for so long at least, and until every active member has it. Who needs it later gets the state.
    public var logRetention = Duration.seconds(7 * 86_400)
    /// What `clinic-node run` logs, and where.
    public var log = Log()
    /// `group`: the account group whose programs read and write the database; default none.
    ///
    /// At each start the node gives its directory (mode 2770) and the files of the database (mode 0660) to the group.
    public var group: String?
    /// The source of each value; missing keys have their default.
    package private(set) var sources: [ConfigurationKey: ConfigurationSource] = [:]

    /// What `clinic-node run` logs, and where.
    public struct Log: Sendable, Hashable {
        /// `log.level`: `trace`, `debug`, `info`, `notice`, `warning`, `error` or `critical`; default `notice`.
        public var level = "notice"
        /// `log.file`: the file to which it writes, in place of standard error; default none.
        ///
        /// A path that is not absolute begins at the node's directory. The file begins again at 10 MiB; three earlier ones are
        /// kept.
        public var file: String?
    }

    /// The log levels, from the most to the least verbose.
    public static let logLevels = ["trace", "debug", "info", "notice", "warning", "error", "critical"]
    /// The largest number of addresses in `peers`.
    public static let peersMax = 32
    /// The largest number of origins in `api.allowedOrigins`.
    public static let allowedOriginsMax = 16

    /// Makes the defaults.
    public init() {}

    /// Merges the sources: flags override the environment, which overrides `node.json`, which overrides the defaults.
    ///
    /// - Throws: ``ClinicSyncError`` of code `configuration` (or `addressNotAllowed`), with the name of the key.
    package init(
        flags: [ConfigurationKey: [String]],
        environment: [String: String],
        file: [UInt8]?
    ) throws {
        let fileValues = try file.map { try ConfigurationFile.parse($0) } ?? [:]
        for key in ConfigurationKey.allCases {
            if let values = flags[key] {
                try self.set(key, to: values, source: .flag, name: key.flagName)
            } else if let text = environment[key.environmentName], !text.isEmpty {
                let values = key.isList ? text.split(separator: ",").map(String.init) : [text]
                try self.set(key, to: values, source: .environment, name: key.environmentName)
            } else if let values = fileValues[key] {
                try self.set(key, to: values, source: .file, name: "\"\(key.rawValue)\" in node.json")
            }
        }
        try self.validate()
    }

    /// Reads `node.json` of `directory` and applies environment and flags over it.
    package static func load(
        from directory: NodeDirectory,
        flags: [ConfigurationKey: [String]],
        environment: [String: String]
    ) throws -> NodeConfiguration {
        try NodeConfiguration(
            flags: flags,
            environment: environment,
            file: AtomicFile.read(directory.configurationURL, followsLinks: true)
        )
    }

    /// Checks rules that the check of single values cannot cover: forbidden addresses and ranges.
    public func validate() throws {
        guard self.api.isLoopback else {
            throw ClinicSyncError(
                .addressNotAllowed,
                "The local API listens on loopback only: use 127.0.0.1 instead of \(self.api.host)."
            )
        }
        guard self.listen.port == 0 || self.listen != self.api else {
            throw ClinicSyncError(.configuration, "listen and api are both \(self.api): give them different ports.")
        }
        try self.check(.priority, self.priority, in: 0...1_000)
        try self.check(.reconcileEvery, self.reconcileEvery, in: .seconds(1) ... .seconds(86_400))
        try self.check(.logRetention, self.logRetention, in: .seconds(60) ... .seconds(365 * 86_400))
        try self.checkOrigins()
        guard self.peers.count <= NodeConfiguration.peersMax else {
            throw ClinicSyncError(
                .configuration,
                "peers has more than \(NodeConfiguration.peersMax) addresses: name fewer."
            )
        }
    }

    private func checkOrigins() throws {
        guard self.allowedOrigins.count <= NodeConfiguration.allowedOriginsMax else {
            throw ClinicSyncError(
                .configuration,
                "api.allowedOrigins has more than \(NodeConfiguration.allowedOriginsMax) origins: name fewer."
            )
        }
    }

    /// The effective values as text, in the order of the keys.
    package var effectiveValues: [(key: ConfigurationKey, values: [String], source: ConfigurationSource)] {
        ConfigurationKey.allCases.map { key in
            (key: key, values: self.values(of: key), source: self.sources[key] ?? .default)
        }
    }

    // MARK: - Single values

    private func values(of key: ConfigurationKey) -> [String] {
        switch key {
        case .listen: [self.listen.description]
        case .api: [self.api.description]
        case .allowedOrigins: self.allowedOrigins
        case .peers: self.peers.map(\.description)
        case .lanOnly: [String(self.isLANOnly)]
        case .discovery: [self.discovery.rawValue]
        case .priority: [String(self.priority)]
        case .reconcileEvery: [DurationText.format(self.reconcileEvery)]
        case .logRetention: [DurationText.format(self.logRetention)]
        case .logLevel: [self.log.level]
        case .logFile: self.log.file.map { [$0] } ?? []
        case .group: self.group.map { [$0] } ?? []
        }
    }

    private mutating func set(
        _ key: ConfigurationKey,
        to values: [String],
        source: ConfigurationSource,
        name: String
    ) throws {
        self.sources[key] = source
        if key == .peers {
            self.peers = try values.map { try self.address($0, of: key, name: name) }
        } else if key == .allowedOrigins {
            self.allowedOrigins = try values.map { try self.origin($0, of: key, name: name) }
        } else {
            guard let value = values.first, values.count == 1 else {
                throw ClinicSyncError(self.blame(for: key), "\(name) takes one value: give one.")
            }
            try self.set(key, to: value, name: name)
        }
    }

    private mutating func set(_ key: ConfigurationKey, to value: String, name: String) throws {
        func malformed(_ expected: String) -> ClinicSyncError {
            ClinicSyncError(self.blame(for: key), "\(name) is \"\(value)\": it must be \(expected).")
        }
        switch key {
        case .listen: self.listen = try self.address(value, of: key, name: name)
        case .api: self.api = try self.address(value, of: key, name: name)
        case .peers: self.peers = [try self.address(value, of: key, name: name)]
        case .allowedOrigins: self.allowedOrigins = [try self.origin(value, of: key, name: name)]
        case .lanOnly:
            guard let isOn = Bool(value) else { throw malformed("true or false") }
            self.isLANOnly = isOn
        case .discovery:
            guard let mode = DiscoveryMode(rawValue: value) else { throw malformed("auto, avahi or off") }
            self.discovery = mode
        case .priority:
            guard let number = Int(value) else { throw malformed("a whole number from 0 to 1000") }
            self.priority = number
        case .reconcileEvery:
            guard let duration = DurationText.parse(value) else { throw malformed("a time such as 30s or 5m") }
            self.reconcileEvery = duration
        case .logRetention:
            guard let duration = DurationText.parse(value) else { throw malformed("a time such as 12h or 7d") }
            self.logRetention = duration
        case .logLevel:
            guard NodeConfiguration.logLevels.contains(value) else {
                throw malformed("one of " + NodeConfiguration.logLevels.joined(separator: ", "))
            }
            self.log.level = value
        case .logFile:
            // A second opening of the database in this process would end SQLite's locks on it.
            let name = value.split(separator: "/").last ?? ""
            guard !value.hasSuffix("/"), !value.utf8.contains(0), !name.isEmpty, !name.hasPrefix("clinic.db") else {
                throw malformed("the path of a file that is not the database")
            }
            self.log.file = value
        case .group:
            guard !value.isEmpty, value.utf8.count <= 32 else { throw malformed("the name of a group") }
            self.group = value
        }
    }

    /// Reads an origin in the form that browsers write: scheme, host and optional port, and nothing after.
    private func origin(_ text: String, of key: ConfigurationKey, name: String) throws -> String {
        let pattern = /https?:\/\/[A-Za-z0-9.\-\[\]:]{1,255}/
        guard text.wholeMatch(of: pattern) != nil else {
            throw ClinicSyncError(
                self.blame(for: key),
                "\(name) is \"\(text)\": it must be the beginning of a page's address, such as http://127.0.0.1:8080."
            )
        }
        return text
    }

    private func address(_ text: String, of key: ConfigurationKey, name: String) throws -> NetworkAddress {
        do {
            return try NetworkAddress(parsing: text)
        } catch let error as ClinicSyncError {
            throw ClinicSyncError(self.blame(for: key), "\(name): \(error.message)", cause: error)
        }
    }

    /// A wrong flag is a usage error; every other wrong value is a configuration error.
    private func blame(for key: ConfigurationKey) -> ClinicSyncError.Code {
        self.sources[key] == .flag ? .usage : .configuration
    }

    private func check<Value: Comparable>(
        _ key: ConfigurationKey,
        _ value: Value,
        in range: ClosedRange<Value>
    ) throws {
        guard range.contains(value) else {
            func text(_ bound: Value) -> String { (bound as? Duration).map(DurationText.format) ?? "\(bound)" }
            throw ClinicSyncError(
                self.blame(for: key),
                "\(key.rawValue) is \(text(value)): it must be from \(text(range.lowerBound)) to \(text(range.upperBound))."
            )
        }
    }
}
