// swift-tools-version: 6.2
import PackageDescription

// The servers that the adapter works with, and those who run it, are on Linux. Nothing here is built or tested
// elsewhere, so nothing here claims to work elsewhere.
#if !os(Linux)
  #error("The adapter builds on Linux only: use a container or a virtual machine with Debian 12.")
#endif

// One strictness for every target: Swift 6 language mode, explicit existentials, imports internal unless said
// otherwise, async functions that stay on their caller's actor, and no warning left standing.
let strict: [SwiftSetting] = [
  .swiftLanguageMode(.v6),
  .enableUpcomingFeature("ExistentialAny"),
  .enableUpcomingFeature("MemberImportVisibility"),
  .enableUpcomingFeature("InternalImportsByDefault"),
  .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
  .treatAllWarnings(as: .error),
]

let argumentParser = Target.Dependency.product(name: "ArgumentParser", package: "swift-argument-parser")
let crypto = Target.Dependency.product(name: "Crypto", package: "swift-crypto")
let lifecycle = Target.Dependency.product(name: "ServiceLifecycle", package: "swift-service-lifecycle")
let logging = Target.Dependency.product(name: "Logging", package: "swift-log")
let nio = Target.Dependency.product(name: "NIOCore", package: "swift-nio")
let nioPosix = Target.Dependency.product(name: "NIOPosix", package: "swift-nio")
let httpTypes = Target.Dependency.product(name: "HTTPTypes", package: "swift-http-types")
let hummingbird = Target.Dependency.product(name: "Hummingbird", package: "hummingbird")
let jwt = Target.Dependency.product(name: "JWTKit", package: "jwt-kit")

/// What `journey version` says: scripts/dist sets it.
let stamp: [CSetting] = ["JOURNEY_COMMIT", "JOURNEY_BUILD_DATE"].compactMap { name in
  Context.environment[name].map { .define(name, to: "\"\($0)\"") }
}

/// A target of the adapter: Sources/NAME.
func module(_ name: String, _ dependencies: [Target.Dependency] = [], resources: [Resource] = []) -> Target {
  .target(name: name, dependencies: dependencies, resources: resources, swiftSettings: strict)
}
/// Tests: Tests/NAME.
func tests(_ name: String, _ dependencies: [Target.Dependency], exclude: [String] = []) -> Target {
  .testTarget(name: name, dependencies: dependencies, exclude: exclude, swiftSettings: strict)
}
/// What tests share: Tests/NAME. Never linked into what ships.
func testHelper(_ name: String, _ dependencies: [Target.Dependency] = []) -> Target {
  .target(name: name, dependencies: dependencies, path: "Tests/\(name)", swiftSettings: strict)
}
/// A program that measures: Benchmarks/NAME. Never shipped.
func benchmark(_ name: String, _ dependencies: [Target.Dependency]) -> Target {
  .executableTarget(name: name, dependencies: dependencies, path: "Benchmarks/\(name)", swiftSettings: strict)
}

let package = Package(
  name: "client-journey-adapter",
  products: [
    .executable(name: "journey", targets: ["JourneyCLI"]),
    // For workers, see Examples.
    .library(name: "AMQPClient", targets: ["AMQPClient"]),
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.0"),
    .package(url: "https://github.com/apple/swift-log", from: "1.16.0"),
    .package(url: "https://github.com/swift-server/swift-service-lifecycle", from: "2.13.0"),
    .package(url: "https://github.com/apple/swift-configuration", from: "1.4.0", traits: ["YAML"]),
    .package(url: "https://github.com/jpsim/Yams", from: "6.2.0"),
    .package(url: "https://github.com/apple/swift-crypto", from: "4.5.0"),
    .package(url: "https://github.com/hummingbird-project/hummingbird", from: "2.28.0"),
    .package(url: "https://github.com/apple/swift-http-types", from: "1.8.0"),
    .package(url: "https://github.com/apple/swift-nio", from: "2.101.0"),
    .package(url: "https://github.com/apple/swift-nio-extras", from: "1.35.0"),
    .package(url: "https://github.com/apple/swift-nio-ssl", from: "2.37.0"),
    .package(url: "https://github.com/vapor/jwt-kit", from: "5.7.0"),
    .package(url: "https://github.com/swift-server/async-http-client", from: "1.37.0"),
    .package(url: "https://github.com/HdrHistogram/hdrhistogram-swift", from: "0.2.0"),
    .package(url: "https://github.com/swiftlang/swift-subprocess", from: "1.0.2"),
    .package(url: "https://github.com/apple/swift-system", from: "1.8.0"),
  ],
  targets: [
    .systemLibrary(name: "CRabbitMQ", pkgConfig: "librabbitmq", providers: [.apt(["librabbitmq-dev"])]),
    .systemLibrary(name: "CLibPQ", pkgConfig: "libpq", providers: [.apt(["libpq-dev"])]),
    .target(name: "CBuild", cSettings: stamp),
    module("ConnectionThreads"),
    module("AMQPClient", ["ConnectionThreads", "CRabbitMQ", crypto]),
    module("PostgresClient", ["ConnectionThreads", "CLibPQ"]),
    module("Journey"),
    module("Telemetry", ["Journey"]),
    module(
      "JourneyConfiguration",
      ["Journey", "Yams", .product(name: "Configuration", package: "swift-configuration")]),
    module("IngestPipeline", ["Journey", "Telemetry", "ConnectionThreads", logging, lifecycle]),
    module("JourneyPostgres", ["Journey", "PostgresClient", crypto]),
    module("JourneyAMQP", ["Journey", "AMQPClient", "ConnectionThreads", crypto, logging]),
    module(
      "DeadLetters",
      [
        "Journey", "JourneyAMQP", "JourneyPostgres", "AMQPClient", "PostgresClient", "ConnectionThreads", crypto,
        logging,
        lifecycle,
      ]),
    module(
      "JourneyAPI",
      [
        "Journey", "DeadLetters", logging, lifecycle, hummingbird, httpTypes, jwt, crypto, nio, nioPosix,
        .product(name: "HummingbirdCore", package: "hummingbird"),
        .product(name: "NIOHTTP1", package: "swift-nio"),
        .product(name: "NIOHTTPTypes", package: "swift-nio-extras"),
        .product(name: "NIOHTTPTypesHTTP1", package: "swift-nio-extras"),
        .product(name: "AsyncHTTPClient", package: "async-http-client"),
      ],
      // In the program itself, which so runs from any directory.
      resources: [
        "index.html", "app.css", "icon.svg", "app.js", "dom.js", "words.js", "server.js", "view.js", "search.js",
        "charts.js", "clients.js", "map.js", "client.js", "boards.js", "todo.js", "ask.js",
        "dead-letter.js", "holds.js",
        "operations.js",
      ].map { .embedInCode("Page/\($0)") }),
    .executableTarget(
      name: "JourneyCLI",
      dependencies: [
        "Journey", "JourneyConfiguration", "JourneyPostgres", "JourneyAMQP", "IngestPipeline", "DeadLetters",
        "JourneyAPI", "Telemetry",
        "AMQPClient", "PostgresClient", "ConnectionThreads", "CBuild", logging, lifecycle, argumentParser, nio,
        nioPosix,
        .product(name: "AsyncHTTPClient", package: "async-http-client"),
        .product(name: "NIOHTTP1", package: "swift-nio"),
        .product(name: "NIOTLS", package: "swift-nio"),
        .product(name: "NIOSSL", package: "swift-nio-ssl"),
        .product(name: "UnixSignals", package: "swift-service-lifecycle"),
      ],
      swiftSettings: strict),

    testHelper("TestServers"),
    testHelper(
      "TestSupport",
      [
        "Journey", "JourneyConfiguration", "JourneyAMQP", "JourneyPostgres", "AMQPClient",
        "PostgresClient", "TestServers", logging,
      ]),
    tests("JourneyTests", ["Journey"]),
    tests("JourneyConfigurationTests", ["JourneyConfiguration", "Journey"], exclude: ["Bodies", "Settings"]),
    tests("TelemetryTests", ["Telemetry", "TestSupport"]),
    tests("ConnectionThreadsTests", ["ConnectionThreads"]),
    tests("AMQPClientTests", ["AMQPClient", "ConnectionThreads", "CRabbitMQ", "TestServers"]),
    tests("PostgresClientTests", ["PostgresClient", "TestServers"]),
    tests(
      "JourneyPostgresTests",
      [
        "JourneyPostgres", "Journey", "JourneyAMQP", "JourneyConfiguration", "DeadLetters", "AMQPClient",
        "PostgresClient", "TestServers", "TestSupport",
      ]),
    tests(
      "DeadLettersTests",
      [
        "DeadLetters", "Journey", "JourneyAMQP", "JourneyPostgres", "AMQPClient", "PostgresClient", "TestServers",
        "TestSupport", logging,
        .product(name: "ServiceLifecycleTestKit", package: "swift-service-lifecycle"),
      ]),
    tests(
      "JourneyAMQPTests",
      [
        "JourneyAMQP", "Journey", "JourneyConfiguration", "AMQPClient", "TestServers", "TestSupport", logging,
      ]),
    tests(
      "IngestPipelineTests",
      [
        "IngestPipeline", "Journey", "Telemetry", "TestSupport", logging, lifecycle,
        .product(name: "ServiceLifecycleTestKit", package: "swift-service-lifecycle"),
      ]),
    tests(
      "JourneyAPITests",
      [
        "JourneyAPI", "Journey", "DeadLetters", logging, hummingbird, httpTypes, jwt, nio, nioPosix,
        .product(name: "HummingbirdTesting", package: "hummingbird"),
      ]),
    tests(
      "IntegrationTests",
      [
        "Journey", "JourneyConfiguration", "JourneyAMQP", "JourneyPostgres", "AMQPClient", "PostgresClient",
        "TestServers", "TestSupport", "JourneyCLI", crypto, logging,
      ]),
    tests("FaultTests", ["AMQPClient", "PostgresClient", "TestServers", "TestSupport"]),

    // For whoever writes a worker, see docs/workers.md.
    .executableTarget(
      name: "EmailWorker",
      dependencies: [
        "AMQPClient", logging, lifecycle, nio,
        .product(name: "NIOHTTP1", package: "swift-nio"),
        .product(name: "NIOFoundationCompat", package: "swift-nio"),
        .product(name: "AsyncHTTPClient", package: "async-http-client"),
        .product(name: "Subprocess", package: "swift-subprocess"),
        .product(name: "SystemPackage", package: "swift-system"),
        .product(name: "UnixSignals", package: "swift-service-lifecycle"),
      ],
      path: "Examples/EmailWorker", exclude: ["templates"], swiftSettings: strict),

    // The whole way of an event, for a person to watch.
    .executableTarget(
      name: "Demo",
      dependencies: [
        "TestServers", argumentParser,
        .product(name: "Subprocess", package: "swift-subprocess"),
        .product(name: "SystemPackage", package: "swift-system"),
        .product(name: "UnixSignals", package: "swift-service-lifecycle"),
      ],
      path: "Tests/Demo", exclude: ["Data"], swiftSettings: strict),

    // End to end: servers, load, measurement, table. Floor is the least work on the same servers, in C.
    benchmark(
      "JourneyBench",
      [
        "AMQPClient", "PostgresClient", argumentParser,
        .product(name: "Histogram", package: "hdrhistogram-swift"),
      ]),
    .executableTarget(
      name: "Floor", dependencies: ["CRabbitMQ", "CLibPQ"], path: "Benchmarks/Floor",
      cSettings: [.define("_GNU_SOURCE")], linkerSettings: [.linkedLibrary("pthread")]),
    // The hot path in pieces, counted in instructions.
    benchmark(
      "Micro",
      ["CValgrind", "Journey", "JourneyConfiguration", "JourneyAMQP", "PostgresClient"]),
    .target(name: "CValgrind", path: "Benchmarks/CValgrind"),
    // What a mapping costs a body.
    benchmark("MappingBench", ["Journey", "JourneyConfiguration"]),
  ]
)
