extension Array {
  /// Parts in their order: each has at most `count` elements, and ends with the one that reaches `bytes`.
  package func parts(of count: Int, bytes: Int, size: (Element) -> Int) -> [ArraySlice<Element>] {
    var parts: [ArraySlice<Element>] = []
    var start = startIndex
    var sum = 0
    for index in indices {
      sum += size(self[index])
      guard index - start + 1 >= count || sum >= bytes else { continue }
      parts.append(self[start...index])
      start = index + 1
      sum = 0
    }
    if start < endIndex { parts.append(self[start...]) }
    return parts
  }
}
