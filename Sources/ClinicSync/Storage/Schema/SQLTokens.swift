/// A token of SQL text; distinguishes only the kinds that are needed to read a table's definition.
enum SQLToken: Hashable {
    /// A keyword or a name, bare or quoted; a quoted name is never a keyword.
    case name(String, isQuoted: Bool)
    /// A number, a text in single quotes or a blob, spelt as in the SQL text.
    case literal(String)
    /// A character that stands for itself.
    case symbol(UInt8)

    /// Whether the token is the keyword `word`, in capitals or small letters.
    func isKeyword(_ word: String) -> Bool {
        if case .name(let name, isQuoted: false) = self { name.lowercased() == word } else { false }
    }

    /// Whether the token is the character `character`.
    func isSymbol(_ character: Unicode.Scalar) -> Bool { self == .symbol(UInt8(ascii: character)) }

    /// The name or keyword; `nil` for anything else.
    var name: String? {
        if case .name(let name, _) = self { name } else { nil }
    }
}

/// Splits SQL text into tokens: skips comments and white space, and removes the quotes from names.
///
/// Use it only for text that SQLite has already accepted, such as `sqlite_schema` and migrations: it reports no errors.
/// Source: "SQLite tokens" in SQLite's `tokenize.c`.
struct SQLTokens {
    private let bytes: [UInt8]
    private var place = 0

    /// The tokens of `sql`.
    static func all(in sql: String) -> [SQLToken] {
        var reader = SQLTokens(bytes: Array(sql.utf8))
        var tokens: [SQLToken] = []
        while let token = reader.next() { tokens.append(token) }
        return tokens
    }

    private init(bytes: [UInt8]) { self.bytes = bytes }

    private mutating func next() -> SQLToken? {
        self.skipBlanks()
        guard let first = self.byte(0) else { return nil }
        switch first {
        case UInt8(ascii: "'"):
            return .literal("'" + self.quoted(until: first) + "'")
        case UInt8(ascii: "\""), UInt8(ascii: "`"):
            return .name(self.quoted(until: first), isQuoted: true)
        case UInt8(ascii: "["):
            return .name(self.bracketed(), isQuoted: true)
        case UInt8(ascii: "x"), UInt8(ascii: "X"):
            guard self.byte(1) == UInt8(ascii: "'") else { return .name(self.run(Self.isWord), isQuoted: false) }
            self.place += 1
            return .literal("x'" + self.quoted(until: UInt8(ascii: "'")) + "'")
        case _ where Self.isDigit(first), UInt8(ascii: ".") where self.byte(1).map(Self.isDigit) == true:
            return .literal(self.number())
        case _ where Self.isWord(first):
            return .name(self.run(Self.isWord), isQuoted: false)
        default:
            self.place += 1
            return .symbol(first)
        }
    }

    private func byte(_ offset: Int) -> UInt8? {
        self.place + offset < self.bytes.count ? self.bytes[self.place + offset] : nil
    }

    private mutating func skipBlanks() {
        while let byte = self.byte(0) {
            if byte <= UInt8(ascii: " ") {
                self.place += 1
            } else if byte == UInt8(ascii: "-"), self.byte(1) == UInt8(ascii: "-") {
                while let byte = self.byte(0), byte != UInt8(ascii: "\n") { self.place += 1 }
            } else if byte == UInt8(ascii: "/"), self.byte(1) == UInt8(ascii: "*") {
                self.place += 2
                while self.byte(0) != nil, !(self.byte(0) == UInt8(ascii: "*") && self.byte(1) == UInt8(ascii: "/")) {
                    self.place += 1
                }
                self.place += 2
            } else {
                return
            }
        }
    }

    /// The text between quotes; a doubled quote stands for a single quote.
    private mutating func quoted(until quote: UInt8) -> String {
        self.place += 1
        var content: [UInt8] = []
        while let byte = self.byte(0) {
            self.place += 1
            if byte == quote {
                guard self.byte(0) == quote else { break }
                self.place += 1
            }
            content.append(byte)
        }
        return String(decoding: content, as: UTF8.self)
    }

    private mutating func bracketed() -> String {
        self.place += 1
        let content = self.run { $0 != UInt8(ascii: "]") }
        self.place += 1
        return content
    }

    /// A number with its exponent; the exponent can have a sign.
    private mutating func number() -> String {
        var text = self.run { Self.isWord($0) || $0 == UInt8(ascii: ".") }
        let isHexadecimal = text.lowercased().hasPrefix("0x")
        if !isHexadecimal, text.lowercased().hasSuffix("e"), let sign = self.byte(0),
            sign == UInt8(ascii: "+") || sign == UInt8(ascii: "-")
        {
            self.place += 1
            text += String(UnicodeScalar(sign)) + self.run(Self.isWord)
        }
        return text
    }

    private mutating func run(_ belongs: (UInt8) -> Bool) -> String {
        let start = self.place
        while let byte = self.byte(0), belongs(byte) { self.place += 1 }
        return String(decoding: self.bytes[start..<self.place], as: UTF8.self)
    }

    private static func isDigit(_ byte: UInt8) -> Bool { (UInt8(ascii: "0")...UInt8(ascii: "9")).contains(byte) }

    private static func isWord(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "_"),
            UInt8(ascii: "$"), 0x80...:
            true
        default: self.isDigit(byte)
        }
    }
}
