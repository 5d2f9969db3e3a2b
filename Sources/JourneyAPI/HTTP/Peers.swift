import Glibc
import NIOCore
import Synchronization

/// An address or a network of addresses, as `10.1.2.3`, `10.0.0.0/8` or `fd00::/8`.
struct AddressRange: Hashable, Sendable {
  private var bytes: [UInt8]
  private var bits: Int

  /// nil where the text is neither.
  init?(_ text: String) {
    let parts = text.split(separator: "/", omittingEmptySubsequences: false)
    guard parts.count <= 2, let bytes = addressBytes(String(parts[0])) else { return nil }
    self.bytes = bytes
    bits = bytes.count * 8
    if parts.count == 2 {
      guard let length = Int(parts[1]), (0...bits).contains(length) else { return nil }
      bits = length
    }
  }

  func contains(_ address: [UInt8]) -> Bool {
    guard address.count == bytes.count else { return false }
    for index in bytes.indices {
      let left = bits - index * 8
      guard left > 0 else { return true }
      let mask: UInt8 = left >= 8 ? 0xFF : ~(0xFF >> UInt8(left))
      guard address[index] & mask == bytes[index] & mask else { return false }
    }
    return true
  }
}

/// The 4 or 16 bytes of an address; an IPv4 address in IPv6's clothes is an IPv4 address. nil where the text is none.
func addressBytes(_ text: String) -> [UInt8]? { addressBytes(try? SocketAddress(ipAddress: text, port: 0)) }

func addressBytes(_ address: SocketAddress?) -> [UInt8]? {
  // Without the zone of a link-local address.
  guard let address, let text = address.ipAddress?.prefix(while: { $0 != "%" }) else { return nil }
  let isIPv4 = if case .v4 = address { true } else { false }
  var bytes = [UInt8](repeating: 0, count: isIPv4 ? 4 : 16)
  guard inet_pton(isIPv4 ? AF_INET : AF_INET6, String(text), &bytes) == 1 else { return nil }
  let isMapped = !isIPv4 && bytes[..<10].allSatisfy { $0 == 0 } && bytes[10] == 0xFF && bytes[11] == 0xFF
  return isMapped ? Array(bytes[12...]) : bytes
}

/// Whom a share is counted for: an IPv4 address, or the /64 of an IPv6 address, which is what one customer is given.
struct Peer: Hashable, Sendable {
  private var bytes: [UInt8]

  init(_ address: [UInt8]) { bytes = address.count == 16 ? Array(address.prefix(8)) : address }
}

/// Who is behind a connection, where some connections are a proxy's.
struct Peers: Sendable {
  /// Their connections are many clients': they are not counted by address, and what they say of their clients is
  /// believed.
  let proxies: [AddressRange]

  func isProxy(_ address: [UInt8]) -> Bool { proxies.contains { $0.contains(address) } }

  /// - Parameter forwarded: the values of X-Forwarded-For. Each proxy adds the address that it saw to the end, so they
  ///   are read from there: the last one that is no proxy of ours is the client, and what stands before it anybody may
  ///   have written.
  func client(of address: [UInt8], forwarded: [String]) -> Peer {
    guard isProxy(address) else { return Peer(address) }
    for entry in forwarded.flatMap({ $0.split(separator: ",") }).reversed() {
      guard let bytes = addressBytes(Self.withoutPort(entry.filter { $0 != " " && $0 != "\t" })) else { break }
      if !isProxy(bytes) { return Peer(bytes) }
    }
    return Peer(address)
  }

  /// Some proxies add the client's port: `192.0.2.1:5678`, `[2001:db8::1]:5678`.
  private static func withoutPort(_ entry: String) -> String {
    if entry.hasPrefix("[") { return String(entry.dropFirst().prefix { $0 != "]" }) }
    return entry.count(where: { $0 == ":" }) == 1 ? String(entry.prefix { $0 != ":" }) : entry
  }
}

/// How much of something each of many may have at the same time. Safe to use from any thread.
final class Shares<Owner: Hashable & Sendable>: Sendable {
  let most: Int
  private let counts = Mutex<[Owner: Int]>([:])

  init(most: Int) { self.most = most }

  /// - Returns: whether there was one left; then it has to be given back.
  func acquire(_ owner: Owner) -> Bool {
    counts.withLock { counts in
      let count = counts[owner, default: 0]
      guard count < most else { return false }
      counts[owner] = count + 1
      return true
    }
  }

  func giveBack(_ owner: Owner) {
    counts.withLock { counts in
      let left = counts[owner, default: 0] - 1
      counts[owner] = left > 0 ? left : nil
    }
  }
}
