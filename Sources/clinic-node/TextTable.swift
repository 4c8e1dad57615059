/// Columns that line up.
struct TextTable {
    /// How a column is set.
    enum Alignment {
        case left
        case right
    }

    private let header: [String]
    private let alignments: [Alignment]
    private var rows: [[String]] = []

    /// Makes a table of these columns.
    init(_ columns: [(title: String, alignment: Alignment)]) {
        self.header = columns.map(\.title)
        self.alignments = columns.map(\.alignment)
    }

    /// Adds a row with a text for each column.
    mutating func add(_ cells: [String]) {
        precondition(cells.count == self.header.count, "a row has a cell for each column")
        self.rows.append(cells.map(TerminalText.printable))
    }

    /// The lines, each indented by `indent` spaces, the titles first.
    func lines(indent: Int, style: Style) -> [String] {
        let widths = self.header.indices.map { column in
            ([self.header] + self.rows).map { $0[column].count }.max() ?? 0
        }
        func line(_ cells: [String]) -> String {
            let padded = cells.indices.map { column in
                let gap = String(repeating: " ", count: widths[column] - cells[column].count)
                switch self.alignments[column] {
                case .left: return cells[column] + gap
                case .right: return gap + cells[column]
                }
            }
            var text = padded.joined(separator: "  ")
            while text.last == " " { text.removeLast() }
            return String(repeating: " ", count: indent) + text
        }
        return [style.dim(line(self.header))] + self.rows.map(line)
    }
}
