import FoundationEssentials
import Journey
import JourneyConfiguration

// Measures the cost of a mapping per body. Run by scripts/bench-mapping: mapping-bench CONFIG/mappings DIR, with bodies
// in DIR/SOURCE/*.json.

struct Body {
  var source: String
  var bytes: [UInt8]
}

func bodies(in directory: String) throws -> [Body] {
  try FileManager.default.subpathsOfDirectory(atPath: directory).sorted().filter {
    $0.hasSuffix(".json") && $0.contains("/")
  }.map { name in
    let data = FileManager.default.contents(atPath: "\(directory)/\(name)") ?? Data()
    // Compact, as vendors send them: the files are indented for readers.
    let document = try JSONDocument(parsing: Array(data))
    var writer = JSONWriter()
    write(document.root, to: &writer)
    return Body(source: String(name.prefix { $0 != "/" }), bytes: writer.bytes)
  }
}

func write(_ value: JSONValue, to writer: inout JSONWriter) {
  switch value.kind {
  case .object:
    writer.beginObject()
    for (key, member) in value.members {
      writer.key(key)
      write(member, to: &writer)
    }
    writer.endObject()
  case .array:
    writer.beginArray()
    for element in value.elements { write(element, to: &writer) }
    writer.endArray()
  default: writer.raw(value.rawBytes)
  }
}

func nanoseconds(_ rounds: Int, _ body: () -> Void) -> Double {
  let clock = ContinuousClock()
  var best = Double.infinity
  for _ in 0..<5 {
    let time = clock.measure { for _ in 0..<rounds { body() } }
    let (seconds, atto) = time.components
    best = min(best, (Double(seconds) * 1e9 + Double(atto) / 1e9) / Double(rounds))
  }
  return best
}

func padded(_ text: String, _ width: Int) -> String { String(repeating: " ", count: max(0, width - text.count)) + text }
func microseconds(_ nanoseconds: Double) -> String { "\((nanoseconds / 10).rounded() / 100)" }

let arguments = CommandLine.arguments
guard arguments.count == 3 else { fatalError("usage: mapping-bench MAPPINGS BODIES") }
let catalog = try MappingLoader.load(directories: [arguments[1]])
let orgID = UUID()
struct Row {
  var count = 0
  var bytes = 0
  var map = 0.0
  var parse = 0.0

  mutating func add(_ size: Int, map time: Double, parse: Double) {
    count += 1
    bytes += size
    map += time
    self.parse += parse
  }

  func show(_ name: String) {
    let kib = Double(bytes) / 1024
    print(
      padded(name, 16), padded("\(count)", 7), padded("\(bytes)", 8), padded(microseconds(map / Double(count)), 12),
      padded(microseconds(map / kib), 11), padded(microseconds(parse / kib), 13))
  }
}

var total = Row()
var rows: [String: Row] = [:]
for body in try bodies(in: arguments[2]) {
  guard let mapping = catalog[body.source] else { continue }
  let document = try JSONDocument(parsing: body.bytes)
  let input = MappingInput(
    document: document, messageID: "bench", timestamp: Timestamp(seconds: 1_790_000_000), orgID: orgID,
    limits: EventLimits(now: Timestamp(seconds: 1_800_000_000)))
  let rounds = max(50, 2_000_000 / max(1, body.bytes.count) / 4)
  let parse = nanoseconds(rounds) { _ = try? JSONDocument(parsing: body.bytes) }
  let map = nanoseconds(rounds) { _ = mapping.map(input) }
  rows[body.source, default: Row()].add(body.bytes.count, map: map, parse: parse)
  total.add(body.bytes.count, map: map, parse: parse)
}
print(
  padded("source", 16), padded("bodies", 7), padded("bytes", 8), padded("map us/body", 12), padded("map us/KiB", 11),
  padded("parse us/KiB", 13))
for (source, row) in rows.sorted(by: { $0.key < $1.key }) { row.show(source) }
total.show("all")
