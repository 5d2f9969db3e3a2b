/// The values of all metrics at one moment, and their text: Prometheus's format, version 0.0.4.
///
/// It holds no more series than `Metric.maxSeries`, whatever is set: what is not of the closed set, or beyond the limit
/// of its metric, is left out and counted.
public struct Scrape: Sendable {
  private struct Series: Sendable {
    var labels: [String]
    var value: Double
  }
  private var series: [Metric: [Series]] = [:]
  private var histograms: [Metric: Histogram.Snapshot] = [:]
  private var dropped = 0

  public init() {}

  /// - Parameters:
  ///   - value: nil: not known, and left out.
  ///   - labels: the values of the metric's labels, in their order.
  public mutating func set(_ metric: Metric, _ value: Double?, _ labels: String...) {
    set(metric, value, labels: labels)
  }

  private mutating func set(_ metric: Metric, _ value: Double?, labels: [String]) {
    guard let value else { return }
    let definition = metric.definition
    precondition(definition.kind != .histogram, "\(metric.name) is a histogram")
    precondition(labels.count == definition.labels.count, "\(metric.name) has other labels")
    let isKnown = zip(definition.labels, labels).allSatisfy { label, value in label.values?.contains(value) ?? true }
    var all = series[metric, default: []]
    if let index = all.firstIndex(where: { $0.labels == labels }) {
      all[index].value = value
    } else if isKnown, all.count < definition.maxSeries {
      all.append(Series(labels: labels, value: value))
    } else {
      dropped += 1
    }
    series[metric] = all
  }

  public mutating func set(_ metric: Metric, _ value: Int?, _ labels: String...) {
    set(metric, value.map(Double.init), labels: labels)
  }

  public mutating func set(_ metric: Metric, _ value: Bool) { set(metric, value ? 1.0 : 0.0) }

  public mutating func set(_ metric: Metric, _ histogram: Histogram) { histograms[metric] = histogram.snapshot }

  /// The names of the metrics that have a value, and how many series there are.
  public var names: Set<String> { Set(lines.map(\.metric.name)) }
  public var seriesCount: Int { lines.reduce(0) { $0 + $1.lines.count } }

  public var text: [UInt8] {
    var text = ""
    for (metric, lines) in lines {
      let definition = metric.definition
      text += "# HELP \(metric.name) \(Self.escaped(definition.help, quotes: false))\n"
      text += "# TYPE \(metric.name) \(definition.kind.rawValue)\n"
      for line in lines { text += line + "\n" }
    }
    return Array(text.utf8)
  }

  private var lines: [(metric: Metric, lines: [String])] {
    Metric.allCases.compactMap { metric in
      let lines = lines(of: metric)
      return lines.isEmpty ? nil : (metric, lines)
    }
  }

  private func lines(of metric: Metric) -> [String] {
    if metric == .seriesDropped { return ["\(metric.name) \(dropped)"] }
    let definition = metric.definition
    if let snapshot = histograms[metric] { return Self.lines(metric, definition.bounds, snapshot) }
    return series[metric, default: []].map { series in
      let labels = zip(definition.labels, series.labels).map { "\($0.name)=\"\(Self.escaped($1, quotes: true))\"" }
      return "\(metric.name)\(labels.isEmpty ? "" : "{\(labels.joined(separator: ","))}") \(Self.number(series.value))"
    }
  }

  /// The buckets of the format are cumulative.
  private static func lines(_ metric: Metric, _ bounds: [Double], _ snapshot: Histogram.Snapshot) -> [String] {
    var sum = 0
    let buckets = zip(bounds.map(number) + ["+Inf"], snapshot.counts).map { bound, count in
      sum += count
      return "\(metric.name)_bucket{le=\"\(bound)\"} \(sum)"
    }
    return buckets + ["\(metric.name)_sum \(number(snapshot.sum))", "\(metric.name)_count \(sum)"]
  }

  private static func number(_ value: Double) -> String {
    if value.isNaN { return "NaN" }
    if value.isInfinite { return value < 0 ? "-Inf" : "+Inf" }
    return Int(exactly: value).map(String.init) ?? "\(value)"
  }

  private static func escaped(_ text: String, quotes: Bool) -> String {
    var escaped = ""
    for character in text.unicodeScalars {
      switch character {
      case "\\": escaped += "\\\\"
      case "\n": escaped += "\\n"
      case "\"" where quotes: escaped += "\\\""
      default: escaped.unicodeScalars.append(character)
      }
    }
    return escaped
  }
}
