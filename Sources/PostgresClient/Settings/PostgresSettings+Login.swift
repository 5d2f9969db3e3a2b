extension PostgresSettings {
  /// User, password and database of the connection string, for the creation of the role; nil if one is missing. Do not
  /// print the password.
  public var login: (user: String, password: String, database: String)? {
    guard let user = options["user"], let password = options["password"], let database = options["dbname"] else {
      return nil
    }
    return (user, password, database)
  }
}
