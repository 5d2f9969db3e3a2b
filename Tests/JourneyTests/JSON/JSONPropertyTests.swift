import Foundation
import Journey
import Testing

/// Small and seeded (SplitMix64), so that a failing case comes back.
struct JSONTestRandom: RandomNumberGenerator {
  var state: UInt64
  mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    var z = state
    z = (z ^ z >> 30) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ z >> 27) &* 0x94D0_49BB_1331_11EB
    return z ^ z >> 31
  }
}

@Suite("JSON properties")
struct JSONPropertyTests {
  indirect enum Tree: Equatable {
    case object([(String, Tree)]), array([Tree]), string(String), int(Int64), double(Double), bool(Bool), null

    static func == (a: Tree, b: Tree) -> Bool {
      switch (a, b) {
      case (.object(let x), .object(let y)): x.count == y.count && zip(x, y).allSatisfy { $0.0 == $1.0 && $0.1 == $1.1 }
      case (.array(let x), .array(let y)): x == y
      case (.string(let x), .string(let y)): Array(x.unicodeScalars) == Array(y.unicodeScalars)
      case (.int(let x), .int(let y)): x == y
      case (.double(let x), .double(let y)): x == y
      case (.int(let x), .double(let y)), (.double(let y), .int(let x)): Double(x) == y
      case (.bool(let x), .bool(let y)): x == y
      case (.null, .null): true
      default: false
      }
    }
  }

  static func randomTree(_ random: inout JSONTestRandom, depth: Int) -> Tree {
    switch Int.random(in: 0..<(depth > 0 ? 8 : 6), using: &random) {
    case 0: return .null
    case 1: return .bool(.random(using: &random))
    case 2: return .int(.random(in: .min ... .max, using: &random) >> Int64.random(in: 0..<63, using: &random))
    case 3: return .double(Double(bitPattern: .random(in: 0...UInt64.max, using: &random)).finite)
    case 4, 5: return .string(randomString(&random))
    case 6:
      return .array((0..<Int.random(in: 0..<5, using: &random)).map { _ in randomTree(&random, depth: depth - 1) })
    default:
      return .object(
        (0..<Int.random(in: 0..<5, using: &random)).map {
          (randomString(&random) + "\($0)", randomTree(&random, depth: depth - 1))
        })
    }
  }

  static func randomString(_ random: inout JSONTestRandom) -> String {
    var scalars = String.UnicodeScalarView()
    for _ in 0..<Int.random(in: 0..<20, using: &random) {
      let limit: UInt32 = [0x80, 0x80, 0x100, 0x3000, 0x10FFFF][Int.random(in: 0..<5, using: &random)]
      if let scalar = Unicode.Scalar(UInt32.random(in: 1...limit, using: &random)) { scalars.append(scalar) }
    }
    return String(scalars)
  }

  static func write(_ tree: Tree, to writer: inout JSONWriter) {
    switch tree {
    case .null: writer.null()
    case .bool(let value): writer.bool(value)
    case .int(let value): writer.int(value)
    case .double(let value): writer.double(value)
    case .string(let value): writer.string(value)
    case .array(let elements):
      writer.beginArray()
      for element in elements { write(element, to: &writer) }
      writer.endArray()
    case .object(let members):
      writer.beginObject()
      for (key, value) in members {
        writer.key(key)
        write(value, to: &writer)
      }
      writer.endObject()
    }
  }

  static func read(_ value: JSONValue) -> Tree {
    switch value.kind {
    case .null: .null
    case .true, .false: .bool(value.bool!)
    case .number: value.int64.map(Tree.int) ?? .double(value.double!)
    case .string: .string(value.string!)
    case .array: .array(value.elements.map(read))
    case .object: .object(value.members.map { ($0.key, read($0.value)) })
    }
  }

  @Test(arguments: 0..<300 as Range<UInt64>)
  func readsWhatItWrites(seed: UInt64) throws {
    var random = JSONTestRandom(state: seed)
    let tree = Self.randomTree(&random, depth: 5)
    var writer = JSONWriter()
    Self.write(tree, to: &writer)
    let document = try JSONDocument(parsing: writer.bytes)
    #expect(Self.read(document.root) == tree)
    #expect(Array(document.root.rawBytes) == writer.bytes)
    #expect((try? JSONSerialization.jsonObject(with: Data(writer.bytes), options: .fragmentsAllowed)) != nil)
  }

  /// Foundation takes what we refuse on purpose, reads UTF-16 where a text seems to be that, and refuses numbers beyond
  /// Double.
  @Test(arguments: 0..<40 as Range<UInt64>)
  func agreesWithFoundationOnWhatIsValid(seed: UInt64) {
    var random = JSONTestRandom(state: seed &+ 1_000)
    let alphabet = Array(#"{}[]",:.-+eE0123456789 \/bfnrtu"#.utf8) + Array("truefalsnl\n\t\u{1}é".utf8)
    for _ in 0..<250 {
      var writer = JSONWriter()
      Self.write(Self.randomTree(&random, depth: 3), to: &writer)
      var bytes = writer.bytes
      for _ in 0..<Int.random(in: 1...3, using: &random) where !bytes.isEmpty {
        let at = Int.random(in: 0..<bytes.count, using: &random)
        switch Int.random(in: 0..<3, using: &random) {
        case 0: bytes.remove(at: at)
        case 1: bytes.insert(alphabet.randomElement(using: &random)!, at: at)
        default: bytes[at] = alphabet.randomElement(using: &random)!
        }
      }
      guard bytes.count >= 4, bytes[..<4].allSatisfy({ (1...0x7F).contains($0) }) else { continue }
      let theirs = (try? JSONSerialization.jsonObject(with: Data(bytes), options: .fragmentsAllowed)) != nil
      do throws(JSONError) {
        let document = try JSONDocument(parsing: bytes)
        let isBeyondDouble = document.hasNumberBeyondDouble
        #expect(theirs || isBeyondDouble, "only we accept \(String(decoding: bytes, as: UTF8.self))")
      } catch {
        let isStricter = [.nulCharacter, .loneSurrogate].contains(error.code)
        #expect(!theirs || isStricter, "only Foundation accepts \(String(decoding: bytes, as: UTF8.self)): \(error)")
      }
    }
  }

  @Test(arguments: 0..<20 as Range<UInt64>)
  func randomBytesNeverTrap(seed: UInt64) {
    var random = JSONTestRandom(state: seed &+ 2_000)
    let grammar = Array(#"{}[]":,\u0dE-.1 tn"#.utf8)
    var accepted = 0
    for round in 0..<2_000 {
      let bytes = (0..<Int.random(in: 0..<60, using: &random)).map { _ in
        round % 2 == 0 ? UInt8.random(in: 0...255, using: &random) : grammar.randomElement(using: &random)!
      }
      do throws(JSONError) {
        let document = try JSONDocument(parsing: bytes, limits: JSONLimits(maxDepth: 8))
        _ = Self.read(document.root)
        accepted += 1
      } catch {
        #expect(error.offset <= bytes.count && error.line >= 1 && error.column >= 1 && error.path.hasPrefix("$"))
      }
    }
    #expect(accepted < 2_000)
  }
}

extension Double {
  fileprivate var finite: Double { isFinite ? self : 0 }
}

extension JSONDocument {
  fileprivate var hasNumberBeyondDouble: Bool {
    func search(_ value: JSONValue) -> Bool {
      switch value.kind {
      case .number:
        // An overflow, or digits that a double rounds away to (almost) nothing.
        !(value.double?.isFinite ?? false)
          || value.double!.magnitude < 1e-300
            && value.numberText!.prefix { $0 != "e" && $0 != "E" }.contains { "1"..."9" ~= $0 }
      case .array: value.elements.contains(where: search)
      case .object: value.members.contains { search($0.value) }
      default: false
      }
    }
    return search(root)
  }
}
