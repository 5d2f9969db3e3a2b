extension TestServers {
  /// Starts RabbitMQ's management API. Only for a broker of the test's own.
  ///
  /// - Returns: its URL, with the administrator's login.
  public func startManagement() async throws -> String {
    let port = try await erlang(
      """
      begin {ok, S} = gen_tcp:listen(0, [{ip, {127,0,0,1}}]), {ok, P} = inet:port(S), gen_tcp:close(S), \
      application:load(rabbitmq_management), \
      application:set_env(rabbitmq_management, tcp_config, [{ip, "127.0.0.1"}, {port, P}]), \
      F = os:getenv("RABBITMQ_ENABLED_PLUGINS_FILE"), ok = file:write_file(F, "[rabbitmq_management]."), \
      {ok, _, _} = rabbit_plugins:ensure(F), P end
      """)
    let login = amqpURL(vhost: "").dropFirst("amqp://".count).prefix { $0 != "@" }
    return "http://\(login)@127.0.0.1:\(port)"
  }
}
