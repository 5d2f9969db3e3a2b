import Journey
import Testing

@Suite("JSON document")
struct JSONDocumentTests {
  @Test func readsEveryKindOfValue() throws {
    let root = try JSONDocument(parsing: #" {"s":"x","n":12,"t":true,"f":false,"z":null,"a":[1,[2]],"o":{"k":{}}} "#)
      .root
    #expect(root.kind == .object)
    #expect(root.count == 7)
    #expect(root["s"]?.string == "x")
    #expect(root["n"]?.int64 == 12)
    #expect(root["t"]?.bool == true)
    #expect(root["f"]?.bool == false)
    #expect(root["z"]?.isNull == true)
    #expect(root["a"]?.count == 2)
    #expect(root["a"]?[1]?[0]?.int64 == 2)
    #expect(root["a"]?[-1]?.kind == .array)
    #expect(root["a"]?[2] == nil)
    #expect(root["o"]?["k"]?.count == 0)
    #expect(root["missing"] == nil)
    #expect(root.members.map(\.key) == ["s", "n", "t", "f", "z", "a", "o"])
    #expect(root["a"]?.elements.map(\.kind) == [.number, .array])
  }

  @Test func keepsNumbersAsTheyWereWritten() throws {
    let text = "[9007199254740993,12.50,1e2,-0,39313930383633353634323835,1.0]"
    let numbers = try JSONDocument(parsing: text).root
    #expect(
      numbers.elements.map(\.numberText) == [
        "9007199254740993", "12.50", "1e2", "-0", "39313930383633353634323835", "1.0",
      ])
    #expect(numbers[0]?.int64 == 9_007_199_254_740_993)
    #expect(numbers[1]?.int64 == nil)
    #expect(numbers[2]?.double == 100)
    #expect(numbers[4]?.int64 == nil)
    #expect(numbers[5]?.int64 == nil)
  }

  @Test func unescapesStrings() throws {
    let text = #"["\"\\\/\b\f\n\r\t","\u00e9\u4e2d","\ud83d\ude00","é中😀"]"#
    let strings = try JSONDocument(parsing: text).root.elements.map(\.string)
    #expect(strings == ["\"\\/\u{8}\u{c}\n\r\t", "é中", "😀", "é中😀"])
  }

  @Test func takesTheLastOfRepeatedKeys() throws {
    let root = try JSONDocument(parsing: #"{"a":1,"\u0061":2,"b":0,"a":3}"#).root
    #expect(root["a"]?.int64 == 3)
    #expect(try JSONDocument(parsing: #"{"a":1,"\u0061":2}"#).root["a"]?.int64 == 2)
  }

  @Test func cutsValuesOutByteByByte() throws {
    let root = try JSONDocument(parsing: #"{"data": {"a" : 1.00, "b":[ "x\n" ]}, "s": "q"}"#).root
    #expect(String(decoding: try #require(root["data"]).rawBytes, as: UTF8.self) == #"{"a" : 1.00, "b":[ "x\n" ]}"#)
    #expect(String(decoding: try #require(root["s"]).rawBytes, as: UTF8.self) == #""q""#)
  }

  @Test(arguments: [
    ("", JSONError.Code.unexpectedEnd), ("  ", .unexpectedEnd), ("{", .unexpectedEnd), (#"{"a""#, .unexpectedEnd),
    (#"{"a":1"#, .unexpectedEnd), ("[1,", .unexpectedEnd), (#""abc"#, .unexpectedEnd), ("tru", .unexpectedEnd),
    ("-", .unexpectedEnd), ("1.", .unexpectedEnd), ("1e", .unexpectedEnd), (#""\u12"#, .unexpectedEnd),
    ("x", .expectedValue), ("[,1]", .expectedValue), ("[1,]", .expectedValue), ("'a'", .expectedValue),
    ("+1", .expectedValue),
    ("NaN", .expectedValue), ("{1:2}", .expectedKey), (#"{"a":1,}"#, .expectedKey), ("{a:1}", .expectedKey),
    (#"{"a" 1}"#, .expectedColon), (#"{"a":1 "b":2}"#, .expectedCommaOrBrace), ("[1 2]", .expectedCommaOrBracket),
    ("1 2", .trailingBytes), ("{} x", .trailingBytes), ("01", .invalidNumber), ("-x", .invalidNumber),
    ("1.x", .invalidNumber),
    ("1ex", .invalidNumber), ("nulL", .invalidLiteral), ("\"a\nb\"", .controlCharacter), ("\"\t\"", .controlCharacter),
    (#""\x""#, .invalidEscape), (#""\u00g0""#, .invalidEscape), (#""\ud800""#, .loneSurrogate),
    (#""\udc00""#, .loneSurrogate),
    (#""\ud800\u0041""#, .loneSurrogate), (#""a\u0000b""#, .nulCharacter), ("\u{FEFF}{}", .byteOrderMark),
    ("[é]", .expectedValue),
  ])
  func refuses(_ text: String, _ code: JSONError.Code) {
    let error = #expect(throws: JSONError.self) { try JSONDocument(parsing: text) }
    #expect(error?.code == code)
  }

  @Test(
    arguments: [
      [0xC0, 0x80], [0xC1, 0xBF], [0x80], [0xE0, 0x80, 0x80], [0xED, 0xA0, 0x80], [0xF0, 0x80, 0x80, 0x80],
      [0xF4, 0x90, 0x80, 0x80], [0xF5, 0x80, 0x80, 0x80], [0xFF], [0xC3], [0xE4, 0xB8], [0xF0, 0x9F, 0x98],
    ] as [[UInt8]])
  func refusesWhatIsNotUTF8(_ bytes: [UInt8]) {
    let error = #expect(throws: JSONError.self) { try JSONDocument(parsing: [0x22] + bytes + [0x22]) }
    #expect(error?.code == .invalidUTF8)
    #expect(error?.offset == 1)
  }

  @Test func saysWhereAndNotWhat() throws {
    let text = "{\"data\": {\"items\": [1, {\"odd name\":\n  \"secret\\u0000\"}]}}"
    let error = #expect(throws: JSONError.self) { try JSONDocument(parsing: text) }
    #expect(error?.path == "$.data.items[1]['odd name']")
    #expect(error?.line == 2)
    #expect(error?.column == 10)
    #expect(error?.offset == 45)
    #expect(error?.description.contains("secret") == false)
  }

  @Test func holdsItsLimits() throws {
    let limits = JSONLimits(maxDepth: 3, maxBytes: 40, maxNodes: 6)
    func code(_ text: String) -> JSONError.Code? {
      do throws(JSONError) { _ = try JSONDocument(parsing: text, limits: limits) } catch { return error.code }
      return nil
    }
    #expect(code("[[[1]]]") == nil)
    #expect(code("[[[[]]]]") == .tooDeep)
    #expect(code(#"{"a":{"b":{"c":{}}}}"#) == .tooDeep)
    #expect(code("[1,2,3,4,5]") == nil)
    #expect(code("[1,2,3,4,5,6]") == .tooManyNodes)
    #expect(code(String(repeating: " ", count: 40) + "1") == .tooLong)
  }

  @Test func survivesDeepNesting() {
    for text in [String(repeating: "[", count: 1_000_000), String(repeating: #"{"a":"#, count: 300_000)] {
      let error = #expect(throws: JSONError.self) { try JSONDocument(parsing: text) }
      #expect(error?.code == .tooDeep)
    }
    let deepest = String(repeating: "[", count: 512) + String(repeating: "]", count: 512)
    #expect(throws: Never.self) { try JSONDocument(parsing: deepest, limits: JSONLimits(maxDepth: 100_000)) }
  }
}
