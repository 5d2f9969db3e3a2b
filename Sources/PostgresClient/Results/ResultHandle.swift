import CLibPQ

/// The only owner of a `PGresult`.
struct ResultHandle: ~Copyable {
  let pointer: OpaquePointer

  init(_ pointer: OpaquePointer) { self.pointer = pointer }
  deinit { PQclear(pointer) }

  var status: ExecStatusType { PQresultStatus(pointer) }

  /// A field of the error report. The codes are the `PG_DIAG_*` macros, which Swift does not import.
  func diagnostic(_ code: Unicode.Scalar) -> String? {
    PQresultErrorField(pointer, Int32(code.value)).map { String(cString: $0) }
  }

  var primaryMessage: String { diagnostic("M") ?? PQresultErrorMessage(pointer).map { String(cString: $0) } ?? "" }
  var sqlState: String? { diagnostic("C") }

  /// FATAL and PANIC end the session, even if the socket still looks open.
  var endsSession: Bool {
    let severity = diagnostic("V")
    return severity == "FATAL" || severity == "PANIC"
  }

  func error(_ kind: PostgresError.Kind, operation: String, site: CallSite) -> PostgresError {
    var error = PostgresError(
      kind, sqlState: sqlState, operation: operation, ErrorText.primary(primaryMessage, sqlState: sqlState),
      constraint: diagnostic("n"),
      table: diagnostic("t"), column: diagnostic("c"), position: diagnostic("P").flatMap { Int($0) }, file: site.file,
      line: site.line)
    // The first line is the innermost call; PL/pgSQL names its statement in English whatever the server's language.
    let context = diagnostic("W").map { $0.prefix { $0 != "\n" } } ?? ""
    error.isRaised = context.hasSuffix(" RAISE") || ["P0", "38", "39"].contains((sqlState ?? "").prefix(2))
    return error
  }
}
