import CLibPQ

/// Where the servers are, for checks of their certificates.
extension PostgresSettings {
  public struct Endpoint: Hashable, Sendable {
    public var host: String
    public var port: Int
  }

  /// The servers that are reached over TCP, in the order in which they are tried.
  public var endpoints: [Endpoint] {
    let candidates = (try? HostCandidates.named(effective)) ?? []
    return candidates.compactMap { candidate in
      guard let host = candidate["host"] ?? candidate["hostaddr"], !host.isEmpty, !"/@".contains(host.prefix(1)),
        let port = Int(candidate["port"] ?? "5432")
      else { return nil }
      return Endpoint(host: host, port: port)
    }
  }

  /// Whether the connections may be encrypted.
  public var usesTLS: Bool { effective["sslmode"] != "disable" }

  /// The client's certificate; nil where none is named.
  public var certificateFile: String? { effective["sslcert"].flatMap { $0.isEmpty ? nil : $0 } }

  /// What the string says, then the environment, then libpq's own defaults.
  private var effective: [String: String] {
    libpqOptions(PQconndefaults()).compactMapValues(\.self).merging(options) { $1 }
  }
}
