import CRabbitMQ

/// Memory for the C structures of one call, freed together.
///
/// `amqp_bytes_t` does not own its memory; everything built here stays valid until `recycle`.
final class EncodingArena {
  private let pool: UnsafeMutablePointer<amqp_pool_t>

  init() {
    pool = .allocate(capacity: 1)
    init_amqp_pool(pool, 16_384)
  }

  deinit {
    empty_amqp_pool(pool)
    pool.deallocate()
  }

  func recycle() { recycle_amqp_pool(pool) }

  func bytes(_ text: String) -> amqp_bytes_t {
    var text = text
    return text.withUTF8 { copy(UnsafeRawBufferPointer($0)) }
  }

  func bytes(_ bytes: [UInt8]) -> amqp_bytes_t { bytes.withUnsafeBytes(copy) }

  func table(_ table: FieldTable) -> amqp_table_t {
    guard !table.isEmpty else { return amqp_empty_table }
    let entries = allocate(amqp_table_entry_t.self, count: table.count)
    for (index, field) in table.fields.enumerated() {
      (entries + index).initialize(to: amqp_table_entry_t(key: bytes(field.name), value: value(field.value)))
    }
    return amqp_table_t(num_entries: Int32(table.count), entries: entries)
  }

  func properties(_ properties: MessageProperties) -> amqp_basic_properties_t {
    var result = amqp_basic_properties_t()
    var flags = AMQP_BASIC_DELIVERY_MODE_FLAG
    result.delivery_mode = properties.isPersistent ? 2 : 1
    func set(_ text: String?, _ flag: Int32, _ field: inout amqp_bytes_t) {
      guard let text else { return }
      field = bytes(text)
      flags |= flag
    }
    set(properties.contentType, AMQP_BASIC_CONTENT_TYPE_FLAG, &result.content_type)
    set(properties.contentEncoding, AMQP_BASIC_CONTENT_ENCODING_FLAG, &result.content_encoding)
    set(properties.correlationID, AMQP_BASIC_CORRELATION_ID_FLAG, &result.correlation_id)
    set(properties.replyTo, AMQP_BASIC_REPLY_TO_FLAG, &result.reply_to)
    set(properties.expiration, AMQP_BASIC_EXPIRATION_FLAG, &result.expiration)
    set(properties.messageID, AMQP_BASIC_MESSAGE_ID_FLAG, &result.message_id)
    set(properties.type, AMQP_BASIC_TYPE_FLAG, &result.type)
    set(properties.userID, AMQP_BASIC_USER_ID_FLAG, &result.user_id)
    set(properties.appID, AMQP_BASIC_APP_ID_FLAG, &result.app_id)
    if let priority = properties.priority {
      result.priority = priority
      flags |= AMQP_BASIC_PRIORITY_FLAG
    }
    if let timestamp = properties.timestamp {
      result.timestamp = UInt64(bitPattern: timestamp)
      flags |= AMQP_BASIC_TIMESTAMP_FLAG
    }
    if !properties.headers.isEmpty {
      result.headers = table(properties.headers)
      flags |= AMQP_BASIC_HEADERS_FLAG
    }
    result._flags = amqp_flags_t(flags)
    return result
  }

  private func value(_ value: FieldValue) -> amqp_field_value_t {
    var result = amqp_field_value_t()
    func kind(_ kind: amqp_field_value_kind_t) { result.kind = UInt8(kind.rawValue) }
    switch value {
    case .void: kind(AMQP_FIELD_KIND_VOID)
    case .bool(let value):
      kind(AMQP_FIELD_KIND_BOOLEAN)
      result.value.boolean = value ? 1 : 0
    case .int(let value):
      kind(AMQP_FIELD_KIND_I64)
      result.value.i64 = value
    case .double(let value):
      kind(AMQP_FIELD_KIND_F64)
      result.value.f64 = value
    case .timestamp(let value):
      kind(AMQP_FIELD_KIND_TIMESTAMP)
      result.value.u64 = UInt64(bitPattern: value)
    case .decimal(let scale, let value):
      kind(AMQP_FIELD_KIND_DECIMAL)
      result.value.decimal = amqp_decimal_t(decimals: scale, value: UInt32(bitPattern: value))
    case .string(let value):
      kind(AMQP_FIELD_KIND_UTF8)
      result.value.bytes = bytes(value)
    case .bytes(let value):
      kind(AMQP_FIELD_KIND_BYTES)
      result.value.bytes = bytes(value)
    case .table(let value):
      kind(AMQP_FIELD_KIND_TABLE)
      result.value.table = table(value)
    case .array(let values):
      kind(AMQP_FIELD_KIND_ARRAY)
      let entries = allocate(amqp_field_value_t.self, count: max(values.count, 1))
      for (index, element) in values.enumerated() { (entries + index).initialize(to: self.value(element)) }
      result.value.array = amqp_array_t(num_entries: Int32(values.count), entries: entries)
    }
    return result
  }

  private func copy(_ source: UnsafeRawBufferPointer) -> amqp_bytes_t {
    guard let base = source.baseAddress, !source.isEmpty else { return amqp_empty_bytes }
    let target = allocate(UInt8.self, count: source.count)
    UnsafeMutableRawPointer(target).copyMemory(from: base, byteCount: source.count)
    return amqp_bytes_t(len: source.count, bytes: target)
  }

  private func allocate<T>(_ type: T.Type, count: Int) -> UnsafeMutablePointer<T> {
    guard let memory = amqp_pool_alloc(pool, count * MemoryLayout<T>.stride) else { fatalError("out of memory") }
    return memory.bindMemory(to: type, capacity: count)
  }
}
