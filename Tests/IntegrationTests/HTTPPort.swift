import Foundation
import TestServers
import Testing

@testable import TestSupport

/// A port on which a running `serve` answers HTTP.
enum HTTPPort {
  /// Waits for the address in the log.
  static func find(_ field: String, _ program: ChildProcess) async throws -> UInt16 {
    var port: UInt16?
    try await eventually("\(field) in the log", state: { program.standardError }) {
      guard let range = program.standardError.range(of: "\(field)http://127.0.0.1:") else { return false }
      port = UInt16(program.standardError[range.upperBound...].prefix { $0.isNumber })
      return true
    }
    return try #require(port)
  }

  static func ask(_ path: String, _ port: UInt16) throws -> WireAnswer {
    let wire = try Wire(port)
    wire.send("GET \(path) HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    return try #require(WireAnswer.parse(wire.all().text, ["GET"]).answers.first)
  }
}
