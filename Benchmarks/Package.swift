// swift-tools-version: 6.2
import PackageDescription

// A package of its own: what ships depends on nothing here, and a build of the adapter builds none of it.
let strict: [SwiftSetting] = [
  .swiftLanguageMode(.v6),
  .enableUpcomingFeature("ExistentialAny"),
  .enableUpcomingFeature("MemberImportVisibility"),
  .enableUpcomingFeature("InternalImportsByDefault"),
  .enableUpcomingFeature("NonisolatedNonsendingByDefault"),
  .treatAllWarnings(as: .error),
]

func adapter(_ product: String) -> Target.Dependency { .product(name: product, package: "client-journey-adapter") }

let package = Package(
  name: "journey-benchmarks",
  platforms: [.macOS(.v15)],
  dependencies: [
    .package(name: "client-journey-adapter", path: ".."),
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.0"),
    .package(url: "https://github.com/HdrHistogram/hdrhistogram-swift", from: "0.2.0"),
  ],
  targets: [
    // The least work on the same servers: what the adapter is measured against.
    .executableTarget(
      name: "Floor", dependencies: [adapter("CRabbitMQ"), adapter("CLibPQ")], cSettings: [.define("_GNU_SOURCE")],
      linkerSettings: [.linkedLibrary("pthread")]),
    // End to end: servers, load, measurement, table.
    .executableTarget(
      name: "JourneyBench",
      dependencies: [
        adapter("JourneyClients"),
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
        .product(name: "Histogram", package: "hdrhistogram-swift"),
      ],
      swiftSettings: strict),
    // The hot path in pieces, counted in instructions.
    .executableTarget(name: "Micro", dependencies: [adapter("JourneyRooms"), "CValgrind"], swiftSettings: strict),
    .target(name: "CValgrind"),
  ]
)
