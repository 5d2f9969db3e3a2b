import AMQPClient
public import Journey

/// Maps kept messages by a decoder's mappings.
public struct RawMessageReader: RawMessageMapper {
  private let decoder: InboundDecoder

  public init(decoder: InboundDecoder) { self.decoder = decoder }

  public func map(_ record: ArraySlice<UInt8>) -> RemappedMessage? {
    guard let message = RawMessage(record) else { return nil }
    var random = IDRandom()
    let decoded = decoder.remap(message, random: &random)
    guard message.isRedacted else {
      return RemappedMessage(origin: message.origin, events: decoded.events, rejections: decoded.rejections)
    }
    let mapping = decoder.mappings[decoded.origin?.source ?? message.origin.source]
    return RemappedMessage(
      origin: message.origin, events: decoded.events.map(Self.withoutRedactedContact), rejections: decoded.rejections,
      readsRedacted: mapping.map { BodyRedaction.hides(from: $0, in: message.delivery.body) } ?? false)
  }

  /// A new client does not get `[redacted]` as its name.
  private static func withoutRedactedContact(_ incoming: IncomingEvent) -> IncomingEvent {
    var event = incoming.event
    func known(_ text: String?) -> String? { text == BodyRedaction.text ? nil : text }
    event.client.email = known(event.client.email)
    if var creation = event.client.creation {
      (creation.name, creation.email) = (known(creation.name), known(creation.email))
      creation.phone = known(creation.phone)
      event.client.creation = creation
    }
    return IncomingEvent(
      id: incoming.id, event: event, signals: incoming.signals, traceparent: incoming.traceparent,
      isBackfill: incoming.isBackfill)
  }
}
