/// A command on the test servers failed. The description contains the command's output, without passwords.
public struct TestServersError: Error, CustomStringConvertible, Sendable {
  /// What was attempted, for example `scripts/servers start`.
  public let operation: String
  /// The exit status of the command; -1 if it could not be started.
  public let status: Int32
  /// The standard error of the command.
  public let output: String

  public var description: String { "\(operation) failed with status \(status): \(output)" }
}
