import FoundationEssentials
import Journey

/// A list of changes to a JSON document: `add`, `remove`, `replace` and `test` of RFC 6902, with paths of RFC 6901.
///
/// `move` and `copy` are not supported.
public struct JSONPatch: Hashable, Sendable {
  enum Operation: Hashable, Sendable {
    case add(path: [String], value: JSONTree)
    case remove(path: [String])
    case replace(path: [String], value: JSONTree)
    case test(path: [String], value: JSONTree)

    var path: [String] {
      switch self {
      case .add(let path, _), .remove(let path), .replace(let path, _), .test(let path, _): path
      }
    }
  }

  /// The patch as it was written.
  public let source: [UInt8]
  private(set) var operations: [Operation] = []

  /// - Parameter bytes: the patch as JSON: a list of operations, or one operation alone.
  /// - Throws: `JSONPatchError` that says which operation is wrong and why.
  public init(parsing bytes: [UInt8]) throws(JSONPatchError) {
    source = bytes
    let document: JSONDocument
    do throws(JSONError) { document = try JSONDocument(parsing: bytes) } catch {
      throw JSONPatchError("the patch is not valid JSON: \(error)")
    }
    let list = document.root.kind == .array ? Array(document.root.elements) : [document.root]
    guard !list.isEmpty else { throw JSONPatchError("the patch has no operation") }
    for (index, element) in list.enumerated() {
      operations.append(try Self.operation(element, location: "operation \(index + 1)"))
    }
  }

  /// The paths that are changed or tested, as JSON pointers.
  public var paths: [String] { operations.map { Self.pointer($0.path) } }

  mutating func append(_ operation: Operation) { operations.append(operation) }

  /// Applies the operations in order: all of them, or none.
  /// - Throws: `JSONPatchError` if the body is not JSON, a path does not exist, or a test fails. It quotes no value.
  public func applied(to bytes: [UInt8]) throws(JSONPatchError) -> [UInt8] {
    let document: JSONDocument
    do throws(JSONError) { document = try JSONDocument(parsing: bytes) } catch {
      throw JSONPatchError("the body is not valid JSON: \(error)")
    }
    var tree = JSONTree(document.root)
    for operation in operations { try Self.apply(operation, to: &tree) }
    return tree.bytes()
  }

  // MARK: Reading

  private static func operation(_ element: JSONValue, location: String) throws(JSONPatchError) -> Operation {
    guard let name = element["op"]?.string else { throw JSONPatchError("\(location): \"op\" is missing") }
    guard let pointer = element["path"]?.string else { throw JSONPatchError("\(location): \"path\" is missing") }
    let path = try tokens(pointer, location: location)
    if name == "remove" {
      guard !path.isEmpty else { throw JSONPatchError("\(location): the whole document cannot be removed") }
      return .remove(path: path)
    }
    guard ["add", "replace", "test"].contains(name) else {
      throw JSONPatchError("\(location): \"op\" is \(name.shortened(to: 40)); add, remove, replace and test are known")
    }
    guard let value = element["value"].map({ JSONTree($0) }) else {
      throw JSONPatchError("\(location): \"value\" is missing")
    }
    switch name {
    case "add": return .add(path: path, value: value)
    case "replace": return .replace(path: path, value: value)
    default: return .test(path: path, value: value)
    }
  }

  private static func tokens(_ pointer: String, location: String) throws(JSONPatchError) -> [String] {
    if pointer.isEmpty { return [] }
    guard pointer.hasPrefix("/") else {
      throw JSONPatchError("\(location): the path \(pointer.shortened(to: 80)) does not start with /")
    }
    var result: [String] = []
    for part in pointer.dropFirst().split(separator: "/", omittingEmptySubsequences: false) {
      var token = ""
      var characters = part.unicodeScalars.makeIterator()
      while let scalar = characters.next() {
        guard scalar == "~" else {
          token.unicodeScalars.append(scalar)
          continue
        }
        switch characters.next() {
        case "0": token += "~"
        case "1": token += "/"
        default:
          throw JSONPatchError("\(location): the path \(pointer.shortened(to: 80)) has a ~ without 0 or 1 after it")
        }
      }
      result.append(token)
    }
    return result
  }

  private static func pointer(_ path: [String]) -> String {
    path.map { token in
      "/" + token.map { $0 == "~" ? "~0" : $0 == "/" ? "~1" : String($0) }.joined()
    }.joined()
  }

  // MARK: Applying

  private static func apply(_ operation: Operation, to tree: inout JSONTree) throws(JSONPatchError) {
    let path = operation.path
    let name = path.isEmpty ? "the whole document" : pointer(path)
    switch operation {
    case .test(_, let value):
      guard let found = find(path[...], in: tree) else { throw JSONPatchError("\(name) is not there") }
      guard found.isEqual(value) else { throw JSONPatchError("\(name) is not what the patch tests for") }
    case .add(_, let value):
      guard change(path[...], of: &tree, { $0.insert($1, value) }) else {
        throw JSONPatchError("nothing can be added at \(name)")
      }
      if path.isEmpty { tree = value }
    case .replace(_, let value):
      guard change(path[...], of: &tree, { $0.replace($1, value) }) else {
        throw JSONPatchError("\(name) is not there")
      }
      if path.isEmpty { tree = value }
    case .remove:
      guard change(path[...], of: &tree, { $0.remove($1) }) else { throw JSONPatchError("\(name) is not there") }
    }
  }

  private static func find(_ path: ArraySlice<String>, in tree: JSONTree) -> JSONTree? {
    guard let token = path.first else { return tree }
    return tree.child(token).flatMap { find(path.dropFirst(), in: $0) }
  }

  /// Changes the container of the path's last token.
  /// - Returns: whether the path exists. True for the empty path, which the caller handles.
  private static func change(
    _ path: ArraySlice<String>, of tree: inout JSONTree, _ edit: (inout JSONTree, String) -> Bool
  ) -> Bool {
    guard let token = path.first else { return true }
    if path.count == 1 { return edit(&tree, token) }
    guard var child = tree.child(token), change(path.dropFirst(), of: &child, edit) else { return false }
    return tree.replace(token, child)
  }
}

/// Why a patch cannot be read or does not apply. Names paths, never values.
public struct JSONPatchError: Error, Hashable, Sendable, CustomStringConvertible {
  public var description: String
  init(_ description: String) { self.description = description }
}

extension JSONTree {
  /// The index of a member. If a key occurs twice, the last one counts, as everywhere in the adapter.
  private static func index(of key: String, in members: [Member]) -> Int? {
    members.lastIndex { $0.key.utf8.elementsEqual(key.utf8) }
  }

  /// An array index: digits without a leading zero.
  private static func position(_ token: String, below limit: Int) -> Int? {
    guard let number = Int(token), String(number) == token, number >= 0, number < limit else { return nil }
    return number
  }

  fileprivate func child(_ token: String) -> JSONTree? {
    switch self {
    case .object(let members): Self.index(of: token, in: members).map { members[$0].value }
    case .array(let elements): Self.position(token, below: elements.count).map { elements[$0] }
    case .string, .literal: nil
    }
  }

  fileprivate mutating func replace(_ token: String, _ value: JSONTree) -> Bool {
    switch self {
    case .object(var members):
      guard let index = Self.index(of: token, in: members) else { return false }
      members[index].value = value
      self = .object(members)
    case .array(var elements):
      guard let index = Self.position(token, below: elements.count) else { return false }
      elements[index] = value
      self = .array(elements)
    case .string, .literal: return false
    }
    return true
  }

  fileprivate mutating func insert(_ token: String, _ value: JSONTree) -> Bool {
    switch self {
    case .object(var members):
      if let index = Self.index(of: token, in: members) {
        members[index].value = value
      } else {
        members.append(Member(key: token, value: value))
      }
      self = .object(members)
    case .array(var elements):
      guard let index = token == "-" ? elements.count : Self.position(token, below: elements.count + 1) else {
        return false
      }
      elements.insert(value, at: index)
      self = .array(elements)
    case .string, .literal: return false
    }
    return true
  }

  fileprivate mutating func remove(_ token: String) -> Bool {
    switch self {
    case .object(var members):
      guard Self.index(of: token, in: members) != nil else { return false }
      // All of that name: otherwise an earlier one would take effect.
      members.removeAll { $0.key.utf8.elementsEqual(token.utf8) }
      self = .object(members)
    case .array(var elements):
      guard let index = Self.position(token, below: elements.count) else { return false }
      elements.remove(at: index)
      self = .array(elements)
    case .string, .literal: return false
    }
    return true
  }
}
