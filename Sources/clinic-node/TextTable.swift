/// Columns that line up.
struct TextTable {
    /// How a column is set.
    enum Alignment {
        case left
        case right
    }

    /// A text, and how it stands out.
    struct Cell {
        let text: String
        /// Puts the colours around the text: a colour takes no width.
        let mark: ((String) -> String)?

        init(_ text: String, mark: ((String) -> String)? = nil) {
            self.text = TerminalText.printable(text)
            self.mark = mark
        }
    }

    private let header: [Cell]
    private let alignments: [Alignment]
    private var rows: [[Cell]] = []

    /// Makes a table of these columns.
    init(_ columns: [(title: String, alignment: Alignment)]) {
        self.header = columns.map { Cell($0.title) }
        self.alignments = columns.map(\.alignment)
    }

    /// Adds a row with a text for each column.
    mutating func add(_ cells: [String]) { self.add(cells.map { Cell($0) }) }

    /// Adds a row with a cell for each column.
    mutating func add(_ cells: [Cell]) {
        precondition(cells.count == self.header.count, "a row has a cell for each column")
        self.rows.append(cells)
    }

    /// The lines, each indented by `indent` spaces, the titles first.
    func lines(indent: Int, style: Style) -> [String] {
        let widths = self.header.indices.map { column in
            ([self.header] + self.rows).map { $0[column].text.count }.max() ?? 0
        }
        func line(_ cells: [Cell]) -> String {
            let padded = zip(cells, zip(widths, self.alignments)).map { cell, column in
                let gap = String(repeating: " ", count: column.0 - cell.text.count)
                let text = cell.mark?(cell.text) ?? cell.text
                return column.1 == .left ? text + gap : gap + text
            }
            var text = padded.joined(separator: "  ")
            while text.last == " " { text.removeLast() }
            return String(repeating: " ", count: indent) + text
        }
        return [style.dim(line(self.header))] + self.rows.map(line)
    }
}
