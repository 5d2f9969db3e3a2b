public import FoundationEssentials

extension ActionLife {
  /// Reads a stored history: an array of objects with `state`, `outcome`, `at`, `by`, `detail`. What cannot be read is
  /// left out.
  public init(
    actionID: UUID, json: [UInt8], snoozedUntil: Timestamp? = nil, isUnsent: Bool = false, isForPeople: Bool = false
  ) {
    let elements = (try? JSONDocument(parsing: json))?.root.elements.map { $0 } ?? []
    let history = elements.compactMap { element -> ActionChange? in
      guard let at = element["at"]?.string.flatMap({ Timestamp(iso8601: $0) }) else { return nil }
      var change = ActionChange(
        actionID: actionID, state: element["state"]?.string.flatMap(ActionState.init(rawValue:)), at: at,
        by: element["by"]?.string ?? "journey",
        outcome: element["outcome"]?.string.flatMap(ActionOutcome.init(rawValue:)), detail: element["detail"]?.string)
      change.recordedAt = element["recordedAt"]?.string.flatMap { Timestamp(iso8601: $0) }
      return change
    }
    self.init(history: history, snoozedUntil: snoozedUntil, isUnsent: isUnsent, isForPeople: isForPeople)
  }

  /// The history as a JSON array.
  /// - Parameter recordedAt: when the changes that are not stored yet became known.
  public func json(recordedAt: Timestamp) -> [UInt8] {
    var json = JSONWriter(reservingCapacity: 256)
    json.beginArray()
    for change in history {
      json.beginObject()
      json.member("state", change.state?.rawValue)
      json.member("outcome", change.outcome?.rawValue)
      json.member("at", change.at)
      json.member("recordedAt", change.recordedAt ?? recordedAt)
      json.member("by", change.by)
      json.member("detail", change.detail)
      json.endObject()
    }
    json.endArray()
    return json.bytes
  }
}
