/// What happens to a client: one event a line, in the order of sending.
struct Story {
  struct Line {
    let daysAgo: Int
    /// `stripe`, `hubspot`, `zendesk`, `own`, or one that sends CloudEvents.
    let source: String
    let what: String
    let details: [String: String]
  }

  var lines: [Line] = []

  /// The stories of stories.txt by their names.
  static func load() throws -> [String: Story] {
    var stories: [String: Story] = [:]
    var current = ""
    for line in try DataFile("stories.txt").lines {
      let words = line.split(separator: " ").map(String.init)
      if words.count == 2, words[0] == "story" {
        current = words[1]
      } else {
        stories[current, default: Story()].lines.append(try Line(words: words))
      }
    }
    return stories
  }
}

extension Story.Line {
  init(words: [String]) throws {
    guard words.count >= 3, let daysAgo = Int(words[0]) else {
      throw DemoFailure("stories.txt: a line is not `DAYS SOURCE EVENT KEY=VALUE…`: \(words.joined(separator: " "))")
    }
    self.daysAgo = daysAgo
    source = words[1]
    what = words[2]
    var details: [String: String] = [:]
    for word in words.dropFirst(3) {
      let parts = word.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false).map(String.init)
      guard parts.count == 2 else { throw DemoFailure("stories.txt: \(word) is not KEY=VALUE") }
      details[parts[0]] = parts[1]
    }
    self.details = details
  }
}
