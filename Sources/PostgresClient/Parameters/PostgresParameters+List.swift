public import FoundationEssentials

/// Parameters as a list: `[.uuid(id), .text(name)]`. Each costs an allocation, so large batches are built in place.
extension PostgresParameters: ExpressibleByArrayLiteral {
  public struct Value {
    fileprivate let add: (inout PostgresParameters) -> Void

    public static func uuid(_ value: UUID?) -> Value { Value { $0.uuid(value) } }
    public static func text(_ value: String?) -> Value { Value { $0.text(value) } }
    public static func int4(_ value: Int32?) -> Value { Value { $0.int4(value) } }
    /// Clamped to 32 bits.
    public static func int4(_ value: Int) -> Value { int4(Int32(clamping: value)) }
    public static func int8(_ value: Int64?) -> Value { Value { $0.int8(value) } }
    public static func bool(_ value: Bool?) -> Value { Value { $0.bool(value) } }
    public static func float8(_ value: Double?) -> Value { Value { $0.float8(value) } }
    public static func timestamptz(_ value: Int64?) -> Value { Value { $0.timestamptz(value) } }
    public static func jsonb(_ value: [UInt8]?) -> Value { Value { $0.jsonb(value) } }
    public static func uuids(_ values: [UUID?]) -> Value { Value { $0.uuids(values) } }
    public static func texts(_ values: [String?]) -> Value { Value { $0.texts(values) } }
    public static func int4s(_ values: [Int32]) -> Value { Value { $0.int4s(values) } }
  }

  public init(_ values: [Value]) { for value in values { value.add(&self) } }
  public init(arrayLiteral values: Value...) { self.init(values) }
}
