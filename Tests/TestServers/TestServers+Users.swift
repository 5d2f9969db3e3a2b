extension TestServers {
  /// Every password of a test's logins begins like this, so that one in a log is found.
  public static let passwordMarker = "amsel-"

  public static func password(of user: String) -> String { passwordMarker + user }

  /// Creates a broker user, or changes its permissions, in one virtual host. It has no permissions in other virtual
  /// hosts.
  ///
  /// The patterns are regular expressions on the names of queues and exchanges. The default exchange is called
  /// `amq.default`.
  /// - Returns: the broker's URL with the user's login.
  public func allow(
    _ user: String, in vhost: String, configure: String, write: String, read: String
  ) async throws -> String {
    _ = try await erlang(
      """
      case rabbit_auth_backend_internal:exists(<<"\(user)">>) of \
      true -> ok; false -> rabbit_auth_backend_internal:add_user(<<"\(user)">>, <<"\(Self.password(of: user))">>, <<"test">>) end, \
      rabbit_auth_backend_internal:set_permissions(<<"\(user)">>, <<"\(vhost)">>, \
      <<"\(Self.quoted(configure))">>, <<"\(Self.quoted(write))">>, <<"\(Self.quoted(read))">>, <<"test">>)
      """)
    let url = amqpURL(vhost: vhost)
    guard let login = url.firstRange(of: "://")?.upperBound, let end = url[login...].firstIndex(of: "@") else {
      preconditionFailure("not an AMQP URL")
    }
    return "\(url[..<login])\(user):\(Self.password(of: user))\(url[end...])"
  }

  private static func quoted(_ pattern: String) -> String { pattern.replacing("\\", with: "\\\\") }
}
