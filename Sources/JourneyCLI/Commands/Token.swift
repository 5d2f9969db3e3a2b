import ArgumentParser
import FoundationEssentials
import Journey
import JourneyAPI
import JourneyConfiguration

/// `journey token`
struct Token: Command {
  static let configuration = CommandConfiguration(
    abstract: "Sign a token for the API with the configured secret, for development.",
    discussion: """
      Until it expires, whoever has the token has the access of that user: to the organisations in user_organizations. In production the host \
      application issues tokens when a user signs in.
      """,
    examples: [
      "journey token --user USER",
      "journey token --user USER --operations --hours 1 --json",
    ])

  @Option(help: "The user's id, a UUID, as in user_organizations.")
  var user: String

  @Flag(help: "Also grant access to operations.")
  var operations = false

  @Option(help: "Hours until it expires: 1 to 8760.")
  var hours = 12

  @OptionGroup var common: LocalOptions
  @OptionGroup var output: OutputOptions

  func execute() async throws {
    let id = try Input.id(user, "--user", of: "a user")
    guard (1...8760).contains(hours) else { throw Failure(.refusedInput, "--hours \(hours): expected 1 to 8760") }
    let settings = try await common.settings()
    guard settings.api.algorithm == "HS256", let secret = settings.api.secrets.first else {
      throw Failure(
        .settings, "no secret to sign with: set API_JWT_SECRET or API_JWT_SECRET_FILE (and api.jwtAlgorithm: HS256)")
    }
    let signer = TokenSigner(secret: secret, settings: settings.api.served)
    let now = SystemClock().now(), length = TimeSpan.hours(Int64(hours))
    let token = try await signer.token(subject: id, isOperator: operations, from: now, for: length)
    if output.json {
      printJSON(["token": token, "expiresAt": now + length] as JSONObject)
    } else {
      Output.line(token)
    }
  }
}
