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
    var sent = origin?.receivedAt
    if let seconds = properties.timestamp {
      sent = Timestamp(propertySeconds: properties.headers["timestamp_in_ms"]?.intValue ?? seconds)
    }
    guard let sent else { return at }
    return at - .microseconds((wall - sent).microseconds)
  }
}
