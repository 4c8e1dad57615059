import ClinicSyncModel

/// What can be said of a frame without building its messages.
///
/// The protocol buffer library builds an object for each element of a repeated message, so two bytes can cost a
/// hundred. The outline walks over the bytes first, skipping by lengths, and refuses frames with more elements
/// than the limits allow; it allocates nothing.
struct FrameOutline {
    /// The number of the frame's one message in `Frame.message`.
    private(set) var kind = 0

    /// Walks over `bytes`.
    ///
    /// - Throws: ``WireDecodingError/malformed``, ``WireDecodingError/notOneMessage`` or
    ///   ``WireDecodingError/limitExceeded(field:)``.
    init(_ bytes: UnsafeRawBufferPointer, limits: WireLimits) throws(WireDecodingError) {
        guard bytes.count <= limits.messageBytesMax else { throw .limitExceeded(field: "frame") }
        var body: Range<Int>?
        var reader = FieldReader(bytes, in: 0..<bytes.count)
        while let field = try reader.next() {
            guard FrameOutline.kinds.contains(field.number) else { continue }
            guard let range = field.content else { throw .malformed }
            guard body == nil else { throw .notOneMessage }
            body = range
            self.kind = field.number
        }
        guard let body else { throw .notOneMessage }
        guard body.count <= FrameOutline.bytesMax(kind: self.kind, limits) else {
            throw .limitExceeded(field: "frame")
        }
        try self.countElements(bytes, in: body, limits)
    }

    /// The numbers of `Frame.message`.
    private static let kinds = 2...22

    /// The field of a hello that holds a report, whose own elements are bounded by its size.
    private static let helloReport = 14

    /// The size of a message of `kind`: only three kinds hold rows.
    private static func bytesMax(kind: Int, _ limits: WireLimits) -> Int {
        switch kind {
        case 6, 9, 10: limits.messageBytesMax
        case 18, 19, 20: limits.reportBytesMax
        case 21, 22: limits.loginBytesMax
        default: limits.controlMessageBytesMax
        }
    }

    /// The repeated message field of `kind`, how often it may occur and what it is called.
    private static func repeated(kind: Int, _ limits: WireLimits) -> (number: Int, max: Int, name: String)? {
        switch kind {
        case 2: (12, limits.partialsMax, "partials")
        case 8: (3, limits.tablesMax, "tables")
        case 9: (5, limits.rowHashesMax, "keys")
        case 10: (4, limits.wantedKeysMax, "wanted")
        case 14: (4, limits.nodesMax, "nodes")
        case 18: (6, HostReport.successorsMax, "successors")
        default: nil
        }
    }

    private func countElements(
        _ bytes: UnsafeRawBufferPointer,
        in body: Range<Int>,
        _ limits: WireLimits
    ) throws(WireDecodingError) {
        guard let repeated = FrameOutline.repeated(kind: self.kind, limits) else { return }
        var count = 0
        var reader = FieldReader(bytes, in: body)
        while let field = try reader.next() {
            if self.kind == 2, field.number == FrameOutline.helloReport, let content = field.content {
                guard content.count <= limits.reportBytesMax else { throw .limitExceeded(field: "host_report") }
            }
            guard field.number == repeated.number else { continue }
            count += 1
            guard count <= repeated.max else { throw .limitExceeded(field: repeated.name) }
        }
    }
}

/// Reads the fields of one protocol buffer message, one level deep.
private struct FieldReader {
    /// A field: its number and, when it is length-delimited, where its content lies.
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
            // Groups (3 and 4) have not been used since protocol buffers 2.
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
