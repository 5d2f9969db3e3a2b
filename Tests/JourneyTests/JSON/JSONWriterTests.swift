import Journey
import Testing

@Suite("JSON writer")
struct JSONWriterTests {
  @Test func placesCommasAndColons() {
    var writer = JSONWriter()
    writer.beginObject()
    writer.key("a")
    writer.beginArray()
    writer.int(1)
    writer.bool(true)
    writer.beginObject()
    writer.endObject()
    writer.null()
    writer.endArray()
    writer.member("b", nil)
    writer.member("c", "x")
    writer.key("d")
    writer.raw(Array(#"{"raw": 1}"#.utf8))
    writer.endObject()
    #expect(String(decoding: writer.bytes, as: UTF8.self) == #"{"a":[1,true,{},null],"c":"x","d":{"raw": 1}}"#)
  }

  @Test func escapesWhatMustBeEscaped() {
    var writer = JSONWriter()
    writer.string("\"\\/\u{8}\u{c}\n\r\t\u{1}\u{1f}\u{7f}é😀")
    #expect(String(decoding: writer.bytes, as: UTF8.self) == #""\"\\/\b\f\n\r\t\u0001\u001f\u007fé😀""#)
  }

  /// The expected texts are what ECMAScript's `JSON.stringify` gives.
  @Test(arguments: [
    (0.0, "0"), (-0.0, "0"), (1, "1"), (-12, "-12"), (0.1, "0.1"), (12.5, "12.5"), (100, "100"),
    (1e20, "100000000000000000000"),
    (123_456_789_012_345_683_968, "123456789012345680000"), (1e21, "1e+21"), (1.5e21, "1.5e+21"), (1e-6, "0.000001"),
    (1e-7, "1e-7"), (1.25e-7, "1.25e-7"), (.leastNonzeroMagnitude, "5e-324"),
    (.greatestFiniteMagnitude, "1.7976931348623157e+308"),
    (0.000012345, "0.000012345"), (9_007_199_254_740_992, "9007199254740992"), (1e15, "1000000000000000"),
    (123456.789, "123456.789"), (-0.5, "-0.5"), (.infinity, "null"), (.nan, "null"),
  ])
  func writesDoublesAsJavaScriptDoes(_ number: Double, _ text: String) {
    var writer = JSONWriter()
    writer.double(number)
    #expect(String(decoding: writer.bytes, as: UTF8.self) == text)
  }
}
