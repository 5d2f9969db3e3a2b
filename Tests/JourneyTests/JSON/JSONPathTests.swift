import Journey
import Testing

@Suite("JSON path")
struct JSONPathTests {
  static let body = #"""
    {"a":{"b":[10,20,30]},"$time":1,"total billed":2,"x.y":3,"it's":4,"back\\slash":5,"é":6,"":7,"a-b":8,"deep":[{"k":null}]}
    """#

  @Test(arguments: [
    ("$.a.b[0]", "10"), ("$.a.b[-1]", "30"), ("$['a']['b'][1]", "20"), (#"$["a"].b[-3]"#, "10"), ("$['$time']", "1"),
    ("$['total billed']", "2"), ("$['x.y']", "3"), (#"$['it\'s']"#, "4"), (#"$["it's"]"#, "4"),
    (#"$['back\\slash']"#, "5"), ("$.é", "6"),
    ("$['']", "7"), ("$['a-b']", "8"), ("$.deep[0].k", "null"),
  ])
  func namesOneValue(_ path: String, _ raw: String) throws {
    let value = try JSONDocument(parsing: Self.body).root[JSONPath(path)]
    #expect(value.map { String(decoding: $0.rawBytes, as: UTF8.self) } == raw)
  }

  private static let emails = """
    {"list":[{"type":"work","value":"w@x","rank":2},{"type":"home","value":"h@x","primary":true,"rank":10},
     {"type":"home","value":null,"rank":"3"}],"map":{"a":{"on":false},"b":{"on":true,"id":7}}}
    """

  /// RFC 9535: values of different kinds are unequal and unordered, and what is absent equals nothing.
  @Test(arguments: [
    ("$.list[?@.type == 'home'].value", "\"h@x\""), ("$.list[?@.primary == true].type", "\"home\""),
    ("$.list[?@.primary].value", "\"h@x\""), ("$.list[?!@.primary].value", "\"w@x\""),
    ("$.list[?@.rank >= 10].value", "\"h@x\""), ("$.list[?@.rank<10].value", "\"w@x\""),
    ("$.list[?@.type == \"home\" && @.value == null].rank", "\"3\""),
    ("$.list[?(@.type == 'x' || @.rank > 2) && @.primary != false].value", "\"h@x\""),
    ("$.map[?@.on == true].id", "7"), ("$.list[?@.type != 'work'].rank", "10"),
  ])
  func aFilterSelectsTheFirstThatPasses(_ path: String, _ raw: String) throws {
    let value = try JSONDocument(parsing: Self.emails).root[JSONPath(path)]
    #expect(value.map { String(decoding: $0.rawBytes, as: UTF8.self) } == raw)
  }

  @Test(arguments: ["$.list[?@.type == 'none'].value", "$.list[?@.rank == '2'].value", "$.list[?@.x == null].value"])
  func aFilterThatNothingPassesNamesNothing(_ path: String) throws {
    #expect(try JSONDocument(parsing: Self.emails).root[JSONPath(path)] == nil)
  }

  @Test(arguments: ["$.b", "$.a.b[3]", "$.a.b[-4]", "$.a[0]", "$.a.b.c", "$.deep[0].k.x", "$['$time'].x"])
  func namesNothing(_ path: String) throws {
    #expect(try JSONDocument(parsing: Self.body).root[JSONPath(path)] == nil)
  }

  @Test(arguments: [
    ("", 1, "starts with $"), ("a.b", 1, "starts with $"), ("$a", 2, "a point or a bracket"),
    ("$.", 3, "a name is expected"),
    ("$..a", 3, "descent"), ("$.*", 3, "[*]"), ("$.a b", 4, "in quotes"), ("$.a-b", 4, "in quotes"),
    ("$.1", 3, "in quotes"),
    ("$[", 3, "not closed"), ("$[1", 4, "not closed"), ("$['a", 5, "quote is not closed"), ("$[1:2]", 4, "slices"),
    ("$[1,2]", 4, "several names"), ("$[01]", 3, "array index"),
    ("$[-0]", 3, "array index"),
    ("$[?a]", 4, "starts with @"), ("$[?@.a ==]", 10, "a text in quotes"), ("$[?@.a == b]", 11, "a text in quotes"),
    ("$[?(@.a]", 8, "parenthesis"), ("$[?@[?@.b]]", 7, "inside a filter"), ("$[?@.a & @.b]", 8, "&& or ||"),
    ("$[?@.a[*]]", 10, "one value"),
    ("$[a]", 3, "a number, * or a name"), ("$.a.[0]", 5, "no point before a bracket"),
  ])
  func saysWhatIsWrong(_ path: String, _ column: Int, _ part: String) {
    let error = #expect(throws: JSONPathError.self) { try JSONPath(path) }
    #expect(error?.column == column)
    #expect(error?.message.contains(part) == true, "\(String(describing: error))")
  }

  @Test func isEqualByTheBytesOfItsNames() throws {
    #expect(try JSONPath("$.a.b[0]") == JSONPath("$['a']['b'][0]"))
    #expect(try JSONPath("$.ab.c") != JSONPath("$.a.bc"))
    // What Unicode calls equivalent are two members of an object.
    let (sign, character) = (try JSONPath("$.\u{212B}"), try JSONPath("$.A\u{30A}"))
    #expect(sign != character)
    #expect(Set([sign, character]).count == 2)
  }

  @Test func readsReferences() throws {
    #expect(try MappingReference("header:x-groove-event") == .header("x-groove-event"))
    #expect(try MappingReference("property:message_id") == .property(.messageID))
    #expect(try MappingReference("body:$.tenant") == .body(JSONPath("$.tenant")))
    for text in ["header:", "property:reply_to", "data.id", "$.events[*].id", "body:x"] {
      #expect(throws: JSONPathError.self) { try MappingReference(text) }
    }
  }
}
