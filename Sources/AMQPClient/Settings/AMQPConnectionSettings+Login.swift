extension AMQPConnectionSettings {
  /// For the definition of the user on the broker. Do not print it.
  public var revealedPassword: String { password.value }
}
