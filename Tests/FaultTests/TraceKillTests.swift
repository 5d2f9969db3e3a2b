import AMQPClient
import Foundation
import Glibc
import TestServers
import Testing

@testable import TestSupport

/// Wherever the program is killed, `journey trace` says where the event is, and after the next start that it arrived.
@Suite struct TraceKillTests {
  struct Kill: Sendable, CustomTestStringConvertible {
    var point: Point
    /// The event's kind: `x` leads to an action, `u` has an unknown client, and `bad` no time.
    var kind: String
    /// Where the event is after the kill; empty: only in the ingest queue.
    var places: Set<String>
    /// Where it is after a restart.
    var end: String
    var testDescription: String { "\(point.rawValue) of \(kind)" }
  }

  static let kills = [
    Kill(point: .afterReceive, kind: "x", places: [], end: "action_published"),
    Kill(point: .beforeCommit, kind: "x", places: [], end: "action_published"),
    Kill(point: .afterCommit, kind: "x", places: ["action_unpublished"], end: "action_published"),
    Kill(point: .beforePublish, kind: "x", places: ["action_unpublished"], end: "action_published"),
    // The broker has the action, but nobody has recorded that.
    Kill(point: .beforeConfirm, kind: "x", places: ["action_unpublished"], end: "action_published"),
    Kill(point: .afterConfirm, kind: "x", places: ["action_unpublished", "action_published"], end: "action_published"),
    Kill(point: .beforeAck, kind: "x", places: ["action_unpublished", "action_published"], end: "action_published"),
    Kill(point: .beforeDeadLetter, kind: "bad", places: [], end: "dead_letter"),
    Kill(point: .beforeDeadLetterAck, kind: "bad", places: ["dead_letter"], end: "dead_letter"),
    // Recorded as parked, but the retry queue is empty.
    Kill(point: .beforePark, kind: "u", places: ["returned"], end: "parked"),
    Kill(point: .beforeParkConfirm, kind: "u", places: ["parked"], end: "parked"),
  ]

  @Test(arguments: kills) func theAnswerIsRightAfterAKill(_ kill: Kill) async throws {
    try await TraceSample.withServers { environment, settings in
      let proxy = try FaultProxy(
        to: try #require(
          URLComponents(
            string: kill.point.wire == .amqp ? environment.servers.amqpURL() : environment.databaseURL)?.port),
        kill.point.wire)
      defer { proxy.close() }
      var proxied = settings
      if kill.point.wire == .amqp {
        proxied["AMQP_URL"] = environment.logins.amqpURL.replacing(port: proxy.port)
      } else {
        proxied["DATABASE_URL"] = environment.logins.databaseURL.replacing(port: proxy.port) + "?sslmode=disable"
      }
      let victim = Victim()
      let program = try await environment.serve(.defaultProfile, proxied)
      victim.program = program
      // Not before: the checks of the start publish, too.
      proxy.set(Trap(point: kill.point) { victim.kill() })
      let body = kill.kind == "bad" ? #"{"id":"e1","kind":"x","at":"soon","who":"c1"}"# : nil
      try await environment.publish([TraceSample.message(kill.kind, "e1", body: body)])
      try await eventually("a kill at \(kill.point.rawValue)", state: { program.standardError }) {
        program.ending != nil
      }
      #expect(program.ending == .signalled(SIGKILL), "\(program.standardError)")
      // The broker takes a moment to see that the connections are gone.
      var last: [String] = []
      try await eventually("the right answer", state: { "\(last)" }) {
        let answer = try await environment.trace("e1", settings)
        last = answer.places
        return kill.places.isEmpty
          ? answer.found.isEmpty && answer.ingestQueue.messages == 1
          : answer.found.count == 1 && kill.places.contains(answer.places[0])
      }
      let next = try await environment.serve(.defaultProfile, settings)
      try await eventually("the end at \(kill.end)", state: { "\(last) \(next.standardError)" }) {
        last = try await environment.trace("e1", settings).places
        let isIdle = try await environment.admin.messageCount(queue: "journey.ingest") == 0
        return isIdle && last == [kill.end]
      }
      try await environment.stop(next)
    }
  }
}
