import Testing

@testable import Journey

@Suite struct MemberNameScanTests {
  private let scan = MemberNameScan(["client_secret", "token", "$key"])

  @Test(arguments: [
    #"{"token":1}"#, #"{"a":{"Client_Secret" : 1}}"#, #"{"TOKEN":1}"#, #"{"$Key":1}"#, #"[""token""#,
    #"{"tok","token"}"#,
    // Characters that are written as numbers.
    #"{"t\u006Fken":1}"#, #"{"\u0074oken":1}"#,
  ])
  func textsThatMayHaveANameAreFound(_ text: String) { #expect(scan.mayOccur(in: Array(text.utf8))) }

  @Test(arguments: [
    "", "\"", "\\", "\\u0", "\"token", #"{"tokens":1,"client_secre":1,"key":1}"#, #"{"a":"the token"}"#,
    #"{"a":"\"token\" \n \u20ac"}"#, #"{"DKey":1,"\u20ackey":1}"#, "token\"",
  ])
  func othersAreNot(_ text: String) { #expect(!scan.mayOccur(in: Array(text.utf8))) }

  /// These can be written in other bytes: with an escape, or in another case that is not of ASCII.
  @Test(arguments: ["größe", "a/b", "a\"b", ""])
  func namesThatAreNotPlainAreLookedForByParsing(_ name: String) {
    #expect(MemberNameScan([name]).mayOccur(in: []))
  }
}
