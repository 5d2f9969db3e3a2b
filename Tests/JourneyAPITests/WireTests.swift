import FoundationEssentials
import Logging
import NIOCore
import Testing

@testable import JourneyAPI

@Suite struct WireTests {
  @Test func addressesAndNetworks() throws {
    func holds(_ range: String, _ address: String) throws -> Bool {
      try #require(AddressRange(range)).contains(try #require(addressBytes(address)))
    }
    #expect(try holds("10.0.0.0/8", "10.255.1.2") && !holds("10.0.0.0/8", "11.0.0.1"))
    #expect(try holds("10.1.2.3", "10.1.2.3") && !holds("10.1.2.3", "10.1.2.4") && holds("0.0.0.0/0", "8.8.8.8"))
    #expect(try holds("192.0.2.128/25", "192.0.2.129") && !holds("192.0.2.128/25", "192.0.2.127"))
    #expect(
      try holds("fd00::/8", "fd12::1") && !holds("fd00::/8", "fe80::1") && holds("::1", "::1")
        && !holds("::/0", "10.0.0.1"))
    #expect(try holds("10.0.0.1", "::ffff:10.0.0.1"), "an IPv4 address in IPv6's clothes")
    for text in ["", "proxy", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/x", "10.0.0.0/8/8", "::/129"] {
      #expect(AddressRange(text) == nil, "\(text)")
    }
    #expect(
      addressBytes("2001:db8::8:800:200c:417a") == [0x20, 1, 0xD, 0xB8, 0, 0, 0, 0, 0, 8, 8, 0, 0x20, 0xC, 0x41, 0x7A])
  }

  @Test func ofAnIPv6AddressTheNetworkCounts() throws {
    let peers = try ["2001:db8:1:2::1", "2001:db8:1:2:ffff::9", "2001:db8:1:3::1"].map {
      Peer(try #require(addressBytes($0)))
    }
    #expect(peers[0] == peers[1] && peers[0] != peers[2])
  }

  @Test func onlyTheProxysWordIsTaken() throws {
    let peers = Peers(proxies: [try #require(AddressRange("10.0.0.0/8"))])
    func client(_ address: String, _ forwarded: String...) throws -> Peer {
      peers.client(of: try #require(addressBytes(address)), forwarded: forwarded)
    }
    func peer(_ address: String) throws -> Peer { Peer(try #require(addressBytes(address))) }
    #expect(try client("10.0.0.1", "1.1.1.1, 2.2.2.2") == peer("2.2.2.2"))
    #expect(try client("10.0.0.1", "1.1.1.1", "2.2.2.2, 10.0.0.7") == peer("2.2.2.2"))
    #expect(try client("10.0.0.1", "1.1.1.1, 2.2.2.2:5678") == peer("2.2.2.2"), "some proxies add the port")
    #expect(
      try client("10.0.0.1", "[2001:db8::1]:5678") == peer("2001:db8::1")
        && client("10.0.0.1", "[2001:db8::1]") == peer("2001:db8::1"))
    #expect(
      try client("10.0.0.1", "2.2.2.2, 10.0.0.7:80") == peer("2.2.2.2")
        && client("10.0.0.1", "2001:db8::1") == peer("2001:db8::1"))
    #expect(try client("10.0.0.1", "nonsense") == peer("10.0.0.1") && client("10.0.0.1") == peer("10.0.0.1"))
    #expect(try client("3.3.3.3", "1.1.1.1") == peer("3.3.3.3"), "no proxy of ours")
  }

  @Test func keysThatAreNotUnderstoodArePassedOver() async throws {
    // Made for this test; nobody has its private part.
    let modulus =
      "mtu8KIqZ9WKrpW6flvN8kxRKyo5Yzt4DowPzrluON_joR-TezXGaCx1Me3_28R8-LiUXPut81lhsuGrY5lIp9gMrJ_kQSWKh8MFhUYuqzhD_xgqJTvhKhLvr"
      + "sEr_s56BFh1lhVtGJE9wA0vTP6I74MyuGObrexYeBB6uSeZ6THVrM1ato6lifg-npMZnYBPuByh5_C91Nyh1X6Mrbdp4Gsbw09zm5aqpA4HrpqceW2HjjthX"
      + "W_7Lb2OrSzm2FxhUPK6aLn9TyA8dPyuuRSnsOOzNx97r4a5cHwKNHX0A4FuuIeZ6Jrc98vPBulhDeM1FZbhigc3OJpC3wo9ahEVnIQ"
    let good = #"{"kty":"RSA","kid":"good","use":"sig","alg":"RS256","n":"\#(modulus)","e":"AQAB"}"#
    func ids(_ keys: String...) async throws -> Set<String> {
      try await PublicKeys(Array(#"{"keys":[\#(keys.joined(separator: ","))]}"#.utf8), .rs256).ids
    }
    for other in [
      #"{"kty":"oct","kid":"shared","k":"AAAA"}"#, #"{"kty":"AKP","kid":"new","alg":"ML-DSA-65","pub":"AA"}"#,
      #"{"kid":"no type"}"#, "{}", "1", "null", #"[]"#,
      #"{"kty":"RSA","kid":"encrypts","use":"enc","n":"AQAB","e":"AQAB"}"#,
      #"{"kty":"RSA","kid":"pss","alg":"PS256","n":"AQAB","e":"AQAB"}"#,
      #"{"kty":"RSA","kid":"broken"}"#, #"{"kty":"RSA","kid":7,"n":"AQAB","e":"AQAB"}"#,
      #"{"kty":"EC","kid":"curve","crv":"secp256k1","x":"AA","y":"AA"}"#,
    ] {
      #expect(try await ids(other, good) == ["good"], "\(other)")
      #expect(try await ids(good, other) == ["good"], "\(other)")
      await #expect(throws: KeySetError.self, "\(other)") { try await ids(other) }
    }
  }

  @Test func anAddressOfKeysIsNeverRepeated() {
    for address in [
      "http://keys.example/canary", "https://user:canary@keys.example/", "https://user:ca/nary@keys.example",
      "http://127.0.0.1:x@canary.example/",
      "http://127.0.0.1.canary.example/", "https://user:can#ary", "canary", "ftp://canary",
    ] {
      do {
        _ = try KeySet(address: address, .rs256, logger: Logger(label: "test"))
        Issue.record("\(address) is taken")
      } catch {
        #expect(
          !"\(error)".contains("canary") && !"\(error)".contains("nary") && "\(error)".contains("api.jwksURL"),
          "\(error)")
      }
    }
  }
}
