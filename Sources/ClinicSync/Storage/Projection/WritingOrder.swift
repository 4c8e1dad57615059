/// The order in which the forms of rows are written, so that a row gives a key back before another row takes it.
struct WritingOrder {
    /// The indexes of the rows that leave their tables, or stay out of them.
    let leaving: [Int]
    /// The rows by index.
    private let rows: [RowName]
    /// The indexes of the rows that are to be shown and are not written yet.
    private var pending: [RowName: Int]
    /// The indexes of the rows to be shown, the next one at the end.
    private var rest: [Int]
    /// The rows that wait for each other: each needs a key that the row after it shows.
    private var path: [Int] = []
    private var onPath: Set<Int> = []
    private var lifted: [Int: LiftedRow] = [:]
    private var results: [FormWriter.Written?]

    /// Begins with all of `forms` unwritten.
    init(_ forms: [FormedRow]) {
        var (leaving, shown): ([Int], [Int]) = ([], [])
        for (index, formed) in forms.enumerated() {
            switch formed.form {
            case .shown: shown.append(index)
            case .hidden, .deleted: leaving.append(index)
            }
        }
        self.leaving = leaving
        self.rest = shown.reversed()
        self.pending = Dictionary(shown.map { (forms[$0].row, $0) }, uniquingKeysWith: { first, _ in first })
        self.results = Array(repeating: nil, count: forms.count)
        self.rows = forms.map(\.row)
    }

    /// The index of the row to be written next; `nil` when all are written.
    var next: Int? {
        mutating get {
            while let last = self.path.last ?? self.rest.last {
                if self.pending[self.rows[last]] == last { return last }
                if self.path.isEmpty { self.rest.removeLast() } else { self.onPath.remove(self.path.removeLast()) }
            }
            return nil
        }
    }

    /// Whether a row is to be shown and not written yet.
    func isPending(_ row: RowName) -> Bool { self.pending[row] != nil }

    /// What was kept of a row that was taken out of its table.
    func lifted(at index: Int) -> LiftedRow? { self.lifted[index] }

    /// Notes that a row was taken out of its table for a moment.
    mutating func note(lifted row: LiftedRow, at index: Int) { self.lifted[index] = row }

    /// Notes that a row was written, with what programs see of it.
    mutating func note(_ written: FormWriter.Written?, at index: Int) {
        self.results[index] = written
        self.pending[self.rows[index]] = nil
    }

    /// Has a pending row written before the next one, which needs its key.
    ///
    /// - Returns: The row's index if it waits for the next one itself; then neither can be written before the other.
    mutating func writeFirst(_ row: RowName) -> Int? {
        guard let next = self.next, let index = self.pending[row] else { return nil }
        if self.onPath.insert(next).inserted { self.path.append(next) }
        if self.onPath.contains(index) { return index }
        self.onPath.insert(index)
        self.path.append(index)
        return nil
    }

    /// What programs see of the rows that were written, in the order of the forms.
    var written: [FormWriter.Written] { self.results.compactMap(\.self) }
}
