import ClinicSync

/// Findings as people read them: one line for the cause, one for the remedy.
struct FindingText {
    let style: Style
    let now: UTCTimestamp
    /// The columns of the terminal; `nil` where programs read.
    ///
    /// Longer lines go on below. Where programs read, every sentence is one line.
    var columns = Terminal.columns

    /// The lines of all findings.
    ///
    /// - Parameters:
    ///   - findings: the findings, in their order.
    ///   - indent: the spaces in front of each line.
    /// - Returns: for each finding the cause, the remedy, and the code.
    func lines(of findings: [Finding], indent: Int) -> [String] {
        let space = String(repeating: " ", count: indent)
        let width = self.columns.map { $0 - indent - 9 }
        return findings.flatMap { finding in
            let label: String
            switch finding.state {
            case .ok: label = self.style.good("ok     ")
            case .warning: label = self.style.warning("warning")
            case .failed: label = self.style.bad("failed ")
            }
            let age = finding.since.map { since in
                " For \(StatusText.age(seconds: Int(max(0, self.now.milliseconds - since.milliseconds) / 1_000)))."
            }
            let cause = Terminal.wrapped(finding.finding + (age ?? ""), columns: width)
            let remedy = finding.remedy.isEmpty ? [] : Terminal.wrapped(finding.remedy, columns: width)
            let lines = [space + label + "  " + (cause.first ?? "")]
            let rest = (cause.dropFirst() + remedy).map { space + String(repeating: " ", count: 9) + $0 }
            let code = space + String(repeating: " ", count: 9) + self.style.dim("[\(finding.check)]")
            return lines + rest + (finding.state == .ok ? [] : [code])
        }
    }
}
