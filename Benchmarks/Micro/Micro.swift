import CValgrind
import Foundation

/// Runs each step of the hot path ITERATIONS times. Under callgrind it dumps a step's instruction count after its runs;
/// otherwise it prints times.
///
/// usage: Micro ITERATIONS CONFIGURATION [NAME…]
@main struct Micro {
  static func main() throws {
    let arguments = CommandLine.arguments.dropFirst()
    guard arguments.count >= 2, let iterations = arguments.first.flatMap({ Int($0) }), iterations > 0 else {
      throw Usage()
    }
    let configuration = arguments[arguments.startIndex + 1]
    let wanted = Set(arguments.dropFirst(2))
    let pieces = try Pieces.all(configuration: configuration).filter { wanted.isEmpty || wanted.contains($0.name) }
    guard !pieces.isEmpty else { throw Usage() }
    for piece in pieces {
      // Warms up caches, lazily built tables and the allocator, which are not measured.
      for _ in 0..<3 { try piece.run() }
      let clock = ContinuousClock()
      let start = clock.now
      callgrind_zero()
      for _ in 0..<iterations { try piece.run() }
      callgrind_dump(piece.name)
      let took = start.duration(to: clock.now) / iterations
      print("\(piece.name)\t\(took.components.attoseconds / 1_000_000_000) ns")
    }
  }
}

struct Usage: Error, CustomStringConvertible {
  var description: String {
    "usage: Micro ITERATIONS CONFIGURATION [NAME…]; names: \(Pieces.names.joined(separator: ", "))"
  }
}

/// One step of the hot path, with its cost per event, client or batch.
struct Piece {
  var name: String
  var run: () throws -> Void
}

/// Keeps the optimiser from removing a result.
@inline(never) func keep<T>(_ value: T) { withExtendedLifetime(value) {} }
