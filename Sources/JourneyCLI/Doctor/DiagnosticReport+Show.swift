extension DiagnosticReport {
  func show() {
    let width = findings.map(\.subject.count).max() ?? 0
    for finding in findings {
      let (mark, color): (String, Output.Color) =
        switch finding.verdict {
        case .ok: ("ok     ", .green)
        case .warning: ("WARNING", .yellow)
        case .failure: ("FAILED ", .red)
        }
      let subject = finding.subject + String(repeating: " ", count: width - finding.subject.count)
      let indent = mark.count + 2 + width + 2
      Output.line(mark, color, "  \(subject)  \(Output.wrapped(finding.text, indent: indent))")
      if let advice = finding.advice {
        Output.line(String(repeating: " ", count: indent) + "-> ", advice)
      }
    }
  }
}
