import Journey

/// The mapping language: each key once, with the form of its value and its meaning.
///
/// The loader accepts these keys and no others. Its hints, the JSON Schema of mapping files, the reference in
/// `docs/mapping.md` and the words of `docs/sources` come from here.
enum MappingLanguage {
  static let file = MappingObject(
    "file", "a mapping file",
    [
      .required("source", .text, "name of the source, as the header `x-source` gives it"),
      MappingKey("description", .text, "what the source is, in a few words"),
      MappingKey("version", .either([.text, .number]), "version of the mapping; without it 1"),
      MappingKey(
        "unlisted", .keyword(UnlistedPolicy.allCases.map(\.rawValue)),
        "what happens to an element that no rule names: `count` (without it) passes it by, counts it and keeps a sample; `reject` makes it a dead letter"
      ),
      MappingKey(
        "types", .map(.keyword(Actor.allCases.map(\.rawValue))),
        "event types of your own, each with who acts in it; rules make these and the [canonical types](decisions.md#which-event-sets-which-stage)"
      ),
      .required("envelope", .object(envelope), "where an event's fields are"),
      .required("rules", .list(.object(rule)), "the rules, in order; the first that matches decides"),
    ])

  static let envelope = MappingObject(
    "envelope", "where an event's fields are",
    [
      MappingKey(
        "split", .oneOrMany(.text),
        "list whose elements are the events; of several paths the first that has any counts: `$.a[*]`, `$.a[*].b[*]`; without it the body is one event"
      ),
      MappingKey(
        "root", .oneOrMany(.text), "where the event is in a body that wraps it; without it the body is the event"),
      MappingKey("empty", .text, "reason to ignore a body without any event; without it such a body is a dead letter"),
      MappingKey("source", value, "namespace of the ids; without it the file's `source`"),
      MappingKey(
        "id", value,
        "the source's own id of the event; without it the message's `message_id`, with `#0`, `#1`… in a split body; else a dead letter"
      ),
      .required("type", value, "type that the rules match"),
      MappingKey("time", time, "when it happened; without it the message's `timestamp`; else a dead letter"),
      MappingKey("client", client, "the client: a uuid, or the source's id of it; a dead letter if nothing names it"),
      MappingKey("group", value, group),
      .required("org", value, "uuid of the organisation"),
      MappingKey(
        "tenant", value, "the vendor's id of the organisation's account, looked up in the table of tenants"),
      MappingKey(
        "testTraffic", .named("condition"),
        "holds for what the vendor marks as a test: it is ignored, unless the setting `mappings.testTraffic` or `--test-traffic` says otherwise"
      ),
      MappingKey(
        "redact", constants,
        "names of members whose values become `[redacted]`, wherever they occur in objects that are kept whole"),
      MappingKey("metadata", metadata, "what is stored with the event; without it nothing"),
    ])

  private static let group =
    "id of the company, account or household that the client belongs to, or of a mailbox that several clients share (never your own inbox); an event that names no client is for the group"

  static let rule = MappingObject(
    "rule", "an element of `rules`",
    [
      .required("name", .text, "name of the rule in reports and traces"),
      .required("when", .object(when), "what the rule matches, for example `{type: invoice.paid}`"),
      MappingKey(
        "states", .text,
        "reason why the rule may read a state although its type tells of edits; silences the warning of `check`"),
      MappingKey("event", .object(event), "the event to make"),
      MappingKey("ignore", .text, "reason to ignore the message"),
      MappingKey("reject", .either([.text, .object(reject)]), "reason to make it a dead letter"),
    ], exactlyOneOf: ["event", "ignore", "reject"])

  static let event = MappingObject(
    "event", "an event of a rule",
    [
      .required("type", value, "one of the adapter's own types, in snake case: `invoice_paid`"),
      .required(
        "stage", .either([.keyword(Stage.allCases.map(\.rawValue) + ["keep"]), .object(stage), value]),
        "the client's new stage, `keep` if it stays, a stage that it reaches at least, or the path of the stage"),
      MappingKey(
        "by", .either([.keyword(Actor.allCases.map(\.rawValue)), value]),
        "who acted: the client, us (staff) or the system, or the path of one of these words; without it as the type says. Only the client's own acts are signs of life"
      ),
      MappingKey("id", value, "overrides the envelope's `id`"),
      MappingKey("time", time, "overrides the envelope's `time`"),
      MappingKey("client", client, "overrides the envelope's `client`"),
      MappingKey("group", value, "overrides the envelope's `group`"),
      MappingKey("create", .object(create), "creates a contact if the client is unknown"),
      MappingKey(
        "link", value,
        "object that belongs to the client, `{join: [{value: ticket}, $.ticket.id]}`; later events that name only the object find the client by it; a list links all of its values; a path may contain `[*]`"
      ),
      MappingKey(
        "merge", value,
        "other ids of the same person, who becomes one client with them; a list merges all of its values; a path may contain `[*]`"
      ),
      MappingKey(
        "naturalKey", value,
        "key that other sources have for the same thing, stored as `metadata.naturalKey`; things with equal keys count once"
      ),
      MappingKey("metadata", metadata, "members that are added to the envelope's, or a path that replaces them"),
    ])

  static let stage = MappingObject(
    "stage", "a stage that is a lower bound",
    [
      .required(
        "at-least", .keyword(Stage.allCases.map(\.rawValue)),
        "raises a client to this stage that is before it, and leaves every other where it is")
    ])

  static let reject = MappingObject(
    "reject", "a rejection with its code",
    [
      .required("reason", .text, "sentence for the person who finds the dead letter"),
      MappingKey(
        "code",
        .keyword(rejectionCodes), "code of the dead letter; without it `invalid_field`"),
      MappingKey("field", .text, "path of the field that is wrong"),
    ])

  static let create = MappingObject(
    "create", "the contact to create",
    [
      MappingKey("name", value, "name"), MappingKey("email", value, "address"),
      MappingKey("phone", value, "telephone number"),
    ])

  static let clientObject = MappingObject(
    "client", "who the event is about",
    [
      .required("from", value, "where the client's id is"),
      MappingKey(
        "refuse", constants,
        "texts that mean nobody, or prefixes of them with a star (`guest:*`), besides the built-in ones (`anonymous`, `null`, `No response`, `REDACTED`, …); the next of `from` is tried"
      ),
      MappingKey(
        "known", .flag,
        "whether the first of `from` that is known already counts, instead of the first that is present; if none is known, the first that is present; at most \(MappingClient.maxCandidates) ids"
      ),
      MappingKey(
        "email", value, "address that finds a contact if the id does not; counts only if `emailVerified` is true"),
      MappingKey(
        "emailVerified", .flag, "whether the source verifies that the address belongs to the person with the id"),
      MappingKey(
        "unknown", .keyword(UnknownClient.allCases.map(\.rawValue)),
        "what happens to an event of an unknown client: it is retried, becomes a dead letter, or is passed by (`ignore`); `default`: as the setting `retry.unknownClient` says"
      ),
      MappingKey("reason", .text, "reason of the dead letter if the body names no client"),
    ])

  static let timeObject = MappingObject(
    "time", "a time with its unit",
    [
      .required("path", value, "where the time is"),
      MappingKey(
        "unit", .keyword(TimeUnit.allCases.map(\.rawValue)),
        "unit since 1970, `rfc3339` (a zone is required), `iso` (UTC without a zone), or `auto` (a text as `iso`, a number by its size)"
      ),
    ])

  static let valueObject = MappingObject(
    "value", "a constant, or a value that is made of others",
    [
      MappingKey("value", .constant, "constant"),
      MappingKey("path", value, "where the value is"),
      MappingKey("join", .list(value), "texts to join; absent if one of them is"),
      MappingKey("percent", .list(value), "two numbers: 100 times the first divided by the second"),
      MappingKey("with", .text, "what stands between the joined texts; without it `:`"),
      MappingKey("then", .list(step), "steps that transform the value"),
    ] + steps.filter { $0.isLastStep || $0.name == "otherwise" }, exactlyOneOf: ["path", "join", "percent", "value"])

  // MARK: Forms that several keys share

  static let value = MappingForm.named("value"), time = MappingForm.named("time"), client = MappingForm.named("client")
  static let metadata = MappingForm.named("metadata"), step = MappingForm.named("step")
  static let constants = MappingForm.oneOrMany(.constant)

  static let named: [(name: String, meaning: String, form: MappingForm)] = [
    (
      "value", "a path, a list of values of which the first that is present counts, or a mapping",
      .either([.text, .list(value), .object(valueObject)])
    ),
    ("time", "a path, a list of times, or a mapping", .either([.text, .list(time), .object(timeObject)])),
    ("client", "a value, or a mapping", .either([value, .object(clientObject)])),
    ("metadata", "a value, or members of which null removes one", .either([value, .map(.either([value, .null]))])),
    ("step", "a word, or a mapping of one name", .either([.keyword(stepWords.map(\.name)), .object(stepObject)])),
    ("condition", "all parts of it must hold", .object(condition)),
  ]

  static let rejectionCodes = [
    Rejection.Code.missingField, .invalidField, .unknownType, .unknownClient, .unsupportedContentType,
  ].map(\.rawValue)

  static let properties = MessageProperty.allCases.map(\.rawValue)

  /// The objects in the order of the reference.
  static let objects = [
    file, envelope, rule, when, changed, event, stage, clientObject, create, reject, timeObject, valueObject,
    stepObject,
  ]
}
