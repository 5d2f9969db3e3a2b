/// What a mapping makes of a body, as the commands and the API show it.
extension MappingOutcome: Encodable {
  public func encode(to encoder: any Encoder) throws {
    let object: JSONObject =
      switch self {
      case .event(let event): ["outcome": "event", "type": event.type, "id": event.sourceEventID]
      case .ignored(_, let reason): ["outcome": "ignored", "reason": reason]
      case .unlisted(let type): ["outcome": "unlisted", "type": type]
      case .rejected(let rejection, _):
        [
          "outcome": "rejected", "code": rejection.code.rawValue, "field": rejection.field, "value": rejection.value,
          "message": rejection.message,
        ]
      }
    try object.encode(to: encoder)
  }
}

extension MappingTrace.Element: Encodable {
  public func encode(to encoder: any Encoder) throws {
    try (["type": type, "rule": rules.last { $0.isMatch }?.name] as JSONObject).encode(to: encoder)
    if case .event(let event) = outcome {
      try (["outcome": "event", "event": event.json] as JSONObject).encode(to: encoder)
    } else {
      try outcome.encode(to: encoder)
    }
    try (["fields": fields] as JSONObject).encode(to: encoder)
  }
}

extension JourneyEvent {
  fileprivate var json: JSONObject {
    [
      "orgId": orgID, "source": source, "id": sourceEventID, "type": type, "stage": stage?.rawValue,
      "minStage": minStage?.rawValue, "by": (actor ?? EventTypes.actor(of: type) ?? .client).rawValue,
      "occurredAt": occurredAt, "clientId": client.id, "client": client.externalID,
      "otherIds": client.alternatives.isEmpty ? nil : client.alternatives, "group": client.group,
      "createsClient": client.creation != nil, "metadata": RawJSON(metadata),
    ]
  }
}
