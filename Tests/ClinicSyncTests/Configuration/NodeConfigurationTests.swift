import Testing

@testable import ClinicSync

@Suite struct NodeConfigurationTests {
    private func load(
        flags: [ConfigurationKey: [String]] = [:],
        environment: [String: String] = [:],
        file: String? = nil
    ) throws -> NodeConfiguration {
        try NodeConfiguration(flags: flags, environment: environment, file: file.map { Array($0.utf8) })
    }

    @Test("without any setting the defaults hold")
    func defaults() throws {
        let configuration = try self.load()
        #expect(configuration == NodeConfiguration())
        #expect(configuration.listen.description == "0.0.0.0:7450")
        #expect(configuration.isLANOnly)
        #expect(configuration.api.description == "127.0.0.1:7451")
        #expect(configuration.reconcileEvery == .seconds(30))
        #expect(configuration.logRetention == .seconds(7 * 86_400))
    }

    @Test("a flag beats the environment, which beats the file")
    func precedence() throws {
        let file = #"{"priority": 1, "reconcileEvery": "10s", "log": {"level": "info"}}"#
        let environment = ["CLINIC_NODE_PRIORITY": "2", "CLINIC_NODE_RECONCILE_EVERY": "20s"]
        let configuration = try self.load(flags: [.priority: ["3"]], environment: environment, file: file)
        #expect(configuration.priority == 3)
        #expect(configuration.reconcileEvery == .seconds(20))
        #expect(configuration.log.level == "info")
        #expect(configuration.sources == [.priority: .flag, .reconcileEvery: .environment, .logLevel: .file])
    }

    @Test("the priority is 100 unless said otherwise, and 0 to 1000", arguments: [nil, "0", "1000"])
    func priority(value: String?) throws {
        let configuration = try self.load(flags: value.map { [.priority: [$0]] } ?? [:], environment: [:], file: nil)
        #expect(configuration.priority == value.flatMap { Int($0) } ?? 100)
        for wrong in ["-1", "1001"] {
            #expect(throws: ClinicSyncError.self) {
                try self.load(flags: [.priority: [wrong]], environment: [:], file: nil)
            }
        }
    }

    @Test("peers are a list in the file and separated by commas in the environment")
    func peers() throws {
        let two = ["127.0.0.1:1", "[::1]:2"]
        #expect(try self.load(file: #"{"peers": ["127.0.0.1:1", "[::1]:2"]}"#).peers.map(\.description) == two)
        let environment = ["CLINIC_NODE_PEERS": "127.0.0.1:1,[::1]:2"]
        #expect(try self.load(environment: environment).peers.map(\.description) == two)
    }

    @Test(
        "a wrong file is refused, naming what is wrong",
        arguments: [
            (#"{"lisen": "127.0.0.1:1"}"#, "lisen"), (#"{"log": {"colour": "red"}}"#, "log.colour"),
            (#"{"listen": "nowhere"}"#, "nowhere"), (#"{"priority": 1001}"#, "0 to 1000"),
            (#"{"priority": "high"}"#, "priority"), (#"{"discovery": "magic"}"#, "auto, avahi or off"),
            (#"{"reconcileEvery": "0s"}"#, "1s to 1d"), (#"{"reconcileEvery": 30}"#, "30s"),
            (#"{"log.level": "loud"}"#, "notice"), (#"{"log.file": "./clinic.db-wal"}"#, "not the database"),
            (#"{"log.level": "info", "log": {"level": "info"}}"#, "twice"),
            (#"{"listen": ["127.0.0.1:1", "127.0.0.1:2"]}"#, "one value"), ("[]", "JSON object"), ("{", "JSON object"),
            (#"{"listen": true}"#, "a text or a number"), (#"{"lanOnly": 1}"#, "true or false"),
            (#"{"lanOnly": null}"#, "JSON object"), (#"{"listen": "127.0.0.1:1", "api": "127.0.0.1:1"}"#, "different"),
        ]
    )
    func wrongFile(file: String, names: String) {
        let error = #expect(throws: ClinicSyncError.self) { try self.load(file: file) }
        #expect(error?.code == .configuration)
        #expect(error?.message.contains(names) == true, "\(error?.message ?? "")")
    }

    @Test(
        "a local API that other PCs reach is refused with the reason",
        arguments: [ConfigurationKey.api],
        ["192.168.1.10:7450", "0.0.0.0:7450", "[::]:7450", "example.org:7450", "127.0.0.1.example.org:7450"]
    )
    func apiNotLoopback(key: ConfigurationKey, address: String) {
        let error = #expect(throws: ClinicSyncError.self) { try self.load(flags: [key: [address]]) }
        #expect(error?.code == .addressNotAllowed)
    }

    @Test("nodes may be outside of this PC, and outside of the LAN when the settings say so")
    func addressesOfOthers() throws {
        let configuration = try self.load(
            flags: [.listen: ["192.168.1.10:7450"], .peers: ["10.0.0.7:7450"]],
            file: #"{"lanOnly": false}"#
        )
        #expect(configuration.listen.description == "192.168.1.10:7450")
        #expect(configuration.peers.map(\.description) == ["10.0.0.7:7450"])
        #expect(!configuration.isLANOnly)
        #expect(try self.load(flags: [.lanOnly: ["true"]], file: #"{"lanOnly": false}"#).isLANOnly)
    }

    @Test(
        "text that is no address is malformed",
        arguments: [
            "", "7450", "127.0.0.1", "127.0.0.1:", "127.0.0.1:65536", "::1:7450", "[127.0.0.1]:1", "a b:1", ":1",
        ]
    )
    func malformedAddress(text: String) {
        let error = #expect(throws: ClinicSyncError.self) { try NetworkAddress(parsing: text) }
        #expect(error?.code == .malformedAddress)
    }

    @Test("origins of pages are a list too, and nothing but the beginning of an address")
    func allowedOrigins() throws {
        let origins = ["http://127.0.0.1:8080", "https://clinic.example"]
        let file = #"{"api.allowedOrigins": ["http://127.0.0.1:8080", "https://clinic.example"]}"#
        #expect(try self.load(file: file).allowedOrigins == origins)
        let environment = ["CLINIC_NODE_API_ALLOWED_ORIGINS": origins.joined(separator: ",")]
        #expect(try self.load(environment: environment).allowedOrigins == origins)
        for text in ["*", "null", "127.0.0.1:8080", "http://127.0.0.1/", "http://a b", "file://x"] {
            let error = #expect(throws: ClinicSyncError.self) {
                try self.load(environment: ["CLINIC_NODE_API_ALLOWED_ORIGINS": text])
            }
            #expect(error?.code == .configuration, "\(text)")
        }
    }

    @Test("the environment's names follow from the keys")
    func environmentNames() {
        #expect(
            ConfigurationKey.allCases.map(\.environmentName) == [
                "CLINIC_NODE_LISTEN", "CLINIC_NODE_API", "CLINIC_NODE_API_ALLOWED_ORIGINS", "CLINIC_NODE_PEERS",
                "CLINIC_NODE_LAN_ONLY",
                "CLINIC_NODE_DISCOVERY", "CLINIC_NODE_PRIORITY", "CLINIC_NODE_RECONCILE_EVERY",
                "CLINIC_NODE_LOG_RETENTION", "CLINIC_NODE_LOG_LEVEL", "CLINIC_NODE_LOG_FILE", "CLINIC_NODE_GROUP",
            ]
        )
    }

    @Test("durations are read and written in one form", arguments: ["1ms", "500ms", "30s", "15m", "8h", "7d", "0s"])
    func durations(text: String) throws {
        let duration = try #require(DurationText.parse(text))
        #expect(DurationText.format(duration) == text)
    }

    @Test(
        "what is no duration is none",
        arguments: ["", "30", "s", "-1s", "1.5s", "30 s", "30S", "99999999999d", "٣s"]
    )
    func noDuration(text: String) {
        #expect(DurationText.parse(text) == nil)
    }
}
