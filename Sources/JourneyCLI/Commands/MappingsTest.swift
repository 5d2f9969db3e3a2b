import ArgumentParser
import Journey
import JourneyConfiguration

/// `journey mappings test`
struct MappingsTest: Command {
  static let configuration = CommandConfiguration(
    commandName: "test",
    abstract: "Run the tests beside the mappings: tests/SOURCE.yaml in a directory of mappings. Needs no server.",
    discussion: "Exit status: 0 if all tests pass, 65 otherwise.",
    examples: [
      "journey mappings test",
      "journey mappings test stripe --strict",
    ])

  @Argument(help: "The sources to test. Default: all.", completion: .sources) var sources: [String] = []

  @OptionGroup var files: MappingFileOptions

  @Flag(help: "Also fail if a rule makes an event in no test, or a source has no tests.")
  var strict = false

  @OptionGroup var common: LocalOptions
  @OptionGroup var output: OutputOptions

  func execute() async throws {
    let settings = try await common.settings()
    let directories = files.directories(settings)
    let rules = try await settings.decisions()
    let survey = MappingLoader.survey(directories: directories)
    for source in sources where survey.catalog[source] == nil {
      throw Failure(.settings, survey.message(aboutSource: source))
    }
    if sources.isEmpty, !survey.problems.isEmpty {
      throw Failure(.settings, survey.problems.map { "\($0)" }.joined(separator: "\n"))
    }
    let run = try await failing(.settings) {
      try MappingTestRun(survey.catalog, directories: directories, sources: sources, signals: rules.signals)
    }
    if output.json { printJSON(run) } else { show(run) }
    let isIncomplete = !run.untested.isEmpty || !run.withoutTests.isEmpty || !run.filesWithoutMapping.isEmpty
    if !run.failures.isEmpty || strict && isIncomplete { throw ExitCode(Failure.Status.refusedInput.rawValue) }
  }

  private func show(_ run: MappingTestRun) {
    for failure in run.failures {
      Output.line("\(failure.file):\(failure.line): \(failure.test.plain())")
      for difference in failure.differences { Output.line("  \(difference.plain())") }
    }
    for (source, rules) in run.untested.sorted(by: { $0.key < $1.key }) {
      for rule in rules { Output.line("untested: \(source), rule \"\(rule)\"") }
    }
    for file in run.filesWithoutMapping { Output.line("no mapping has the source of this file's name: \(file)") }
    for source in run.withoutTests { Output.line("no tests: \(source)") }
    Output.line("\(run.tests.of("test")), \(run.pairs.of("pair")) of opening and closing, \(run.failures.count) failed")
  }
}

extension MappingLoader.Survey {
  /// Why a source has no mapping that can be used.
  func message(aboutSource source: String) -> String {
    if let problems = broken[source] { return problems.map { "\($0)" }.joined(separator: "\n") }
    return "there is no mapping for the source \(source)\(suggestion(for: source, among: catalog.sources))"
  }
}
