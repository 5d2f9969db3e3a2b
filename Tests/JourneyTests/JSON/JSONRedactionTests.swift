import Testing

@testable import Journey

@Suite struct JSONRedactionTests {
  private func redacted(_ text: String, _ names: Set<String>) throws -> String? {
    try JSONDocument(parsing: text).redacting(names).map { String(decoding: $0, as: UTF8.self) }
  }

  @Test func valuesAreReplacedWhereverTheyAreAndNothingElseIsChanged() throws {
    let text = #"""
      { "Email" : "a@b.c", "name": {"first": "Ada", "n": [1, 2]}, "n": 1.50,
        "list": [{"email": null, "x": "email"}, "email", [{"EMAIL": ["a"]}]], "e\u006dail": 7 }
      """#
    let wanted = #"""
      { "Email" : "[redacted]", "name": "[redacted]", "n": 1.50,
        "list": [{"email": "[redacted]", "x": "email"}, "email", [{"EMAIL": "[redacted]"}]], "e\u006dail": "[redacted]" }
      """#
    #expect(try redacted(text, ["email", "name"]) == wanted)
  }

  @Test(arguments: ["{}", "[]", "1", #""email""#, #"{"a": "email"}"#])
  func withoutSuchMembersThereIsNothingToReplace(text: String) throws {
    #expect(try redacted(text, ["email"]) == nil)
  }
}
