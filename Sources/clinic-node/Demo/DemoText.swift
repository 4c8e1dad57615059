import ClinicSyncDemo

/// A demonstration as people watch it.
struct DemoText: Sendable {
    /// Up to here a change counts as "at once", above ``slow`` as slow; in milliseconds.
    private static let quick = 20.0
    private static let slow = 200.0
    /// Digits of a digest that are shown.
    private static let digestDigits = 8
    private static let roomWidth = 10
    private static let timeWidth = 6
    /// What a program does has at least so many columns, and takes no more than the longest text needs.
    private static let whatWidths = 20...36
    private static let arrivalWidth = 6
    private static let gap = "  "

    private let style: Style
    private let isEndless: Bool
    private let columns: Int
    private let whatWidth: Int

    /// Makes the text of a demonstration.
    ///
    /// - Parameters:
    ///   - nodes: how many PCs it has; each has a column.
    ///   - isEndless: whether Ctrl-C ends it.
    ///   - style: the colours.
    ///   - columns: the longest line, as far as the number of PCs lets it.
    init(nodes: Int, isEndless: Bool, style: Style = .standardOutput, columns: Int = Terminal.columns ?? 80) {
        self.style = style
        self.isEndless = isEndless
        self.columns = columns
        let arrivals = nodes * (DemoText.arrivalWidth + DemoText.gap.count)
        let left = columns - DemoText.timeWidth - DemoText.roomWidth - 2 * DemoText.gap.count - arrivals
        self.whatWidth = min(max(left, DemoText.whatWidths.lowerBound), DemoText.whatWidths.upperBound)
    }

    /// The lines of an event.
    func lines(_ event: DemoEvent) -> [String] {
        switch event {
        case .started(let started): self.lines(started)
        case .wrote(let wrote): [self.line(wrote)]
        case .noted(let note): self.lines(note)
        case .proved(let proof): self.lines(proof)
        }
    }

    // MARK: - The picture

    private func lines(_ started: DemoEvent.Started) -> [String] {
        var table = TextTable([
            ("PC", .left), ("STANDS AT", .left), ("ROLE", .left), ("LISTENS ON", .left), ("FILE", .left),
        ])
        for node in started.nodes {
            let file = node.database.dropFirst(node.database.hasPrefix(started.directory) ? started.directory.count : 0)
            table.add([String(node.number), node.name, node.role, node.address, "...\(file)"])
        }
        let title = "\(started.clinic): \(started.nodes.count) PCs, each with its own SQLite file"
        let heads = started.nodes.map { DemoText.left("PC \($0.number)", DemoText.arrivalWidth) }
        let explanation =
            "Programs write plain SQL into the file of one PC. A number is the time in milliseconds from COMMIT until "
            + "the file of another PC showed the rows, asked with SQL every 0.2 ms."
            + (self.isEndless ? " Ctrl-C ends it." : "")
        let titles = [
            DemoText.left("SECOND", DemoText.timeWidth), DemoText.right("PC AT", DemoText.roomWidth),
            DemoText.right("WRITES", self.whatWidth),
        ]
        return [self.style.bold(title), "The files are in \(started.directory)", ""]
            + table.lines(indent: 2, style: self.style) + [""] + self.wrapped(explanation)
            + ["", self.style.dim((titles + heads).joined(separator: DemoText.gap))]
    }

    private func line(_ wrote: DemoEvent.Wrote) -> String {
        var cells = wrote.arrivals.map { arrival -> (node: Int, text: String) in
            guard let milliseconds = arrival.milliseconds else {
                return (arrival.node, self.style.warning(self.cell("off")))
            }
            return (arrival.node, self.arrival(milliseconds))
        }
        cells.append((wrote.node, self.style.dim(self.cell("wrote"))))
        cells.sort { $0.node < $1.node }
        let what = DemoText.right(DemoText.cut(wrote.what, self.whatWidth), self.whatWidth)
        let room = DemoText.right(wrote.name, DemoText.roomWidth)
        return ([self.time(wrote.atMilliseconds), room, what] + cells.map(\.text)).joined(separator: DemoText.gap)
    }

    private func arrival(_ milliseconds: Double) -> String {
        let text = self.cell(DemoNumbers.milliseconds(milliseconds))
        if milliseconds <= DemoText.quick { return self.style.good(text) }
        return milliseconds <= DemoText.slow ? self.style.warning(text) : self.style.bad(text)
    }

    private func lines(_ note: DemoEvent.Note) -> [String] {
        let mark: (sign: String, style: (String) -> String) =
            switch note.kind {
            case .step: ("* ", self.style.bold)
            case .offline: ("- ", self.style.warning)
            case .online: ("+ ", self.style.good)
            case .checked: ("= ", self.style.good)
            case .failed: ("! ", self.style.bad)
            }
        let indent = DemoText.timeWidth + DemoText.gap.count + mark.sign.count
        let lines = self.wrapped(note.text, indent: indent)
        return lines.enumerated().map { number, line in
            number == 0
                ? self.time(note.atMilliseconds) + DemoText.gap + mark.style(mark.sign + line)
                : String(repeating: " ", count: indent) + mark.style(line)
        }
    }

    // MARK: - The proof

    private func lines(_ proof: DemoEvent.Proof) -> [String] {
        var table = TextTable(
            [("TABLE", .left), ("ROWS", .right)]
                + proof.nodes.indices.map { (title: "PC \($0 + 1)", alignment: TextTable.Alignment.left) }
                + [("", .left)]
        )
        for entry in proof.tables {
            let rows =
                Set(entry.rows).count == 1 ? "\(entry.rows[0])" : entry.rows.map(String.init).joined(separator: "/")
            let digests = entry.digests.map { String($0.prefix(DemoText.digestDigits)) }
            let verdict = TextTable.Cell(
                entry.isEqual ? "equal" : "differs",
                mark: entry.isEqual ? self.style.good : self.style.bad
            )
            table.add(([entry.name, rows] + digests).map { TextTable.Cell($0) } + [verdict])
        }
        let count = proof.nodes.count
        let title = "Proof: every row of every table, read from the \(count) files after the nodes stopped"
        return [""] + self.wrapped(title).map(self.style.bold) + [""] + table.lines(indent: 2, style: self.style)
            + [""] + self.verdict(proof)
    }

    private func verdict(_ proof: DemoEvent.Proof) -> [String] {
        let count = proof.nodes.count
        let rows = proof.tables.reduce(UInt64(0)) { $0 + $1.rows[0] }
        var lines: [String] = []
        let differing = proof.tables.filter { !$0.isEqual }.map(\.name)
        if differing.isEmpty {
            let text = "EQUAL: all \(proof.tables.count) tables, \(rows) rows, are the same on all \(count) PCs."
            lines.append(self.style.good(text))
        } else {
            lines.append(self.style.bad("NOT EQUAL: \(differing.joined(separator: ", "))."))
        }
        if proof.failedChecks > 0 {
            lines.append(self.style.bad("\(proof.failedChecks) of the checks above (marked !) failed."))
        }
        let latency = proof.latency
        if let median = latency.median, let most = latency.percentile99, let slowest = latency.maximum {
            lines += self.wrapped(
                "\(proof.transactions) transactions; \(latency.count) arrivals on other PCs were measured: "
                    + "median \(DemoNumbers.milliseconds(median)) ms, 99 % within \(DemoNumbers.milliseconds(most)) ms, "
                    + "slowest \(DemoNumbers.milliseconds(slowest)) ms."
            )
        }
        lines.append(
            proof.partialLooks == 0
                ? "No PC ever showed a transaction in part."
                : self.style.bad("\(proof.partialLooks) reads found only a part of a transaction.")
        )
        return lines
    }

    // MARK: - Cells

    private func time(_ milliseconds: Double) -> String {
        let hundredths = Int((milliseconds / 10).rounded())
        let digits = String(hundredths % 100)
        let text = "\(hundredths / 100).\(digits.count < 2 ? "0" : "")\(digits)"
        return self.style.dim(DemoText.left(text, DemoText.timeWidth))
    }

    private func wrapped(_ text: String, indent: Int = 0) -> [String] {
        Terminal.wrapped(text, columns: self.columns - indent)
    }

    private func cell(_ text: String) -> String { DemoText.left(text, DemoText.arrivalWidth) }

    /// Fills up on the left.
    private static func left(_ text: String, _ width: Int) -> String {
        String(repeating: " ", count: max(0, width - text.count)) + text
    }

    /// Fills up on the right.
    private static func right(_ text: String, _ width: Int) -> String {
        text + String(repeating: " ", count: max(0, width - text.count))
    }

    private static func cut(_ text: String, _ width: Int) -> String {
        text.count <= width ? text : text.prefix(width - 3) + "..."
    }
}
