import Journey
import JourneyConfiguration
import Testing

@Suite struct DecisionLoaderTests {
  /// A copy of a profile of 0.3, which evaluated nobody without an event, goes on like that.
  @Test func timeIsFollowedOnlyWhereTheFileSaysSo() throws {
    #expect(try !DecisionLoader.load(yaml: "version: mine", file: "decisions.yaml").evaluatesOverTime)
    #expect(try DecisionLoader.load(yaml: "evaluateOverTime: true", file: "decisions.yaml").evaluatesOverTime)
  }
}
