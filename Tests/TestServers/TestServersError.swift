/// A command about test servers failed. The description carries what the command itself said, for the one who reads the
/// failed test; it holds no password.
public struct TestServersError: Error, CustomStringConvertible, Sendable {
  /// What was attempted, for example `scripts/servers start`.
  public let operation: String
  /// The exit status of the command, or -1 when it could not even be started.
  public let status: Int32
  /// What the command wrote to its standard error.
  public let output: String

  public var description: String { "\(operation) failed with status \(status): \(output)" }
}
