extension JSONDocument {
  /// The text with the values of all members of these names replaced by `[redacted]`, as the mapping does in metadata.
  /// - Parameters:
  ///   - names: in lower case.
  ///   - kept: values that stay; members inside them are redacted.
  /// - Returns: nil if there is nothing to replace.
  func redacting(_ names: Set<String>, except kept: Set<Int> = []) -> [UInt8]? {
    var ranges: [Range<Int>] = []
    _ = collect(names, except: kept, from: 0, &ranges)
    guard !ranges.isEmpty else { return nil }
    var redacted: [UInt8] = []
    redacted.reserveCapacity(bytes.count)
    var start = 0
    for range in ranges {
      redacted.append(contentsOf: bytes[start..<range.lowerBound])
      redacted.append(contentsOf: "\"\(BodyRedaction.text)\"".utf8)
      start = range.upperBound
    }
    redacted.append(contentsOf: bytes[start...])
    return redacted
  }

  /// Collects the ranges of the values to replace within one value.
  /// - Returns: the index of the next value.
  private func collect(
    _ names: Set<String>, except kept: Set<Int>, from index: Int, _ ranges: inout [Range<Int>]
  ) -> Int {
    let end = Int(nodes[index].next)
    var at = index + 1
    switch nodes[index].kind {
    case .object:
      while at < end {
        let value = at + 1
        if names.contains(string(at: at).lowercased()), !kept.contains(value) {
          let raw = raw(at: value)
          ranges.append(raw.startIndex..<raw.endIndex)
          at = Int(nodes[value].next)
        } else {
          at = collect(names, except: kept, from: value, &ranges)
        }
      }
    case .array:
      while at < end { at = collect(names, except: kept, from: at, &ranges) }
    default: break
    }
    return end
  }
}
