import AsyncHTTPClient
import Foundation
import Logging
import NIOCore
import NIOFoundationCompat
import NIOHTTP1

/// Asks the adapter whether an action may still be run.
struct Permission: Sendable {
  enum Answer { case run, later, drop }
  private struct State: Decodable {
    var mayRun: Bool
    var because: String?
  }

  let api: String
  let tokenFile: String

  /// - Returns: `later` while it is held or snoozed, and if the adapter does not answer.
  func toRun(_ action: String, _ logger: Logger) async -> Answer {
    do {
      var request = HTTPClientRequest(url: "\(api)/api/journey/actions/\(action)")
      let token = try String(contentsOfFile: tokenFile, encoding: .utf8).trimmingCharacters(in: .whitespacesAndNewlines)
      request.headers.add(name: "Authorization", value: "Bearer \(token)")
      let response = try await HTTPClient.shared.execute(request, timeout: .seconds(10))
      guard response.status == .ok else {
        logger.warning("the adapter does not say whether \(action) may run: \(response.status)")
        return .later
      }
      let state = try JSONDecoder().decode(State.self, from: try await response.body.collect(upTo: 1 << 20))
      return state.mayRun ? .run : ["held", "snoozed"].contains(state.because) ? .later : .drop
    } catch {
      logger.warning("the adapter does not say whether \(action) may run: \(error)")
      return .later
    }
  }
}
