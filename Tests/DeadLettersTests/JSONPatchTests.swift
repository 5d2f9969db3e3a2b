import DeadLetters
import Journey
import Testing

@testable import DeadLetters
@testable import JourneyAMQP

/// The examples of RFC 6902, appendix A, for the operations that are taken, and what else can go wrong.
@Suite struct JSONPatchTests {
  private func apply(_ patch: String, to body: String) throws(JSONPatchError) -> String {
    String(decoding: try JSONPatch(parsing: Array(patch.utf8)).applied(to: Array(body.utf8)), as: UTF8.self)
  }

  @Test(arguments: [
    (#"{"foo":"bar"}"#, #"[{"op":"add","path":"/baz","value":"qux"}]"#, #"{"foo":"bar","baz":"qux"}"#),
    (#"{"foo":["bar","baz"]}"#, #"[{"op":"add","path":"/foo/1","value":"qux"}]"#, #"{"foo":["bar","qux","baz"]}"#),
    (#"{"baz":"qux","foo":"bar"}"#, #"[{"op":"remove","path":"/baz"}]"#, #"{"foo":"bar"}"#),
    (#"{"foo":["bar","qux","baz"]}"#, #"[{"op":"remove","path":"/foo/1"}]"#, #"{"foo":["bar","baz"]}"#),
    (#"{"baz":"qux","foo":"bar"}"#, #"[{"op":"replace","path":"/baz","value":"boo"}]"#, #"{"baz":"boo","foo":"bar"}"#),
    (#"{"foo":["bar"]}"#, #"[{"op":"add","path":"/foo/-","value":["abc","def"]}]"#, #"{"foo":["bar",["abc","def"]]}"#),
    (
      #"{"foo":"bar"}"#, #"[{"op":"add","path":"/child","value":{"grandchild":{}}}]"#,
      #"{"foo":"bar","child":{"grandchild":{}}}"#
    ),
    (#"{"/":9,"~1":10}"#, #"[{"op":"test","path":"/~01","value":10}]"#, #"{"/":9,"~1":10}"#),
    (#"{"a":1}"#, #"[{"op":"add","path":"/a","value":2}]"#, #"{"a":2}"#),
    (#"{"a":1}"#, #"{"op":"replace","path":"","value":[]}"#, "[]"),
    (#"{"a":[[1,2],[3]]}"#, #"[{"op":"replace","path":"/a/0/1","value":null}]"#, #"{"a":[[1,null],[3]]}"#),
    (#"{"":1,"a":{"":2}}"#, #"[{"op":"replace","path":"/a/","value":3}]"#, #"{"":1,"a":{"":3}}"#),
    // What is not touched keeps the text it was written with.
    (
      #"{"n":12.500,"e":1E5,"s":"x"}"#, #"[{"op":"replace","path":"/s","value":"y"}]"#, #"{"n":12.500,"e":1E5,"s":"y"}"#
    ),
    (#"{"a":1,"a":2,"b":3}"#, #"[{"op":"remove","path":"/a"}]"#, #"{"b":3}"#),
    (#"{"a":1,"a":2}"#, #"[{"op":"replace","path":"/a","value":3}]"#, #"{"a":1,"a":3}"#),
    (
      #"{"a":{"x":1,"y":[1.0]}}"#, #"[{"op":"test","path":"/a","value":{"y":[1],"x":1e0}}]"#,
      #"{"a":{"x":1,"y":[1.0]}}"#
    ),
  ])
  func applies(body: String, patch: String, result: String) throws {
    #expect(try apply(patch, to: body) == result)
  }

  @Test(arguments: [
    (#"{"baz":"qux"}"#, #"[{"op":"test","path":"/baz","value":"bar"}]"#),
    (#"{"foo":"bar"}"#, #"[{"op":"add","path":"/baz/bat","value":"qux"}]"#),
    (#"{"a":1}"#, #"[{"op":"replace","path":"/b","value":1}]"#), (#"{"a":1}"#, #"[{"op":"remove","path":"/b"}]"#),
    (#"{"a":[1]}"#, #"[{"op":"add","path":"/a/2","value":1}]"#),
    (#"{"a":[1]}"#, #"[{"op":"replace","path":"/a/-","value":1}]"#),
    (#"{"a":[1,2]}"#, #"[{"op":"remove","path":"/a/01"}]"#), (#"{"a":[1]}"#, #"[{"op":"remove","path":"/a/-1"}]"#),
    (#"{"a":"text"}"#, #"[{"op":"add","path":"/a/0","value":1}]"#),
    ("not json", #"[{"op":"add","path":"/a","value":1}]"#),
    (#"{"a":9007199254740993}"#, #"[{"op":"test","path":"/a","value":9007199254740992}]"#),
    (#"{"a":"1"}"#, #"[{"op":"test","path":"/a","value":1}]"#),
  ])
  func whatDoesNotApplyIsRefused(body: String, patch: String) {
    #expect(throws: JSONPatchError.self) { try apply(patch, to: body) }
  }

  @Test(arguments: [
    "[]", "1", #"[{"path":"/a","value":1}]"#, #"[{"op":"add","value":1}]"#, #"[{"op":"add","path":"/a"}]"#,
    #"[{"op":"move","path":"/a","from":"/b"}]"#,
    #"[{"op":"add","path":"a","value":1}]"#, #"[{"op":"add","path":"/a~2","value":1}]"#,
    #"[{"op":"add","path":"/a~","value":1}]"#,
    #"[{"op":"remove","path":""}]"#, "{",
  ])
  func whatIsNoPatchIsRefused(patch: String) {
    #expect(throws: JSONPatchError.self) { try JSONPatch(parsing: Array(patch.utf8)) }
  }

  @Test func allOrNothing() throws {
    let patch = try JSONPatch(
      parsing: Array(#"[{"op":"replace","path":"/a","value":2},{"op":"test","path":"/a","value":1}]"#.utf8))
    #expect(throws: JSONPatchError.self) { try patch.applied(to: Array(#"{"a":1}"#.utf8)) }
  }

  @Test func errorsNamePathsAndNoValues() throws {
    let error = #expect(throws: JSONPatchError.self) {
      try apply(#"[{"op":"test","path":"/a~1b/c","value":"secret"}]"#, to: #"{"a/b":{"c":"hidden"}}"#)
    }
    #expect(error?.description == "/a~1b/c is not what the patch tests for")
  }

  @Test func indentedForPeople() throws {
    let tree = JSONTree(try JSONDocument(parsing: #"{"a":[1,{}],"b":[],"c":{"d":"x\ny"}}"#).root)
    #expect(
      String(decoding: tree.bytes(indented: true), as: UTF8.self)
        == "{\n  \"a\": [\n    1,\n    {}\n  ],\n  \"b\": [],\n  \"c\": {\n    \"d\": \"x\\ny\"\n  }\n}")
  }
}
