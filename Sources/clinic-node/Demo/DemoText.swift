import ClinicSyncDemo

/// A demonstration as people watch it.
struct DemoText: Sendable {
    /// Up to here a change counts as "at once", above ``slow`` as slow; in milliseconds.
    private static let quick = 20.0
    private static let slow = 200.0
    /// Digits of a digest that are shown.
    private static let digestDigits = 8
    private static let roomWidth = 10
    private static let whatWidth = 38
    private static let arrivalWidth = 6

    private let style: Style
    private let isEndless: Bool

    init(style: Style, isEndless: Bool) {
        self.style = style
        self.isEndless = isEndless
    }

    /// The lines of an event.
    func lines(_ event: DemoEvent) -> [String] {
        switch event {
        case .started(let started): self.lines(started)
        case .wrote(let wrote): [self.line(wrote)]
        case .noted(let note): [self.line(note)]
        case .proved(let proof): self.lines(proof)
        }
    }

    // MARK: - The picture

    private func lines(_ started: DemoEvent.Started) -> [String] {
        var table = TextTable([
            ("PC", .left), ("STANDS AT", .left), ("ROLE", .left), ("LISTENS ON", .left), ("FILE", .left),
        ])
        for node in started.nodes {
            table.add([String(node.number), node.name, node.role, node.address, node.database])
        }
        let title = "\(started.clinic): \(started.nodes.count) PCs, each with its own SQLite file"
        let heads = started.nodes.map { DemoText.left("PC \($0.number)", DemoText.arrivalWidth) }.joined(
            separator: "  "
        )
        return [self.style.bold(title), ""] + table.lines(indent: 2, style: self.style) + [
            "",
            "Programs write plain SQL into the file of one PC. A number is the time in milliseconds from",
            "COMMIT until the file of another PC showed the rows, asked with SQL every 0.2 ms."
                + (self.isEndless ? " Ctrl-C ends it." : ""),
            "",
            self.style.dim(
                "\(DemoText.left("SECOND", 7))  \(DemoText.right("PC AT", DemoText.roomWidth))  "
                    + "\(DemoText.right("WRITES", DemoText.whatWidth))  \(heads)"
            ),
        ]
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
        let what = DemoText.right(DemoText.cut(wrote.what, DemoText.whatWidth), DemoText.whatWidth)
        let room = DemoText.right(wrote.name, DemoText.roomWidth)
        return "\(self.time(wrote.atMilliseconds))  \(room)  \(what)  \(cells.map(\.text).joined(separator: "  "))"
    }

    private func arrival(_ milliseconds: Double) -> String {
        let text = self.cell(DemoNumbers.milliseconds(milliseconds))
        if milliseconds <= DemoText.quick { return self.style.good(text) }
        return milliseconds <= DemoText.slow ? self.style.warning(text) : self.style.bad(text)
    }

    private func line(_ note: DemoEvent.Note) -> String {
        let text =
            switch note.kind {
            case .step: self.style.bold("* \(note.text)")
            case .offline: self.style.warning("- \(note.text)")
            case .online: self.style.good("+ \(note.text)")
            case .checked: self.style.good("= \(note.text)")
            case .failed: self.style.bad("! \(note.text)")
            }
        return "\(self.time(note.atMilliseconds))  \(text)"
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
            table.add(
                [entry.name, rows] + digests + [entry.isEqual ? self.style.good("equal") : self.style.bad("differs")]
            )
        }
        let count = proof.nodes.count
        return [
            "",
            self.style.bold(
                "Proof: every row of every table, read from the \(count) files after the nodes had stopped"
            ), "",
        ] + table.lines(indent: 2, style: self.style) + [""] + self.verdict(proof)
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
            lines.append(
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
        return self.style.dim(DemoText.left(text, 7))
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
