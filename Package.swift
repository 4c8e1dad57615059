// swift-tools-version: 6.2
import PackageDescription

let settings: [SwiftSetting] = [
    .swiftLanguageMode(.v6),
    .enableUpcomingFeature("ExistentialAny"),
    .enableUpcomingFeature("MemberImportVisibility"),
    .enableUpcomingFeature("InternalImportsByDefault"),
    .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
    .enableUpcomingFeature("InferIsolatedConformances"),
    .enableUpcomingFeature("ImmutableWeakCaptures"),
    .treatAllWarnings(as: .error),
]

let package = Package(
    name: "clinic-sync",
    products: [
        .library(name: "ClinicSync", targets: ["ClinicSync"]),
        .library(name: "ClinicSyncTestKit", targets: ["ClinicSyncTestKit", "ClinicSyncSimulation"]),
        .executable(name: "clinic-node", targets: ["clinic-node"]),
    ],
    dependencies: [
        .package(url: "https://github.com/groue/GRDB.swift", from: "7.10.0"),
        .package(url: "https://github.com/apple/swift-nio", from: "2.101.2"),
        .package(url: "https://github.com/apple/swift-nio-ssl", from: "2.37.6"),
        .package(url: "https://github.com/apple/swift-crypto", from: "4.5.2"),
        .package(url: "https://github.com/apple/swift-certificates", from: "1.21.1"),
        .package(url: "https://github.com/apple/swift-asn1", from: "1.7.4"),
        .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.2"),
        .package(url: "https://github.com/apple/swift-log", from: "1.16.2"),
        .package(url: "https://github.com/apple/swift-metrics", from: "2.13.0"),
        .package(url: "https://github.com/apple/swift-http-types", from: "1.8.0", traits: []),
        .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.13.0"),
        .package(url: "https://github.com/apple/swift-protobuf", from: "1.39.0"),
        .package(url: "https://github.com/apple/swift-collections", from: "1.6.0"),
        // Without its support for swift-configuration: settings are read by the module ClinicSync.
        .package(url: "https://github.com/hummingbird-project/hummingbird", from: "2.28.1", traits: ["FullFoundation"]),
    ],
    targets: [
        // Makes string literals of text files: the schema's SQL and JSON, the dashboard's HTML, CSS and JavaScript.
        .plugin(name: "EmbedFiles", capability: .buildTool(), path: "Sources/EmbedFiles"),
        .target(
            name: "ClinicSchema",
            path: "schema",
            exclude: ["README.md", "schema.sql"],
            sources: ["ClinicSchema.swift"],
            swiftSettings: settings,
            plugins: ["EmbedFiles"]
        ),

        // Vocabulary and the sans-IO core, each a module, so that the compiler enforces the arrows.
        .target(name: "ClinicSyncModel", path: "Sources/ClinicSync/Model", swiftSettings: settings),
        .target(
            name: "ClinicSyncCore",
            dependencies: [
                "ClinicSyncModel",
                .product(name: "OrderedCollections", package: "swift-collections"),
                .product(name: "DequeModule", package: "swift-collections"),
            ],
            path: "Sources/ClinicSync/Core",
            swiftSettings: settings
        ),
        .target(
            name: "ClinicSyncWire",
            dependencies: [
                "ClinicSyncModel",
                .product(name: "SwiftProtobuf", package: "swift-protobuf"),
                .product(name: "NIOCore", package: "swift-nio"),
            ],
            path: "Sources/ClinicSync/Wire",
            exclude: ["clinicsync.proto", "generate.sh"],
            swiftSettings: settings
        ),
        // What of SQLite's C API Swift cannot call.
        .target(name: "CSQLiteShim", linkerSettings: [.linkedLibrary("sqlite3")]),
        // A disk in memory under SQLite, for tests of power cuts.
        .target(name: "CSimulatedDisk", linkerSettings: [.linkedLibrary("sqlite3")]),
        // Counts allocations, for tests of how much work is done.
        .target(name: "CAllocationCount"),
        .target(
            name: "ClinicSyncStorage",
            dependencies: [
                "CSQLiteShim",
                "ClinicSyncModel",
                "ClinicSyncCore",
                "ClinicSchema",
                .product(name: "GRDB", package: "GRDB.swift"),
                .product(name: "GRDBSQLite", package: "GRDB.swift"),
            ],
            path: "Sources/ClinicSync/Storage",
            swiftSettings: settings
        ),
        // Without pkgConfig: its flags bring a warning, and the module map names the libraries.
        .systemLibrary(name: "CAvahi", providers: [.apt(["libavahi-client-dev"])]),
        .target(
            name: "ClinicSyncDiscovery",
            dependencies: [
                "CAvahi",
                "ClinicSyncModel",
                .product(name: "NIOConcurrencyHelpers", package: "swift-nio"),
            ],
            path: "Sources/ClinicSync/Discovery",
            swiftSettings: settings
        ),
        // The system's crypt(3), for the bcrypt hashes of clinics' programs.
        .target(name: "CCrypt", linkerSettings: [.linkedLibrary("crypt")]),
        // What knows the clinic's own tables: users and their passwords, and data for demonstrations.
        .target(
            name: "ClinicSyncClinic",
            dependencies: [
                "CCrypt",
                "ClinicSyncModel",
                "ClinicSyncCore",
                "ClinicSyncStorage",
                .product(name: "Crypto", package: "swift-crypto"),
                .product(name: "CryptoExtras", package: "swift-crypto"),
                .product(name: "GRDB", package: "GRDB.swift"),
                .product(name: "NIOConcurrencyHelpers", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
            ],
            path: "Sources/ClinicSync/Clinic",
            swiftSettings: settings
        ),
        .target(
            name: "ClinicSync",
            dependencies: [
                "ClinicSyncClinic",
                "ClinicSyncModel",
                "ClinicSyncCore",
                "ClinicSyncWire",
                "ClinicSyncStorage",
                "ClinicSyncDiscovery",
                .product(name: "Crypto", package: "swift-crypto"),
                .product(name: "HTTPTypes", package: "swift-http-types"),
                .product(name: "Hummingbird", package: "hummingbird"),
                .product(name: "HummingbirdCore", package: "hummingbird"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "Metrics", package: "swift-metrics"),
                .product(name: "NIOConcurrencyHelpers", package: "swift-nio"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "NIOSSL", package: "swift-nio-ssl"),
                .product(name: "NIOTLS", package: "swift-nio"),
                .product(name: "NIOWebSocket", package: "swift-nio"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
                .product(name: "SwiftASN1", package: "swift-asn1"),
                .product(name: "X509", package: "swift-certificates"),
            ],
            path: "Sources/ClinicSync",
            exclude: [
                "Model", "Core", "Wire", "Storage", "Discovery", "Clinic",
                "LocalAPI/Dashboard/dashboard.html", "LocalAPI/Dashboard/dashboard.css",
                "LocalAPI/Dashboard/dashboard.js", "LocalAPI/Dashboard/closed.html",
            ],
            swiftSettings: settings,
            plugins: ["EmbedFiles"]
        ),
        // Several PCs of a clinic in one process: what `clinic-node demo` shows.
        .target(
            name: "ClinicSyncDemo",
            dependencies: [
                "ClinicSync", "ClinicSyncModel", "ClinicSyncCore", "ClinicSyncStorage",
                .product(name: "GRDB", package: "GRDB.swift"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOConcurrencyHelpers", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
            ],
            swiftSettings: settings
        ),
        // Test support. The program must not link this target or the next two: ContentTests looks.
        .target(
            name: "ClinicSyncTestKit",
            dependencies: [
                "ClinicSync", "ClinicSyncClinic", "ClinicSyncModel", "ClinicSyncCore", "ClinicSyncStorage",
                .product(name: "GRDB", package: "GRDB.swift"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOConcurrencyHelpers", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
            ],
            swiftSettings: settings
        ),
        // Whole clinics in virtual time, without the module ClinicSync: no socket, no thread, no clock.
        .target(
            name: "ClinicSyncSimulation",
            dependencies: [
                "CSimulatedDisk", "ClinicSyncModel", "ClinicSyncCore", "ClinicSyncWire", "ClinicSyncClinic",
                "ClinicSyncStorage",
                .product(name: "DequeModule", package: "swift-collections"),
                .product(name: "GRDB", package: "GRDB.swift"),
                .product(name: "NIOConcurrencyHelpers", package: "swift-nio"),
            ],
            swiftSettings: settings
        ),
        // The decoders under mutated input.
        .target(
            name: "ClinicSyncFuzzing",
            dependencies: [
                "ClinicSync", "ClinicSyncModel", "ClinicSyncCore", "ClinicSyncWire", "ClinicSyncStorage",
                "ClinicSyncDiscovery",
                .product(name: "GRDB", package: "GRDB.swift"),
                .product(name: "NIOCore", package: "swift-nio"),
            ],
            swiftSettings: settings
        ),
        .executableTarget(
            name: "clinic-node",
            dependencies: [
                "ClinicSync", "ClinicSyncClinic", "ClinicSyncModel", "ClinicSyncWire", "ClinicSyncCore",
                "ClinicSyncStorage", "ClinicSyncDemo",
                .product(name: "ArgumentParser", package: "swift-argument-parser"),
                .product(name: "GRDB", package: "GRDB.swift"),
                .product(name: "GRDBSQLite", package: "GRDB.swift"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "NIOConcurrencyHelpers", package: "swift-nio"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
                .product(name: "UnixSignals", package: "swift-service-lifecycle"),
            ],
            swiftSettings: settings
        ),

        .testTarget(
            name: "ClinicSyncTests",
            dependencies: [
                "ClinicSyncModel", "ClinicSyncCore", "ClinicSyncWire", "ClinicSyncStorage", "ClinicSyncDiscovery",
                "ClinicSync", "ClinicSyncClinic", "ClinicSyncFuzzing", "ClinicSyncSimulation", "ClinicSyncTestKit",
                "ClinicSchema", "CAllocationCount",
                .product(name: "GRDB", package: "GRDB.swift"),
                .product(name: "GRDBSQLite", package: "GRDB.swift"),
                .product(name: "Logging", package: "swift-log"),
                .product(name: "Metrics", package: "swift-metrics"),
                .product(name: "MetricsTestKit", package: "swift-metrics"),
                .product(name: "NIOConcurrencyHelpers", package: "swift-nio"),
                .product(name: "NIOCore", package: "swift-nio"),
                .product(name: "NIOEmbedded", package: "swift-nio"),
                .product(name: "NIOHTTP1", package: "swift-nio"),
                .product(name: "NIOPosix", package: "swift-nio"),
                .product(name: "NIOSSL", package: "swift-nio-ssl"),
                .product(name: "NIOWebSocket", package: "swift-nio"),
                .product(name: "OrderedCollections", package: "swift-collections"),
                .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
                .product(name: "Crypto", package: "swift-crypto"),
                .product(name: "SwiftASN1", package: "swift-asn1"),
                .product(name: "X509", package: "swift-certificates"),
            ],
            exclude: ["Work/work.txt"],
            swiftSettings: settings
        ),
        // Real nodes in this process, written to by other processes; some nodes are the built binary.
        .testTarget(
            name: "ClinicSyncIntegrationTests",
            dependencies: [
                "clinic-node", "ClinicSync", "ClinicSyncModel", "ClinicSyncStorage", "ClinicSyncTestKit",
                .product(name: "GRDB", package: "GRDB.swift"),
                .product(name: "NIOConcurrencyHelpers", package: "swift-nio"),
            ],
            swiftSettings: settings
        ),
        // Seeded runs of whole clinics in virtual time.
        .testTarget(
            name: "ClinicSyncSimulationTests",
            dependencies: ["ClinicSyncSimulation", "ClinicSyncModel", "ClinicSyncCore"],
            swiftSettings: settings
        ),
        // Runs the built binary; depends on it so that it is there and new.
        .testTarget(
            name: "ClinicNodeTests",
            dependencies: ["clinic-node", "ClinicSync", "ClinicSyncClinic"],
            swiftSettings: settings
        ),
        .testTarget(name: "TidyTests", swiftSettings: settings),
    ]
)

// The decoders under libFuzzer (Tests/fuzz). Only on demand: without -sanitize=fuzzer it has no main.
if Context.environment["CLINICSYNC_FUZZ"] != nil {
    package.products.append(.executable(name: "clinic-fuzz", targets: ["clinic-fuzz"]))
    package.targets.append(
        .executableTarget(name: "clinic-fuzz", dependencies: ["ClinicSyncFuzzing"], swiftSettings: settings)
    )
}

// Thousands of seeds of the simulator (docs/SIMULATION.md). Only on demand: no other build pays for it.
if Context.environment["CLINICSYNC_SIMULATE"] != nil {
    package.products.append(.executable(name: "clinic-simulate", targets: ["clinic-simulate"]))
    package.targets.append(
        .executableTarget(name: "clinic-simulate", dependencies: ["ClinicSyncSimulation"], swiftSettings: settings)
    )
}
