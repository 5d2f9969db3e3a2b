extension Rejection {
  /// The rejection of a body that is not valid JSON. It contains the position but nothing of the body.
  public init(_ error: JSONError) {
    let code: Code =
      switch error.code {
      case .tooLong, .tooManyNodes: .tooLarge
      case .nulCharacter, .loneSurrogate: .invalidField
      default: .malformed
      }
    self.init(
      code, field: error.path,
      "\(error.code.rawValue) (line \(error.line), column \(error.column), byte \(error.offset))")
  }
}
