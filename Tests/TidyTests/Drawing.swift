import Foundation

/// The arrows that docs/ARCHITECTURE.md draws: which part of the sources may refer to which.
///
/// A part is a folder of `Sources/ClinicSync`. A line of a code block draws a part's arrows, all of which point to parts
/// further down:
///
///     Transport ──► Wire, Core, Model
struct Drawing {
    /// The parts, from the top to the bottom, each with those it may refer to.
    let parts: [(name: String, targets: [String])]

    init(of document: String) {
        var isCode = false
        var parts: [(name: String, targets: [String])] = []
        for line in document.split(separator: "\n") {
            if line.hasPrefix("```") { isCode.toggle() }
            let ends = line.components(separatedBy: "──►")
            guard isCode, ends.count == 2 else { continue }
            let targets = ends[1].split(separator: ",").map { $0.trimmingCharacters(in: .whitespaces) }
            parts.append((ends[0].trimmingCharacters(in: .whitespaces), targets))
        }
        self.parts = parts
    }

    /// The drawing in the document.
    static func read() throws -> Drawing {
        let path = SourceFile.root.appending(path: "docs/ARCHITECTURE.md")
        return Drawing(of: try String(contentsOf: path, encoding: .utf8))
    }

    /// The parts' names, with those that only receive arrows.
    var names: Set<String> { Set(self.parts.flatMap { [$0.name] + $0.targets }) }

    /// The arrows as `A ──► B`.
    var arrows: Set<String> { Set(self.parts.flatMap { part in part.targets.map { "\(part.name) ──► \($0)" } }) }

    /// The arrows that do not point down.
    var rising: [String] {
        let rank = Dictionary(
            self.parts.enumerated().map { ($0.element.name, $0.offset) },
            uniquingKeysWith: { first, _ in first }
        )
        return self.parts.enumerated().flatMap { offset, part in
            part.targets.filter { rank[$0, default: Int.max] <= offset }.map { "\(part.name) ──► \($0)" }
        }
    }
}
