@testable import AMQPClient
import Testing

@Suite("AMQP URIs")
struct URITests {
  private func settings(_ uri: String) throws(AMQPError) -> AMQPConnectionSettings {
    try AMQPConnectionSettings(uri: uri, connectionName: "test")
  }

  @Test("Defaults")
  func defaults() throws {
    let plain = try settings("amqp://broker")
    #expect(plain.endpoints == [.init(host: "broker", port: 5672)])
    #expect(plain.user == "guest")
    #expect(plain.virtualHost == "/")
    #expect(plain.tls == nil)
    #expect(plain.heartbeat == .seconds(10))
    let secure = try settings("amqps://broker")
    #expect(secure.endpoints == [.init(host: "broker", port: 5671)])
    #expect(secure.tls == .init(verifiesPeer: true))
  }

  @Test(
    "Virtual hosts",
    arguments: [
      ("amqp://h", "/"), ("amqp://h/", "/"), ("amqp://h/%2F", "/"), ("amqp://h/%2f", "/"), ("amqp://h/a", "a"),
      ("amqp://h/a%2Fb", "a/b"), ("amqp://h/z%C3%BCri?heartbeat=5", "züri"),
    ])
  func virtualHosts(uri: String, vhost: String) throws {
    #expect(try settings(uri).virtualHost == vhost)
  }

  @Test("All parts at once")
  func everything() throws {
    let all = try settings(
      "amqps://us%40er:p%3Aw%2F%40@a:1,[::1]:2,c/v?heartbeat=7&connection_timeout=1500&cacertfile=/ca%20.pem&certfile=/c&keyfile=/k"
        + "&verify=verify_none&auth_mechanism=external&frame_max=8192")
    #expect(all.user == "us@er")
    #expect(all.endpoints.map(\.description) == ["a:1", "[::1]:2", "c:5671"])
    #expect(all.heartbeat == .seconds(7))
    #expect(all.connectTimeout == .milliseconds(1500))
    #expect(all.tls == .init(authoritiesFile: "/ca .pem", certificateFile: "/c", keyFile: "/k", verifiesPeer: false))
    #expect(all.mechanism == .external)
    #expect(all.frameMax == 8192)
    #expect(all.description == "amqps://us%40er@a:1,[::1]:2,c:5671/v")
  }

  @Test("Neither description nor reflection shows the password")
  func passwordStaysInside() throws {
    let settings = try settings("amqp://user:s3cret@h/v")
    var dumped = ""
    dump(settings, to: &dumped)
    for text in [settings.description, "\(settings)", String(reflecting: settings), dumped] {
      #expect(!text.contains("s3cret"))
    }
  }

  @Test(
    "What is wrong is named, and the password is not repeated",
    arguments: [
      ("user:s3cret@h", "does not start with amqp://"),
      ("http://user:s3cret@h", "neither amqp nor amqps"),
      ("amqp://user:s3cret@", "host is missing"),
      ("amqp://user:s3cret@h,,i", "host is missing"),
      ("amqp://user:s3cret@h:0", "port is not a number in 1...65535"),
      ("amqp://user:s3cret@h:65536", "port"),
      ("amqp://user:s3cret@h:", "port"),
      ("amqp://user:s3cret/x@h/v", "a '@' stands after a '/'"),
      ("amqp://user:s3cret@@h", "'@' in user or password"),
      ("amqp://user:s3cret#@h", "'#'"),
      ("amqp://user:s3cret%2@h", "the password has a '%'"),
      ("amqp://user:s3cret%FF@h", "the password is not UTF-8"),
      ("amqp://user:s3cret%00@h", "zero bytes"),
      ("amqp://user:s3cret@[::1", "']'"),
      ("amqp://user:s3cret@h/a/b", "vhost has to be written %2F"),
      ("amqp://user:s3cret@h?heartbeat=0", "heartbeat is not a whole number in 1...3600"),
      ("amqp://user:s3cret@h?heartbeat=x", "heartbeat"),
      ("amqp://user:s3cret@h?heartbeat=1&heartbeat=2", "heartbeat is given twice"),
      ("amqp://user:s3cret@h?nonsense=1", "unknown parameter, nonsense; known are heartbeat"),
      ("amqp://user:s3cret@h/v?channel_max=5", "the parameter channel_max is another program's: leave it out"),
      ("amqp://user:s3cret@h?password=s3cret&nonsense=1", "the parameter password is another program's"),
      ("amqp://user:s3cret@h?verify=verify_peer", "verify needs the scheme amqps"),
      ("amqps://user:s3cret@h?verify=maybe", "verify is verify_peer or verify_none"),
      ("amqps://user:s3cret@h?certfile=/c", "only of use together"),
      ("amqp://user:s3cret@h?heartbeat", "has no value"),
      ("amqp://user:s3cret@h?auth_mechanism=magic", "auth_mechanism is plain or external"),
    ])
  func rejected(uri: String, reason: String) {
    do throws(AMQPError) {
      _ = try settings(uri)
      Issue.record("accepted")
    } catch {
      #expect(error.code == .invalidURI)
      #expect(error.message.contains(reason), "\(error.message)")
      #expect(!error.description.contains("s3cret"))
      #expect(!error.isRetriable)
    }
  }

  @Test func aParameterMayHoldAnAt() throws {
    let found = try settings("amqps://user:s3cret@h/v?cacertfile=/etc/a@b.pem")
    #expect(found.virtualHost == "v" && found.user == "user" && found.endpoints == [.init(host: "h", port: 5671)])
  }

  /// A password that nobody percent-encoded ends up anywhere: no error, no description and no part that is shown of
  /// shows a piece of it.
  @Test func noPartOfAPasswordIsReported() {
    let marks = [
      "", "?", "@", "#", "/", ":", "%", "&", "=", ",", ";", "[", "]", "\"", "'", " ", "\\", "//", "@/", "/@", "?=",
      "&a=", "%zz", ":1/", "/?", "?heartbeat=",
    ]
    let shapes = [
      "amqp://user:<>@127.0.0.1:1/", "amqps://user:<>@127.0.0.1/vhost?heartbeat=5", "amqp://user:<>@a,b:2",
      "amqp://:<>@h", "amqp:/user:<>@h", "user:<>@h",
      "amq://user:<>@h", "amqp://h?password=<>", "amqp://h:<>", "amqp://[<>", "amqp://user:<>", "amqp://user:<>=1@h/",
    ]
    for shape in shapes {
      for one in marks {
        for two in marks {
          let uri = shape.replacing("<>", with: "kanari\(one)vogel9\(two)amsel3")
          var shown = ""
          do throws(AMQPError) {
            let found = try settings(uri)
            // What has no '@' at all has no password: it may name a host.
            guard shape.contains("@") else { continue }
            shown = "\(found) \(found.endpoints) \(found.virtualHost)"
            dump(found, to: &shown)
          } catch {
            shown = "\(error) \(error.message) \(error.reason)"
          }
          for word in ["kanari", "vogel9", "amsel3"] { #expect(!shown.contains(word), "\(uri): \(shown)") }
        }
      }
    }
  }
}
