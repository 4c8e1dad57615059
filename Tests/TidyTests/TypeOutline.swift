/// The types of a Swift file, as far as the house rules look at them.
///
/// The formatter guarantees that a declaration at the top of a file begins in the first column, that its last brace
/// stands there too, and that its members are four columns to the right.
struct TypeOutline {
    /// A type or an extension at the top of a file.
    struct Part: Equatable {
        /// The type's name; of `A.B` in an extension only `A`, because what is nested counts for its outer type.
        var name: String
        var isExtension: Bool
        var lines: Int
        var storedProperties: Int
    }

    /// The types that other files may use: those at the top that are not private.
    private(set) var declared: Set<String> = []
    /// The types that hide one of the same name elsewhere: nested ones, private ones and generic parameters.
    private(set) var hidden: Set<String> = []
    /// Every name that code uses and that may be a type's, each with the line of its first use.
    private(set) var used: [String: Int] = [:]
    /// The types and extensions at the top, in their order.
    private(set) var parts: [Part] = []

    private static let kinds: Set<Substring> = ["struct", "class", "enum", "actor", "protocol", "typealias"]
    /// How far members are to the right of their type.
    private static let indentation = 4

    init(of file: SourceFile) {
        let code = SwiftScanner.code(of: file.lines.joined(separator: "\n"))
        for (index, line) in code.enumerated() {
            self.noteNames(of: line, number: index + 1)
            self.noteDeclaration(in: line)
        }
        self.noteParts(of: code)
    }

    private mutating func noteNames(of line: String, number: Int) {
        var previous: Character = " "
        var word = ""
        var isMember = false
        for character in line + " " {
            if character.isLetter || character.isNumber || character == "_" {
                if word.isEmpty { isMember = previous == "." }
                word.append(character)
            } else if !word.isEmpty {
                // What follows a point is nested in something else.
                if !isMember, word.first?.isUppercase == true, self.used[word] == nil { self.used[word] = number }
                word = ""
            }
            previous = character
        }
    }

    private mutating func noteDeclaration(in line: String) {
        let isTop = line.first != " "
        let words = TypeOutline.words(of: line)
        guard let index = words.firstIndex(where: TypeOutline.kinds.contains), index + 1 < words.count,
            words[..<index].allSatisfy({ TypeOutline.isModifier($0) })
        else { return }
        let name = String(words[index + 1].prefix { $0.isLetter || $0.isNumber || $0 == "_" })
        guard name.first?.isUppercase == true else { return }
        if isTop, !words[..<index].contains("private"), !words[..<index].contains("fileprivate") {
            self.declared.insert(name)
        } else {
            self.hidden.insert(name)
        }
    }

    private mutating func noteParts(of code: [String]) {
        var part: Part?
        for line in code {
            if part == nil, let (name, isExtension) = TypeOutline.beginning(in: line) {
                part = Part(name: name, isExtension: isExtension, lines: 0, storedProperties: 0)
            }
            guard var open = part else { continue }
            open.lines += 1
            if !open.isExtension, TypeOutline.isStoredProperty(line) { open.storedProperties += 1 }
            let isEnd = line.hasPrefix("}") || (open.lines == 1 && line.hasSuffix("}"))
            if isEnd { self.parts.append(open) }
            part = isEnd ? nil : open
        }
    }

    /// The name of the type that a line in the first column declares or extends.
    private static func beginning(in line: String) -> (name: String, isExtension: Bool)? {
        let words = self.words(of: line)
        guard line.first != " ",
            let index = words.firstIndex(where: { self.kinds.contains($0) || $0 == "extension" }),
            words[index] != "typealias", words[index] != "protocol", index + 1 < words.count,
            words[..<index].allSatisfy({ self.isModifier($0) })
        else { return nil }
        let name = String(words[index + 1].prefix { $0.isLetter || $0.isNumber || $0 == "_" })
        return (name, words[index] == "extension")
    }

    private static func isStoredProperty(_ line: String) -> Bool {
        guard line.prefix(while: { $0 == " " }).count == self.indentation else { return false }
        let words = self.words(of: line)
        guard let index = words.firstIndex(where: { $0 == "let" || $0 == "var" }), index + 1 < words.count,
            words[0].hasPrefix("@") || words[..<index].allSatisfy({ self.isModifier($0) }),
            !words[..<index].contains("static")
        else { return false }
        // A brace before any value begins the body of a computed property.
        let declaration = words[index...].joined(separator: " ")
        return declaration.first { $0 == "{" || $0 == "=" } != "{"
    }

    private static func words(of line: String) -> [Substring] { line.split(separator: " ") }

    private static func isModifier(_ word: Substring) -> Bool {
        let modifiers: Set<Substring> = [
            "public", "package", "internal", "fileprivate", "private", "final", "indirect", "nonisolated", "lazy",
            "weak", "unowned", "static", "borrowing", "consuming", "mutating",
        ]
        return modifiers.contains(word.prefix { $0 != "(" }) || word.hasPrefix("@")
    }
}
