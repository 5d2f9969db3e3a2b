import CRabbitMQ

/// Copies the library's decoded structures into Swift values, which refer to no C memory.
struct WireDecoder {
  /// Keeps the last short string, because exchange, routing key and content type repeat from message to message: a
  /// comparison is cheaper than a new string.
  struct RepeatedString {
    private var last = ""

    mutating func text(_ bytes: amqp_bytes_t) -> String {
      let buffer = WireDecoder.buffer(bytes)
      let isSame = last.utf8.withContiguousStorageIfAvailable { $0.elementsEqual(buffer) } ?? false
      if !isSame { last = WireDecoder.text(bytes) }
      return last
    }
  }

  private var contentType = RepeatedString()

  /// Whether a value was dropped because it was nested too deeply.
  private var isTooDeep = false

  mutating func properties(_ source: UnsafePointer<amqp_basic_properties_t>) -> (MessageProperties, isTooDeep: Bool) {
    let flags = Int32(bitPattern: source.pointee._flags)
    var result = MessageProperties(
      isPersistent: flags & AMQP_BASIC_DELIVERY_MODE_FLAG != 0 && source.pointee.delivery_mode == 2)
    if flags & AMQP_BASIC_CONTENT_TYPE_FLAG != 0 { result.contentType = contentType.text(source.pointee.content_type) }
    if flags & AMQP_BASIC_CONTENT_ENCODING_FLAG != 0 {
      result.contentEncoding = Self.text(source.pointee.content_encoding)
    }
    if flags & AMQP_BASIC_CORRELATION_ID_FLAG != 0 { result.correlationID = Self.text(source.pointee.correlation_id) }
    if flags & AMQP_BASIC_REPLY_TO_FLAG != 0 { result.replyTo = Self.text(source.pointee.reply_to) }
    if flags & AMQP_BASIC_EXPIRATION_FLAG != 0 { result.expiration = Self.text(source.pointee.expiration) }
    if flags & AMQP_BASIC_MESSAGE_ID_FLAG != 0 { result.messageID = Self.text(source.pointee.message_id) }
    if flags & AMQP_BASIC_TYPE_FLAG != 0 { result.type = Self.text(source.pointee.type) }
    if flags & AMQP_BASIC_USER_ID_FLAG != 0 { result.userID = Self.text(source.pointee.user_id) }
    if flags & AMQP_BASIC_APP_ID_FLAG != 0 { result.appID = Self.text(source.pointee.app_id) }
    if flags & AMQP_BASIC_PRIORITY_FLAG != 0 { result.priority = source.pointee.priority }
    if flags & AMQP_BASIC_TIMESTAMP_FLAG != 0 { result.timestamp = Int64(bitPattern: source.pointee.timestamp) }
    isTooDeep = false
    if flags & AMQP_BASIC_HEADERS_FLAG != 0 { result.headers = table(source.pointee.headers, depth: 1) }
    return (result, isTooDeep)
  }

  private mutating func table(_ source: amqp_table_t, depth: Int) -> FieldTable {
    var fields: [FieldTable.Field] = []
    fields.reserveCapacity(Int(source.num_entries))
    for entry in UnsafeBufferPointer(start: source.entries, count: Int(source.num_entries)) {
      guard let value = value(entry.value, depth: depth) else { continue }
      fields.append(.init(Self.text(entry.key), value))
    }
    return FieldTable(fields)
  }

  /// Nil for a table or array beyond the maximum depth.
  private mutating func value(_ source: amqp_field_value_t, depth: Int) -> FieldValue? {
    switch amqp_field_value_kind_t(UInt32(source.kind)) {
    case AMQP_FIELD_KIND_BOOLEAN: return .bool(source.value.boolean != 0)
    case AMQP_FIELD_KIND_I8: return .int(Int64(source.value.i8))
    case AMQP_FIELD_KIND_U8: return .int(Int64(source.value.u8))
    case AMQP_FIELD_KIND_I16: return .int(Int64(source.value.i16))
    case AMQP_FIELD_KIND_U16: return .int(Int64(source.value.u16))
    case AMQP_FIELD_KIND_I32: return .int(Int64(source.value.i32))
    case AMQP_FIELD_KIND_U32: return .int(Int64(source.value.u32))
    case AMQP_FIELD_KIND_I64: return .int(source.value.i64)
    // RabbitMQ treats this kind as signed.
    case AMQP_FIELD_KIND_U64: return .int(Int64(bitPattern: source.value.u64))
    case AMQP_FIELD_KIND_F32: return .double(Double(source.value.f32))
    case AMQP_FIELD_KIND_F64: return .double(source.value.f64)
    case AMQP_FIELD_KIND_TIMESTAMP: return .timestamp(Int64(bitPattern: source.value.u64))
    case AMQP_FIELD_KIND_DECIMAL:
      return .decimal(scale: source.value.decimal.decimals, value: Int32(bitPattern: source.value.decimal.value))
    case AMQP_FIELD_KIND_UTF8:
      let buffer = Self.buffer(source.value.bytes)
      return String(validating: buffer, as: UTF8.self).map(FieldValue.string) ?? .bytes(Array(buffer))
    case AMQP_FIELD_KIND_BYTES: return .bytes(Array(Self.buffer(source.value.bytes)))
    case AMQP_FIELD_KIND_TABLE:
      guard isAllowed(depth + 1) else { return nil }
      return .table(table(source.value.table, depth: depth + 1))
    case AMQP_FIELD_KIND_ARRAY:
      guard isAllowed(depth + 1) else { return nil }
      let elements = UnsafeBufferPointer(start: source.value.array.entries, count: Int(source.value.array.num_entries))
      var values: [FieldValue] = []
      for element in elements {
        if let value = value(element, depth: depth + 1) { values.append(value) }
      }
      return .array(values)
    default: return .void
    }
  }

  private mutating func isAllowed(_ depth: Int) -> Bool {
    if depth > PropertySize.maxNesting { isTooDeep = true }
    return depth <= PropertySize.maxNesting
  }

  static func buffer(_ bytes: amqp_bytes_t) -> UnsafeBufferPointer<UInt8> {
    UnsafeBufferPointer(
      start: bytes.bytes?.assumingMemoryBound(to: UInt8.self), count: bytes.bytes == nil ? 0 : bytes.len)
  }

  /// Invalid UTF-8 becomes U+FFFD: these are names and texts for people, not payload.
  static func text(_ bytes: amqp_bytes_t) -> String { String(decoding: buffer(bytes), as: UTF8.self) }
}
