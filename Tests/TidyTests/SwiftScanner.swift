/// Separates Swift code from comments and from the text of string literals.
///
/// Regular-expression literals are taken for code.
struct SwiftScanner {
    /// The bytes with which anything but plain code or plain text can begin.
    private static let special = Array("/#\"\\()".utf8)

    private let bytes: [UInt8]
    private var position = 0
    private var output: [UInt8] = []

    /// The lines of `text` with comments and the text of literals replaced by spaces.
    ///
    /// Quotation marks and the code of interpolations stay.
    static func code(of text: String) -> [String] {
        var scanner = SwiftScanner(bytes: Array(text.utf8))
        scanner.scanCode(isInterpolation: false)
        return String(decoding: scanner.output, as: UTF8.self)
            .split(separator: "\n", omittingEmptySubsequences: false).map(String.init)
    }

    private init(bytes: [UInt8]) {
        self.bytes = bytes
        self.output.reserveCapacity(bytes.count)
    }

    private func isNext(_ text: StaticString) -> Bool {
        text.withUTF8Buffer { text in
            self.position + text.count <= self.bytes.count
                && self.bytes[self.position..<self.position + text.count].elementsEqual(text)
        }
    }

    private mutating func keep(_ count: Int = 1) {
        let end = self.position + count
        while self.position < end {
            self.output.append(self.bytes[self.position])
            self.position += 1
        }
    }

    private mutating func blank(_ count: Int = 1) {
        let end = min(self.position + count, self.bytes.count)
        while self.position < end {
            let byte = self.bytes[self.position]
            self.output.append(byte == UInt8(ascii: "\n") ? byte : UInt8(ascii: " "))
            self.position += 1
        }
    }

    /// Scans to the end, or to the parenthesis that ends an interpolation.
    private mutating func scanCode(isInterpolation: Bool) {
        var depth = 0
        while self.position < self.bytes.count {
            guard SwiftScanner.special.contains(self.bytes[self.position]) else {
                self.keep()
                continue
            }
            if self.isNext("//") {
                while self.position < self.bytes.count, !self.isNext("\n") { self.blank() }
            } else if self.isNext("/*") {
                while self.position < self.bytes.count, !self.isNext("*/") { self.blank() }
                self.blank(2)
            } else if let hashes = self.hashesOfLiteral() {
                self.keep(hashes)
                self.scanLiteral(hashes: hashes)
            } else {
                if isInterpolation, self.isNext("(") { depth += 1 }
                if isInterpolation, self.isNext(")") {
                    guard depth > 0 else { return }
                    depth -= 1
                }
                self.keep()
            }
        }
    }

    /// How many `#` stand before the quotation mark of a literal that begins here; `nil` when none begins.
    private func hashesOfLiteral() -> Int? {
        let hashes = self.bytes[self.position...].prefix { $0 == UInt8(ascii: "#") }.count
        let mark = self.position + hashes
        return mark < self.bytes.count && self.bytes[mark] == UInt8(ascii: "\"") ? hashes : nil
    }

    private mutating func scanLiteral(hashes: Int) {
        let marks = self.isNext("\"\"\"") ? 3 : 1
        let hashMarks = Array(repeating: UInt8(ascii: "#"), count: hashes)
        let end = Array(repeating: UInt8(ascii: "\""), count: marks) + hashMarks
        let escape = [UInt8(ascii: "\\")] + hashMarks
        self.keep(marks)
        while self.position < self.bytes.count {
            guard SwiftScanner.special.contains(self.bytes[self.position]) else {
                self.blank()
                continue
            }
            let rest = self.bytes[self.position...]
            if rest.starts(with: end) {
                self.keep(end.count)
                return
            }
            guard rest.starts(with: escape) else {
                self.blank()
                continue
            }
            self.blank(escape.count)
            guard self.isNext("(") else {
                self.blank()
                continue
            }
            self.keep()
            self.scanCode(isInterpolation: true)
            if self.position < self.bytes.count { self.keep() }
        }
    }
}
