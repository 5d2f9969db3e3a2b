import Foundation
import FoundationNetworking
import TestServers
import Testing

@testable import TestSupport

/// Asks a running `serve` whether it is ready, as a supervisor does.
struct Probe {
  struct Answer {
    var isReady: Bool
    var body: String
    var took: Duration
  }
  private let address: String

  /// Waits for the address in the log.
  init(_ program: ChildProcess) async throws {
    address = "http://127.0.0.1:\(try await HTTPPort.find("address=", program))/ready"
  }

  func ready() async throws -> Answer {
    let began = ContinuousClock.now
    let (data, response) = try await URLSession.shared.data(from: try #require(URL(string: address)))
    let status = try #require(response as? HTTPURLResponse).statusCode
    return Answer(isReady: status == 200, body: String(decoding: data, as: UTF8.self), took: began.duration(to: .now))
  }
}
