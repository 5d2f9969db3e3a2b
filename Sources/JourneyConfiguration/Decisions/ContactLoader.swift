import Journey

/// The contact policy in decisions.yaml.
extension YAMLField {
  func readContact(into policy: inout ContactPolicy?) {
    read(
      into: &policy, defaultValue: ContactPolicy(),
      [
        "limits": { field, policy in
          policy.limits = [:]
          for (name, value) in field.pairs() {
            guard let channel = value.channel(named: name), let limit = value.limit() else { continue }
            policy.limits[channel] = limit
          }
        },
        "pauses": { field, policy in
          policy.pauses = [:]
          for (kind, value) in field.actions() { policy.pauses[kind] = value.span() }
        },
        "unsuitable": { field, policy in
          policy.unsuitable = [:]
          for (kind, value) in field.actions() {
            let risks = (value.elements() ?? []).compactMap { $0.keyword() as Risk? }
            policy.unsuitable[kind] = Set(risks)
          }
        },
        "quietHours": { field, policy in field.readQuietHours(into: &policy.quietHours) },
        "classes": { field, policy in
          policy.classes = [:]
          for (kind, value) in field.actions() { policy.classes[kind] = value.keyword() }
        },
        "consent": { field, policy in
          policy.consent = [:]
          for (name, value) in field.pairs() {
            guard let channel = value.channel(named: name), let purpose = value.purpose() else { continue }
            policy.consent[channel] = purpose
          }
        },
        "unsubscribes": { field, policy in
          policy.unsubscribes = [:]
          for (type, value) in field.pairs() {
            if let name = value.text(), let channel = value.channel(named: name) { policy.unsubscribes[type] = channel }
          }
        },
        "holdout": { field, policy in field.readHoldout(into: &policy.holdout) },
      ])
  }

  private func purpose() -> String? {
    guard let text = text() else { return nil }
    if ConsentRecord.isPurpose(text) { return text }
    report("\(text) is not a purpose", hint: "write 1 to 40 of a-z, 0-9, _, - and ., e.g. marketing")
    return nil
  }

  private func readHoldout(into holdout: inout Holdout?) {
    read(
      into: &holdout, defaultValue: Holdout(percent: 0),
      [
        "percent": { $0.set(&$1.percent, 0...50) },
        "channels": { field, holdout in holdout.channels = field.channels() },
        "salt": { field, holdout in if let salt = field.text() { holdout.salt = salt } },
      ])
    if let holdout, holdout.percent <= 0 {
      report("`percent` is needed, above 0 and at most 50", hint: "e.g. { percent: 5 }, or `holdout: off` for none")
    }
  }

  private func channels() -> Set<Channel> {
    Set((elements() ?? []).compactMap { field in field.text().flatMap { field.channel(named: $0) } })
  }

  private func readQuietHours(into hours: inout QuietHours?) {
    let standard = QuietHours(
      begin: .hours(21), end: .hours(8), channels: [.email, .voice], zone: nil, zones: TimeZones.system)
    read(
      into: &hours, defaultValue: standard,
      [
        "from": { field, hours in if let time = field.timeOfDay() { hours.begin = time } },
        "to": { field, hours in if let time = field.timeOfDay() { hours.end = time } },
        "channels": { field, hours in hours.channels = field.channels() },
        "zone": { field, hours in
          guard let name = field.text() else { return }
          if TimeZones.system.isKnown(name) { return hours.zone = name }
          field.report("\(name) is not a time zone", hint: "write its IANA name, e.g. Europe/Berlin")
        },
      ])
    if let hours, hours.begin == hours.end {
      report("`from` and `to` are equal", hint: "write `quietHours: off` for none")
    }
  }

  /// `21:00`
  private func timeOfDay() -> TimeSpan? {
    guard let text = text() else { return nil }
    let parts = text.split(separator: ":", omittingEmptySubsequences: false)
    if parts.count == 2, parts.allSatisfy({ (1...2).contains($0.count) && $0.allSatisfy(\.isASCIIDigit) }),
      let hour = Int64(parts[0]), let minute = Int64(parts[1]), hour < 24, minute < 60
    {
      return .seconds(hour * 3600 + minute * 60)
    }
    report("\(text) is not a time of day", hint: "write it as \"21:00\"")
    return nil
  }

  private func limit() -> ContactPolicy.Limit? {
    var limit = ContactPolicy.Limit(most: 0, window: .seconds(0))
    read(
      into: &limit,
      [
        "most": { $0.set(&$1.most, 1...16) }, "within": { $0.set(&$1.window) }, "gap": { $0.set(&$1.gap) },
      ])
    if limit.most > 0, limit.window > .seconds(0) { return limit }
    report("`most` (1 to 16) and `within` are needed", hint: "e.g. { most: 1, within: 7d, gap: 16h }")
    return nil
  }
}

extension Character {
  fileprivate var isASCIIDigit: Bool { ("0"..."9").contains(self) }
}
