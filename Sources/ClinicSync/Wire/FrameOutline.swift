import ClinicSyncModel

/// The outline of a frame, read without building its messages.
///
/// The protocol buffer library builds an object for each element of a repeated message, so two bytes of input can cost
/// a hundred bytes of memory. The outline first scans the bytes, skipping by lengths. It refuses frames with more
/// elements than the limits allow, and allocates nothing.
struct FrameOutline {
    /// The field number in `Frame.message` of the frame's only message.
    let kind: Int

    /// Scans `bytes`.
    ///
    /// - Throws: ``WireDecodingError/malformed``, ``WireDecodingError/notOneMessage`` or
    ///   ``WireDecodingError/limitExceeded(field:)``.
    init(_ bytes: UnsafeRawBufferPointer, limits: WireLimits) throws(WireDecodingError) {
        guard bytes.count <= limits.messageBytesMax else { throw .limitExceeded(field: "frame") }
        var found: (kind: Int, rule: FrameRule, body: Range<Int>)?
        var reader = FieldReader(bytes, in: 0..<bytes.count)
        while let field = try reader.next() {
            guard let rule = FrameRule.all[field.number] else { continue }
            guard let range = field.content else { throw .malformed }
            guard found == nil else { throw .notOneMessage }
            found = (field.number, rule, range)
        }
        guard let found else { throw .notOneMessage }
        self.kind = found.kind
        guard found.body.count <= found.rule.bytesMax(limits) else { throw .limitExceeded(field: "frame") }
        try FrameOutline.countElements(bytes, in: found.body, found.rule, limits)
    }

    private static func countElements(
        _ bytes: UnsafeRawBufferPointer,
        in body: Range<Int>,
        _ rule: FrameRule,
        _ limits: WireLimits
    ) throws(WireDecodingError) {
        guard !rule.repeated.isEmpty else { return }
        // A frame has two such fields at most, so one pass for each is cheap and needs no memory.
        for repeated in rule.repeated { try FrameOutline.count(repeated, bytes, in: body, rule, limits) }
    }

    private static func count(
        _ repeated: FrameRule.Repeated,
        _ bytes: UnsafeRawBufferPointer,
        in body: Range<Int>,
        _ rule: FrameRule,
        _ limits: WireLimits
    ) throws(WireDecodingError) {
        let max = repeated.max(limits)
        var count = 0
        var reader = FieldReader(bytes, in: body)
        while let field = try reader.next() {
            if field.number == rule.report, let content = field.content, content.count > limits.reportBytesMax {
                throw .limitExceeded(field: "host_report")
            }
            guard field.number == repeated.number else { continue }
            count += 1
            guard count <= max else { throw .limitExceeded(field: repeated.name) }
        }
    }
}

/// Reads the fields of one protocol buffer message, one level deep.
struct FieldReader {
    /// A field: its number and, when it is length-delimited, the range of its content.
    struct Field {
        let number: Int
        let content: Range<Int>?
    }

    private let bytes: UnsafeRawBufferPointer
    private let end: Int
    private var index: Int

    init(_ bytes: UnsafeRawBufferPointer, in range: Range<Int>) {
        self.bytes = bytes
        self.index = range.lowerBound
        self.end = range.upperBound
    }

    /// The next field; `nil` at the end.
    mutating func next() throws(WireDecodingError) -> Field? {
        guard self.index < self.end else { return nil }
        let tag = try self.varint()
        guard let number = Int(exactly: tag >> 3), number > 0 else { throw .malformed }
        switch tag & 7 {
        case 0:
            _ = try self.varint()
            return Field(number: number, content: nil)
        case 1:
            try self.skip(8)
            return Field(number: number, content: nil)
        case 2:
            guard let length = Int(exactly: try self.varint()) else { throw .malformed }
            let start = self.index
            try self.skip(length)
            return Field(number: number, content: start..<self.index)
        case 5:
            try self.skip(4)
            return Field(number: number, content: nil)
        default:
            // Protocol buffers have not used groups (3 and 4) since version 2.
            throw .malformed
        }
    }

    private mutating func skip(_ count: Int) throws(WireDecodingError) {
        guard count <= self.end - self.index else { throw .malformed }
        self.index += count
    }

    private mutating func varint() throws(WireDecodingError) -> UInt64 {
        var value: UInt64 = 0
        for shift in stride(from: UInt64(0), to: 70, by: 7) {
            guard self.index < self.end else { throw .malformed }
            let byte = self.bytes[self.index]
            self.index += 1
            value |= UInt64(byte & 0x7F) << shift
            if byte < 0x80 { return value }
        }
        throw .malformed
    }
}
