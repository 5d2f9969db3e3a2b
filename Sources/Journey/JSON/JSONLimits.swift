/// The limits of a JSON text. A text beyond a limit is rejected, never truncated.
public struct JSONLimits: Hashable, Sendable {
  /// Nested containers: `[[1]]` has depth 2. 1...512, because the parser recurses on the thread's stack.
  public var maxDepth: Int
  /// Bytes of text, at most 1 GiB.
  public var maxBytes: Int
  /// Values and keys together. Each takes 16 bytes of memory.
  public var maxNodes: Int

  public init(maxDepth: Int = 64, maxBytes: Int = 8 << 20, maxNodes: Int = 1 << 20) {
    self.maxDepth = min(max(maxDepth, 1), 512)
    self.maxBytes = min(max(maxBytes, 0), 1 << 30)
    self.maxNodes = min(max(maxNodes, 1), 1 << 30)
  }
}
