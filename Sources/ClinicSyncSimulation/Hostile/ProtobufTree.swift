/// A message of Protocol Buffers as a tree of fields, without knowledge of its type.
///
/// Unlike a decoded message it can hold what no encoder writes: fields twice, in any order, of another wire type, or of
/// no type.
struct ProtobufTree: Sendable, Hashable {
    /// A field and its content.
    struct Field: Sendable, Hashable {
        /// The field's number, from 1.
        var number: UInt64
        /// The content; its case decides the wire type.
        var content: Content
    }

    /// The content of a field.
    indirect enum Content: Sendable, Hashable {
        /// A number of variable length.
        case varint(UInt64)
        /// Eight bytes, little endian.
        case fixed64(UInt64)
        /// Four bytes, little endian.
        case fixed32(UInt32)
        /// A string, bytes, or packed numbers.
        case bytes([UInt8])
        /// A message.
        case message(ProtobufTree)
    }

    /// The fields in the order of the bytes.
    var fields: [Field]

    /// Makes a message of these fields.
    init(fields: [Field]) { self.fields = fields }

    /// Reads a message; `nil` when the bytes are none.
    ///
    /// - Parameters:
    ///   - bytes: the bytes.
    ///   - path: the numbers of the fields in which the message is.
    ///   - isMessage: whether the field at a path of field numbers is a message; other fields of variable length remain bytes.
    init?(_ bytes: ArraySlice<UInt8>, path: [UInt64] = [], isMessage: ([UInt64]) -> Bool) {
        self.fields = []
        var reader = ProtobufReader(bytes)
        while !reader.isAtEnd {
            guard let key = reader.varint(), key >> 3 > 0 else { return nil }
            let inner = path + [key >> 3]
            let content: Content
            switch key & 7 {
            case 0:
                guard let number = reader.varint() else { return nil }
                content = .varint(number)
            case 1:
                guard let number = reader.fixed(8) else { return nil }
                content = .fixed64(number)
            case 2:
                guard let part = reader.bytes() else { return nil }
                if isMessage(inner), let tree = ProtobufTree(part, path: inner, isMessage: isMessage) {
                    content = .message(tree)
                } else {
                    content = .bytes(Array(part))
                }
            case 5:
                guard let number = reader.fixed(4) else { return nil }
                content = .fixed32(UInt32(truncatingIfNeeded: number))
            default: return nil
            }
            self.fields.append(Field(number: key >> 3, content: content))
        }
    }

    /// The message's bytes.
    var bytes: [UInt8] {
        var output: [UInt8] = []
        for field in self.fields { field.write(to: &output) }
        return output
    }

    /// The first field of that number.
    subscript(number: UInt64) -> Content? { self.fields.first { $0.number == number }?.content }

    /// The message in the first field of that number.
    func message(_ number: UInt64) -> ProtobufTree? {
        guard case .message(let tree)? = self[number] else { return nil }
        return tree
    }

    /// The bytes in the first field of that number; empty when there is none.
    func bytes(_ number: UInt64) -> [UInt8] {
        guard case .bytes(let bytes)? = self[number] else { return [] }
        return bytes
    }

    /// The number in the first field of that number; 0 when there is none.
    func varint(_ number: UInt64) -> UInt64 {
        guard case .varint(let value)? = self[number] else { return 0 }
        return value
    }

    /// Replaces the content of the first field of that number; adds one at the end when there is none.
    mutating func set(_ number: UInt64, _ content: Content) {
        if let index = self.fields.firstIndex(where: { $0.number == number }) {
            self.fields[index].content = content
        } else {
            self.fields.append(Field(number: number, content: content))
        }
    }

    /// A place of a field: the index of a field in the message, of a field in that field's message, and so on.
    typealias Place = [Int]

    /// The places of all fields, and the path of numbers of each.
    var places: [(place: Place, path: [UInt64])] {
        var found: [(place: Place, path: [UInt64])] = []
        for (index, field) in self.fields.enumerated() {
            found.append(([index], [field.number]))
            guard case .message(let tree) = field.content else { continue }
            for (place, path) in tree.places { found.append(([index] + place, [field.number] + path)) }
        }
        return found
    }

    /// Changes the message that holds the field at `place`, which is not empty.
    mutating func change(at place: ArraySlice<Int>, _ body: (inout ProtobufTree, _ index: Int) -> Void) {
        guard let index = place.first, self.fields.indices.contains(index) else { return }
        if place.count == 1 { return body(&self, index) }
        guard case .message(var tree) = self.fields[index].content else { return }
        tree.change(at: place.dropFirst(), body)
        self.fields[index].content = .message(tree)
    }
}

extension ProtobufTree.Field {
    fileprivate func write(to output: inout [UInt8]) {
        switch self.content {
        case .varint(let number):
            ProtobufTree.write(self.number << 3, to: &output)
            ProtobufTree.write(number, to: &output)
        case .fixed64(let number):
            ProtobufTree.write(self.number << 3 | 1, to: &output)
            withUnsafeBytes(of: number.littleEndian) { output.append(contentsOf: $0) }
        case .bytes(let bytes):
            ProtobufTree.write(self.number << 3 | 2, to: &output)
            ProtobufTree.write(UInt64(bytes.count), to: &output)
            output.append(contentsOf: bytes)
        case .message(let tree):
            let bytes = tree.bytes
            ProtobufTree.write(self.number << 3 | 2, to: &output)
            ProtobufTree.write(UInt64(bytes.count), to: &output)
            output.append(contentsOf: bytes)
        case .fixed32(let number):
            ProtobufTree.write(self.number << 3 | 5, to: &output)
            withUnsafeBytes(of: number.littleEndian) { output.append(contentsOf: $0) }
        }
    }
}

extension ProtobufTree {
    /// Appends a number of variable length.
    static func write(_ number: UInt64, to output: inout [UInt8]) {
        var rest = number
        while rest > 0x7F {
            output.append(UInt8(truncatingIfNeeded: rest) | 0x80)
            rest >>= 7
        }
        output.append(UInt8(truncatingIfNeeded: rest))
    }

    /// Reads packed numbers; `nil` when the bytes are none.
    static func packed(_ bytes: [UInt8]) -> [UInt64]? {
        var reader = ProtobufReader(bytes[...])
        var numbers: [UInt64] = []
        while !reader.isAtEnd {
            guard let number = reader.varint() else { return nil }
            numbers.append(number)
        }
        return numbers
    }

    /// Writes packed numbers.
    static func pack(_ numbers: [UInt64]) -> [UInt8] {
        var output: [UInt8] = []
        for number in numbers { self.write(number, to: &output) }
        return output
    }
}

/// Reads the parts of a message.
private struct ProtobufReader {
    private var rest: ArraySlice<UInt8>

    init(_ bytes: ArraySlice<UInt8>) { self.rest = bytes }

    var isAtEnd: Bool { self.rest.isEmpty }

    mutating func varint() -> UInt64? {
        var number: UInt64 = 0
        for shift in stride(from: UInt64(0), to: 70, by: 7) {
            guard let byte = self.rest.popFirst() else { return nil }
            number |= UInt64(byte & 0x7F) << shift
            if byte & 0x80 == 0 { return number }
        }
        return nil
    }

    mutating func fixed(_ count: Int) -> UInt64? {
        guard self.rest.count >= count else { return nil }
        let number = self.rest.prefix(count).reversed().reduce(UInt64(0)) { $0 << 8 | UInt64($1) }
        self.rest.removeFirst(count)
        return number
    }

    mutating func bytes() -> ArraySlice<UInt8>? {
        guard let count = self.varint(), count <= UInt64(self.rest.count) else { return nil }
        defer { self.rest.removeFirst(Int(count)) }
        return self.rest.prefix(Int(count))
    }
}
