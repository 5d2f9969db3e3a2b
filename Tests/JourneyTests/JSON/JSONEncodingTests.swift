import Foundation
import Journey
import Testing

/// Values as JSON: in their own order, with JSON that is embedded byte for byte.
@Suite struct JSONEncodingTests {
  private struct Thing: Encodable {
    enum Kind: String, Encodable { case large }
    struct Part: Encodable {
      var name: String
      var size: Int32
    }
    var zebra = "a/b \"c\"\n"
    var ape: Int? = nil
    var id = UUID(uuidString: "0D000000-0000-4000-8000-00000000000A")!
    var at = Timestamp(seconds: 1_800_000_000)
    var whole = 12.0
    var share = 0.1
    var isGood = true
    var kind = Kind.large
    var parts = [Part(name: "é", size: -1), Part(name: "", size: 7)]
    var none: [String] = []
    var raw = RawJSON(Array(#"{"n": 1.50, "big":123456789012345678901}"#.utf8))
  }

  private func text(_ value: some Encodable) -> String { String(decoding: encodeJSON(value), as: UTF8.self) }

  @Test func membersKeepTheirOrderAndNumbersTheirText() {
    #expect(
      text(Thing())
        == #"{"zebra":"a/b \"c\"\n","id":"0d000000-0000-4000-8000-00000000000a","at":"2027-01-15T08:00:00Z","#
        + #""whole":12,"share":0.1,"isGood":true,"kind":"large","parts":[{"name":"é","size":-1},{"name":"","size":7}],"#
        + #""none":[],"raw":{"n": 1.50, "big":123456789012345678901}}"#)
  }

  @Test func anObjectOmitsWhatIsNil() {
    let name: String? = nil, size: Int? = 7
    let object: JSONObject = [
      "z": 1, "name": name, "size": size, "none": JSONNull(), "list": [["a": true], [:]] as [JSONObject],
    ]
    #expect(text(object) == #"{"z":1,"size":7,"none":null,"list":[{"a":true},{}]}"#)
    #expect(text([Int?.none]) == "[null]")
    #expect(text([String]()) == "[]")
  }

  @Test func aValueMayAddToAnOpenObject() {
    struct Both: Encodable {
      var part: Thing.Part
      func encode(to encoder: any Encoder) throws {
        try part.encode(to: encoder)
        try (["x-1": 1] as JSONObject).encode(to: encoder)
      }
    }
    #expect(text(Both(part: .init(name: "a", size: 1))) == #"{"name":"a","size":1,"x-1":1}"#)
  }
}
