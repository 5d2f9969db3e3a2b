/// The limits of a JSON text. A text beyond a limit is rejected, never truncated.
public struct JSONLimits: Hashable, Sendable {
  /// Nested containers: `[[1]]` has depth 2. 1...512, because the parser recurses on the thread's stack.
  public var maximumDepth: Int
  /// Bytes of text, at most 1 GiB.
  public var maximumBytes: Int
  /// Values and keys together. Each takes 16 bytes of memory.
  public var maximumNodes: Int

  public init(maximumDepth: Int = 64, maximumBytes: Int = 8 << 20, maximumNodes: Int = 1 << 20) {
    self.maximumDepth = min(max(maximumDepth, 1), 512)
    self.maximumBytes = min(max(maximumBytes, 0), 1 << 30)
    self.maximumNodes = min(max(maximumNodes, 1), 1 << 30)
  }
}
