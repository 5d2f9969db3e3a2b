import FoundationEssentials
import Journey

/// A list of changes to a JSON document: `add`, `remove`, `replace` and `test` of RFC 6902, with paths of RFC 6901.
///
/// `move` and `copy` are not supported.
public struct JSONPatch: Hashable, Sendable {
  struct Operation: Hashable, Sendable {
    enum Kind: String { case add, remove, replace, test }

    var kind: Kind
    var path: [String]
    /// Nil of `remove` alone.
    var value: JSONTree?
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
    guard let kind = Operation.Kind(rawValue: name) else {
      throw JSONPatchError("\(location): \"op\" is \(name.shortened(to: 40)); add, remove, replace and test are known")
    }
    if kind == .remove {
      guard !path.isEmpty else { throw JSONPatchError("\(location): the whole document cannot be removed") }
      return Operation(kind: .remove, path: path)
    }
    guard let value = element["value"] else { throw JSONPatchError("\(location): \"value\" is missing") }
    return Operation(kind: kind, path: path, value: JSONTree(value))
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
    switch operation.kind {
    case .test:
      guard let found = find(path[...], in: tree) else { throw JSONPatchError("\(name) is not there") }
      guard operation.value.map(found.isEqual) == true else {
        throw JSONPatchError("\(name) is not what the patch tests for")
      }
    case .add, .replace, .remove:
      guard let token = path.last else {
        tree = operation.value ?? tree
        return
      }
      let isDone = change(path.dropLast(), of: &tree) { container in
        if operation.kind == .add, let value = operation.value { return container.insert(value, at: token) }
        guard container[token] != nil else { return false }
        container[token] = operation.value
        return true
      }
      guard isDone else {
        throw JSONPatchError(operation.kind == .add ? "nothing can be added at \(name)" : "\(name) is not there")
      }
    }
  }

  private static func find(_ path: ArraySlice<String>, in tree: JSONTree) -> JSONTree? {
    guard let token = path.first else { return tree }
    return tree[token].flatMap { find(path.dropFirst(), in: $0) }
  }

  /// Changes the value at a path.
  /// - Returns: false if the path does not exist, or `edit` has changed nothing.
  private static func change(
    _ path: ArraySlice<String>, of tree: inout JSONTree, _ edit: (inout JSONTree) -> Bool
  ) -> Bool {
    guard let token = path.first else { return edit(&tree) }
    guard var child = tree[token], change(path.dropFirst(), of: &child, edit) else { return false }
    tree[token] = child
    return true
  }
}

/// Why a patch cannot be read or does not apply. Names paths, never values.
public struct JSONPatchError: Error, Hashable, Sendable, CustomStringConvertible {
  public var description: String
  init(_ description: String) { self.description = description }
}

extension JSONTree {
  /// The member or the element that a token of a path names. Setting nil removes it.
  ///
  /// If a key occurs twice, the last one counts, as everywhere in the adapter. All of that name are removed: otherwise an
  /// earlier one would take effect.
  fileprivate subscript(token: String) -> JSONTree? {
    get {
      switch self {
      case .object(let members): members.last { $0.isNamed(token) }?.value
      case .array(let elements): Self.position(token, below: elements.count).map { elements[$0] }
      case .string, .literal: nil
      }
    }
    set {
      switch self {
      case .object(var members):
        if let newValue, let index = members.lastIndex(where: { $0.isNamed(token) }) {
          members[index].value = newValue
        } else if let newValue {
          members.append(Member(key: token, value: newValue))
        } else {
          members.removeAll { $0.isNamed(token) }
        }
        self = .object(members)
      case .array(var elements):
        guard let index = Self.position(token, below: elements.count) else { return }
        elements.replaceSubrange(index...index, with: newValue.map { [$0] } ?? [])
        self = .array(elements)
      case .string, .literal: break
      }
    }
  }

  /// An array index: digits without a leading zero.
  private static func position(_ token: String, below limit: Int) -> Int? {
    guard let number = Int(token), String(number) == token, number >= 0, number < limit else { return nil }
    return number
  }

  /// Sets a member, or inserts an element before the one that the token names; `-` is the end.
  /// - Returns: false where that is not possible.
  fileprivate mutating func insert(_ value: JSONTree, at token: String) -> Bool {
    switch self {
    case .object: self[token] = value
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
}

extension JSONTree.Member {
  fileprivate func isNamed(_ name: String) -> Bool { key.utf8.elementsEqual(name.utf8) }
}
