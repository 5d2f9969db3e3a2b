/// What a JSON text may cost. A text beyond a limit is refused with an error, never cut.
public struct JSONLimits: Hashable, Sendable {
  /// Containers inside each other: `[[1]]` has depth 2. 1 to 512, since the parser descends on the thread's stack.
  public var maximumDepth: Int
  /// Bytes of text, at most 1 GiB.
  public var maximumBytes: Int
  /// Values and keys together; each takes 16 bytes of memory while the document lives.
  public var maximumNodes: Int

  public init(maximumDepth: Int = 64, maximumBytes: Int = 8 << 20, maximumNodes: Int = 1 << 20) {
    self.maximumDepth = min(max(maximumDepth, 1), 512)
    self.maximumBytes = min(max(maximumBytes, 0), 1 << 30)
    self.maximumNodes = min(max(maximumNodes, 1), 1 << 30)
  }
}
