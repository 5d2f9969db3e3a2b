import ArgumentParser

extension CommandConfiguration {
  /// - Parameter examples: command lines, shown at the end of the discussion.
  init(commandName: String? = nil, abstract: String, discussion: String = "", examples: [String]) {
    let lines = (["Examples:"] + examples.map { "  \($0)" }).joined(separator: "\n")
    self.init(
      commandName: commandName, abstract: abstract,
      discussion: discussion.isEmpty ? lines : "\(discussion)\n\n\(lines)")
  }
}
