import Foundation
import Journey
import Logging
import Testing

@testable import TestSupport

@testable import JourneyCLI

@Suite struct LogLineTests {
  private func line(_ code: String?, count: Int? = nil, message: String = "dead letter") -> LogLine {
    LogLine(
      level: .notice, message: message,
      fields: [(LogKey.code, code), (.count, count.map(String.init))].compactMap { key, text in text.map { (key, $0) }
      },
      isJSON: false)
  }

  @Test func theFirstOfAGroupIsWrittenAndTheOthersAreCounted() {
    let repeats = RepeatedLines(interval: .seconds(10)), start = ContinuousClock.now
    #expect(repeats.isFirst(line("unknown_type", count: 1), at: start))
    for _ in 0..<10_000 { #expect(!repeats.isFirst(line("unknown_type", count: 2), at: start)) }
    #expect(repeats.isFirst(line("malformed"), at: start), "another code is another group")
    #expect(repeats.isFirst(line("unknown_type", message: "retry later"), at: start))
    #expect(repeats.removeDue(at: start + .seconds(9), all: false).isEmpty)
    let due = repeats.removeDue(at: start + .seconds(10), all: false)
    #expect(due.count == 1)
    #expect(due[0][.repeats] == "10000")
    #expect(due[0][.count] == "20000", "counts are added up")
    // The group goes on while there are lines, and ends after an interval without one.
    #expect(!repeats.isFirst(line("unknown_type"), at: start + .seconds(11)))
    #expect(repeats.removeDue(at: start + .seconds(20), all: false).count == 1)
    #expect(repeats.removeDue(at: start + .seconds(30), all: false).isEmpty)
    #expect(repeats.isFirst(line("unknown_type"), at: start + .seconds(31)))
  }

  @Test func linesWithoutACodeAreNotGrouped() {
    let repeats = RepeatedLines(), now = ContinuousClock.now
    for _ in 0..<3 { #expect(repeats.isFirst(line(nil), at: now)) }
  }

  @Test func theEndWritesWhatIsCounted() {
    let repeats = RepeatedLines(), now = ContinuousClock.now
    _ = repeats.isFirst(line("a"), at: now)
    _ = repeats.isFirst(line("a"), at: now)
    #expect(repeats.removeDue(at: now, all: true).count == 1)
    #expect(repeats.removeDue(at: now, all: true).isEmpty)
  }

  @Test func bothFormsAreOneLine() throws {
    let hostile = "x\ny \u{1B}[31m\u{202E}\u{2028} code=forged \"q\"".plain(300)
    var line = LogLine(level: .error, message: hostile, fields: [(.routingKey, hostile), (.count, "3")], isJSON: false)
    let time = Timestamp(seconds: 0)
    let text = String(decoding: line.bytes(at: time), as: UTF8.self)
    #expect(text.hasPrefix("1970-01-01T00:00:00"))
    #expect(text.split(separator: "\n", omittingEmptySubsequences: false).count == 2)
    #expect(text.contains(#"routing_key="x\u{a}y "#))
    line.isJSON = true
    let json = String(decoding: line.bytes(at: time), as: UTF8.self)
    #expect(json.split(separator: "\n", omittingEmptySubsequences: false).count == 2)
    let object = try #require(try JSONSerialization.jsonObject(with: Data(json.utf8)) as? [String: Any])
    #expect(Set(object.keys) == ["time", "level", "message", "routing_key", "count"])
    #expect(object["count"] as? Int == 3)
    let areAllPlain = json.unicodeScalars.dropLast().allSatisfy(\.isPlain)
    #expect(areAllPlain)
  }

  @Test func addressesAreLeftOut() {
    #expect(
      "Key (email)=(ada@example.com) exists; \"Ada\" <ada.b@mail.example.co.uk>".withoutAddresses
        == "Key (email)=((address)) exists; \"Ada\" <(address)>")
    #expect("@ 5 a@b".withoutAddresses == "@ 5 a@b")
  }

  @Test func theDocumentationListsEachKey() throws {
    let documentation = try String(contentsOfFile: "\(Repository.root)/docs/operations.md", encoding: .utf8)
    for key in LogKey.allCases {
      #expect(documentation.contains("| `\(key.rawValue)` | \(key.meaning) |"), "docs/operations.md, Logs")
    }
  }

  /// Fields come from `LogKey` alone: nowhere is metadata written with a key of its own.
  @Test func noCallSiteHasAKeyOfItsOwn() throws {
    let files = FileManager.default.enumerator(atPath: "\(Repository.root)/Sources")
    for case let path as String in try #require(files) where path.hasSuffix(".swift") {
      let text = try String(contentsOfFile: "\(Repository.root)/Sources/\(path)", encoding: .utf8)
      guard text.contains("import Logging"), !path.hasSuffix("LineLogHandler.swift") else { continue }
      for pattern in ["metadata: [\"", "metadataKey: \"", "Logger.Metadata = ["] {
        #expect(!text.contains(pattern), "\(path): write metadata: .fields([.key: …])")
      }
    }
  }

}
