extension Double {
  /// The shortest decimal that reads back as this number, as JavaScript writes it. Source: ECMA-262, Number::toString.
  public var decimalText: String { javaScriptText(self) }
}
