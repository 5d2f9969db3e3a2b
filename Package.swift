// swift-tools-version: 6.2
import PackageDescription

// One strictness for every room: Swift 6 language mode, explicit existentials, imports internal unless said
// otherwise, async functions that stay on their caller's actor, and no warning left standing.
let strict: [SwiftSetting] = [
  .swiftLanguageMode(.v6),
  .enableUpcomingFeature("ExistentialAny"),
  .enableUpcomingFeature("MemberImportVisibility"),
  .enableUpcomingFeature("InternalImportsByDefault"),
  .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
  .treatAllWarnings(as: .error),
]

func log() -> Target.Dependency { .product(name: "Logging", package: "swift-log") }
func lifecycle() -> Target.Dependency { .product(name: "ServiceLifecycle", package: "swift-service-lifecycle") }
func room(_ name: String, _ dependencies: [Target.Dependency] = []) -> Target {
  .target(name: name, dependencies: dependencies, swiftSettings: strict)
}
func tests(_ name: String, _ dependencies: [Target.Dependency], exclude: [String] = []) -> Target {
  .testTarget(name: name, dependencies: dependencies, exclude: exclude, swiftSettings: strict)
}

let package = Package(
  name: "client-journey-adapter",
  platforms: [.macOS(.v15)],
  products: [
    .executable(name: "journey", targets: ["journey"]),
    // For Benchmarks/, a package of its own.
    .library(
      name: "JourneyRooms",
      targets: ["Journey", "JourneyConfiguration", "JourneyMessaging", "JourneyPipeline", "PostgresClient"]),
    .library(name: "JourneyClients", targets: ["AMQPClient", "PostgresClient"]),
    .library(name: "CRabbitMQ", targets: ["CRabbitMQ"]),
    .library(name: "CLibPQ", targets: ["CLibPQ"]),
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
    .package(url: "https://github.com/vapor/jwt-kit", from: "5.7.0"),
    .package(url: "https://github.com/swift-server/async-http-client", from: "1.37.0"),
  ],
  targets: [
    .systemLibrary(name: "CRabbitMQ", pkgConfig: "librabbitmq", providers: [.apt(["librabbitmq-dev"])]),
    .systemLibrary(name: "CLibPQ", pkgConfig: "libpq", providers: [.apt(["libpq-dev"])]),
    room("AMQPClient", ["CRabbitMQ", .product(name: "Crypto", package: "swift-crypto")]),
    room("PostgresClient", ["CLibPQ"]),
    room("Journey"),
    room("JourneyConfiguration", ["Journey", "Yams", .product(name: "Configuration", package: "swift-configuration")]),
    room(
      "JourneyStore",
      ["Journey", "JourneyPipeline", "PostgresClient", .product(name: "Crypto", package: "swift-crypto")]),
    room("JourneyMessaging", ["Journey", "JourneyPipeline", "AMQPClient", log()]),
    room("JourneyPipeline", ["Journey", log(), lifecycle()]),
    .target(
      name: "JourneyAPI",
      dependencies: [
        "Journey", "JourneyPipeline", log(), lifecycle(), .product(name: "Hummingbird", package: "hummingbird"),
        .product(name: "HummingbirdCore", package: "hummingbird"),
        .product(name: "HTTPTypes", package: "swift-http-types"),
        .product(name: "NIOCore", package: "swift-nio"), .product(name: "NIOPosix", package: "swift-nio"),
        .product(name: "NIOHTTP1", package: "swift-nio"),
        .product(name: "NIOHTTPTypes", package: "swift-nio-extras"),
        .product(name: "NIOHTTPTypesHTTP1", package: "swift-nio-extras"),
        .product(name: "JWTKit", package: "jwt-kit"), .product(name: "AsyncHTTPClient", package: "async-http-client"),
        .product(name: "Crypto", package: "swift-crypto"),
      ],
      // In the program itself, which so runs from any directory.
      resources: [
        "index.html", "app.css", "icon.svg", "app.js", "dom.js", "words.js", "server.js", "view.js", "search.js",
        "charts.js", "clients.js", "map.js",
        "client.js", "boards.js", "ask.js", "letter.js", "operations.js",
      ].map { .embedInCode("Page/\($0)") },
      swiftSettings: strict),
    .executableTarget(
      name: "journey",
      dependencies: [
        "Journey", "JourneyConfiguration", "JourneyStore", "JourneyMessaging", "JourneyPipeline", "JourneyAPI",
        "AMQPClient", "PostgresClient",
        log(), lifecycle(),
        .product(name: "UnixSignals", package: "swift-service-lifecycle"),
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
      ],
      swiftSettings: strict),

    // What a mapping costs: scripts/bench-mapping. Never shipped.
    .executableTarget(
      name: "mapping-bench", dependencies: ["Journey", "JourneyConfiguration"], path: "Benchmarks/Sources/Mapping",
      swiftSettings: strict),

    // Starts private servers for tests; never linked into what ships.
    .target(name: "TestServers", path: "Tests/TestServers", swiftSettings: strict),
    tests("JourneyTests", ["Journey"]),
    tests("JourneyConfigurationTests", ["JourneyConfiguration", "Journey"], exclude: ["Bodies"]),
    tests("AMQPClientTests", ["AMQPClient", "CRabbitMQ", "TestServers"]),
    tests("PostgresClientTests", ["PostgresClient", "TestServers"]),
    tests("JourneyStoreTests", ["JourneyStore", "Journey", "JourneyPipeline", "PostgresClient", "TestServers"]),
    tests(
      "JourneyMessagingTests",
      ["JourneyMessaging", "Journey", "JourneyConfiguration", "JourneyPipeline", "AMQPClient", "TestServers", log()]),
    tests(
      "JourneyPipelineTests",
      [
        "JourneyPipeline", "Journey", log(), lifecycle(),
        .product(name: "ServiceLifecycleTestKit", package: "swift-service-lifecycle"),
      ]),
    // Worlds of events, the stage they run on, and the computation they are held against: for the two targets below.
    .target(
      name: "Harness", dependencies: ["AMQPClient", "PostgresClient", "TestServers"],
      path: "Tests/IntegrationTests/Harness",
      swiftSettings: strict),
    .testTarget(
      name: "IntegrationTests",
      dependencies: [
        "JourneyConfiguration", "JourneyPipeline", "AMQPClient", "PostgresClient", "TestServers", "Harness",
        "journey", .product(name: "Crypto", package: "swift-crypto"),
      ], exclude: ["Harness"], swiftSettings: strict),
    .testTarget(
      name: "FaultTests", dependencies: ["AMQPClient", "PostgresClient", "TestServers", "Harness"],
      path: "Tests/Faults", swiftSettings: strict),
    tests(
      "JourneyAPITests",
      [
        "JourneyAPI", "Journey", "JourneyPipeline", log(), .product(name: "JWTKit", package: "jwt-kit"),
        .product(name: "HummingbirdTesting", package: "hummingbird"),
        .product(name: "Hummingbird", package: "hummingbird"),
        .product(name: "HTTPTypes", package: "swift-http-types"),
        .product(name: "NIOCore", package: "swift-nio"), .product(name: "NIOPosix", package: "swift-nio"),
      ]),
  ]
)
