import AMQPClient
import Foundation
import TestServers
import Testing

@testable import TestSupport

/// Bodies close to the size limit, in total more than the memory limit, while nothing can be stored. On servers of its
/// own.
@Suite(.serialized) struct LargeBodyTests {
  @Test func goodEventsWithLargeBodiesOutliveADatabaseThatStandsStill() async throws {
    var random = SeededRandom(stream: 42)
    let workload = Workload(events: 200, &random)
    let servers = try await TestServers.dedicated()
    try await TestEnvironment.with(servers: servers) { environment in
      try await workload.seed(environment)
      let program = try await environment.serve(.defaultProfile)
      try await servers.pause(.postgres)
      let messages = workload.messages(&random).map { message in
        var message = message
        message.body += [UInt8](repeating: UInt8(ascii: " "), count: 878 << 10)
        return message
      }
      try #require(messages.allSatisfy { $0.body.count > 878 << 10 })
      try await environment.publish(messages, chunks: 20...20, &random)
      // Longer than the broker would need to deliver a message twenty times.
      try await Task.sleep(for: .seconds(8))
      try await servers.resume(.postgres)
      try await environment.settles(events: workload.events.count, program)
      #expect(try await environment.admin.messageCount(queue: "journey.dead-letters") == 0)
      try await environment.stop(program)
    }
    try await servers.stop()
  }
}
