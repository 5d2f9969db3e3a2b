/// The word that was probably meant; nil if none is similar.
public func nearest(_ keyword: String, among words: some Sequence<String>) -> String? {
  let ranked = words.map { (keyword: $0, distance: editDistance(keyword.lowercased(), $0.lowercased())) }
  guard let best = ranked.min(by: { $0.distance < $1.distance }), best.distance <= max(2, keyword.utf8.count / 3) else {
    return nil
  }
  return best.keyword
}

/// How a message goes on after a word that is not known: `; did you mean stripe?`, or else all known words.
public func suggestion(for keyword: String, among words: some Collection<String>) -> String {
  nearest(keyword, among: words).map { "; did you mean \($0)?" } ?? "; known: \(words.joined(separator: ", "))"
}

/// The fewest insertions, deletions, replacements and exchanges of neighbours between two words (optimal string
/// alignment).
func editDistance(_ first: String, _ second: String) -> Int {
  let a = Array(first.utf8), b = Array(second.utf8)
  var rows = [Array(0...b.count)]
  for i in a.indices {
    var row = [i + 1]
    for j in b.indices {
      var least = min(rows[i][j + 1] + 1, row[j] + 1, rows[i][j] + (a[i] == b[j] ? 0 : 1))
      if i > 0, j > 0, a[i] == b[j - 1], a[i - 1] == b[j] { least = min(least, rows[i - 1][j - 1] + 1) }
      row.append(least)
    }
    rows.append(row)
  }
  return rows[a.count][b.count]
}
