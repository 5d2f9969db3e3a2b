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
        "exempt": { field, policy in
          policy.exempt = Set((field.elements() ?? []).compactMap { $0.keyword() as ActionKind? })
        },
      ])
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
