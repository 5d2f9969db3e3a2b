import FoundationEssentials
import Journey

extension JSONWriter {
  /// Writes the attributes that all CloudEvents of the adapter have, into an object that begins with `specversion` and
  /// `id`, up to the key of the data.
  @inline(__always)
  mutating func cloudEventAttributes(
    type: String, time: Timestamp, subject: UUID? = nil, orgID: UUID?, traceparent: String? = nil
  ) {
    member("source", unescaped: "/journey")
    member("type", unescaped: type)
    member("time", time)
    if let subject { member("subject", subject) }
    if let orgID { member("orgid", orgID) }
    member("traceparent", traceparent)
    member("datacontenttype", unescaped: "application/json")
    key("data")
  }
}
