import Testing

@testable import Telemetry

@Suite struct ScrapeTests {
  private static func text(_ fill: (inout Scrape) -> Void) -> String {
    var scrape = Scrape()
    fill(&scrape)
    return String(decoding: scrape.text, as: UTF8.self)
  }

  @Test func aMetricHasItsHelpTypeAndSeries() {
    let text = Self.text {
      $0.set(.queueMessages, 7, "journey.ingest")
      $0.set(.queueMessages, 0, "journey.outcomes")
      $0.set(.eventsStored, 12)
      $0.set(.consuming, true)
    }
    #expect(
      text == """
        # HELP journey_events_stored_total Events stored for the first time.
        # TYPE journey_events_stored_total counter
        journey_events_stored_total 12
        # HELP journey_queue_messages Messages ready for delivery.
        # TYPE journey_queue_messages gauge
        journey_queue_messages{queue="journey.ingest"} 7
        journey_queue_messages{queue="journey.outcomes"} 0
        # HELP journey_consuming Whether the broker has confirmed the subscription to the ingest queue.
        # TYPE journey_consuming gauge
        journey_consuming 1
        # HELP journey_metrics_series_dropped Series left out of this answer, because there were more than the limit.
        # TYPE journey_metrics_series_dropped gauge
        journey_metrics_series_dropped 0

        """)
  }

  @Test func labelValuesAreEscaped() {
    let text = Self.text { $0.set(.queueMessages, 1, "a\\b\"c\nd\u{E9}") }
    #expect(text.contains("journey_queue_messages{queue=\"a\\\\b\\\"c\\nd\u{E9}\"} 1\n"))
  }

  @Test(arguments: [
    (0.25, "0.25"), (3, "3"), (-12, "-12"), (1e-7, "1e-07"), (.infinity, "+Inf"), (-.infinity, "-Inf"), (.nan, "NaN"),
  ]) func valuesAreWrittenAsTheFormatReadsThem(value: Double, text: String) {
    let all = Self.text { $0.set(.oldestDueClient, value) }
    #expect(all.contains("\njourney_oldest_due_client_seconds \(text)\n"))
  }

  @Test func bucketsAreCumulative() {
    let histogram = Histogram(.commitEvents)
    // A bound belongs to its own bucket.
    histogram.observe([1, 1, 2, 5, 5000, 5001])
    histogram.observe(0.5)
    let lines = Self.text { $0.set(.commitEvents, histogram) }.split(separator: "\n").filter { !$0.hasPrefix("#") }
    #expect(
      lines.dropLast() == [
        #"journey_commit_events_bucket{le="1"} 3"#, #"journey_commit_events_bucket{le="5"} 5"#,
        #"journey_commit_events_bucket{le="20"} 5"#, #"journey_commit_events_bucket{le="50"} 5"#,
        #"journey_commit_events_bucket{le="100"} 5"#, #"journey_commit_events_bucket{le="250"} 5"#,
        #"journey_commit_events_bucket{le="500"} 5"#, #"journey_commit_events_bucket{le="1000"} 5"#,
        #"journey_commit_events_bucket{le="2000"} 5"#, #"journey_commit_events_bucket{le="5000"} 6"#,
        #"journey_commit_events_bucket{le="+Inf"} 7"#, "journey_commit_events_sum 10010.5",
        "journey_commit_events_count 7",
      ])
  }

  @Test func durationsAreSeconds() {
    let histogram = Histogram(.commitSeconds)
    histogram.observe(.milliseconds(1500))
    #expect(histogram.snapshot.sum == 1.5)
  }

  @Test func whatIsNotKnownIsAbsent() {
    let text = Self.text { $0.set(.clientsDue, Int?.none) }
    #expect(!text.contains("clients_due"))
  }

  @Test func aSeriesIsSetOnce() {
    let text = Self.text {
      $0.set(.queueConsumers, 1, "journey.ingest")
      $0.set(.queueConsumers, 2, "journey.ingest")
    }
    #expect(text.contains("{queue=\"journey.ingest\"} 2\n") && !text.contains("{queue=\"journey.ingest\"} 1\n"))
  }

  /// What is of no closed set, and what is too much, does not become a series.
  @Test func theNumberOfSeriesIsBounded() {
    var scrape = Scrape()
    for number in 0..<1000 {
      scrape.set(.messagesRejected, 1, "reason_\(number)")
      scrape.set(.queueMessages, number, "queue_\(number)")
      scrape.set(.messagesRetried, number, "tier_\(number)")
    }
    // Sixteen queues, four tiers, and how many were left out.
    #expect(scrape.seriesCount == 21)
    #expect(String(decoding: scrape.text, as: UTF8.self).hasSuffix("\njourney_metrics_series_dropped 2980\n"))
  }

  @Test func anInstanceHasAtMost400Series() {
    #expect(Metric.maxSeries <= 400, "\(Metric.maxSeries)")
    var scrape = Scrape()
    Self.fill(&scrape)
    #expect(scrape.seriesCount == Metric.maxSeries)
  }

  /// All series that there may be.
  static func fill(_ scrape: inout Scrape) {
    for metric in Metric.allCases where metric != .seriesDropped {
      let definition = metric.definition
      if definition.kind == .histogram {
        scrape.set(metric, Histogram(metric))
        continue
      }
      let values = definition.labels.map { label in label.values ?? (0..<label.most).map { "\(label.name) \($0)" } }
      switch values.count {
      case 0: scrape.set(metric, 1)
      case 1: for value in values[0] { scrape.set(metric, 1, value) }
      default: for first in values[0] { for second in values[1] { scrape.set(metric, 1, first, second) } }
      }
    }
  }
}
