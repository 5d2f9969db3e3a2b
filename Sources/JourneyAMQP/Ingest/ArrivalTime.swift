import AMQPClient
import Journey

/// When a batch of messages arrived, on both clocks.
struct ArrivalTime {
  var at: ContinuousClock.Instant
  var wall: Timestamp

  /// Clocks may differ by so much.
  static let tolerance = Duration.seconds(1)

  /// When a message was sent, on the process's clock: by its own time, or else by the time when it was received first.
  ///
  /// A broker that stamps messages writes milliseconds into a header besides. Nothing but metrics depends on it.
  func sendTime(of properties: MessageProperties, _ origin: RawOrigin?) -> ContinuousClock.Instant {
    // 0 is what a sender leaves there that does not set it.
    func time(_ number: Int64?) -> Timestamp? { number.flatMap { $0 > 0 ? Timestamp(propertySeconds: $0) : nil } }
    let stamped = properties.timestamp == nil ? nil : time(properties.headers["timestamp_in_ms"]?.intValue)
    guard let sent = stamped ?? time(properties.timestamp) ?? origin?.receivedAt else { return at }
    return at - .microseconds((wall - sent).microseconds)
  }
}
