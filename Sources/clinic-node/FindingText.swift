import ClinicSync
import Glibc

/// Findings as people read them: one line for the cause, one for the remedy.
struct FindingText {
    let style: Style
    let now: UTCTimestamp
    /// The columns of the terminal; `nil` where programs read.
    ///
    /// Longer lines go on below. Where programs read, every sentence is one line.
    var columns = FindingText.terminalColumns

    /// The lines of all findings.
    ///
    /// - Parameters:
    ///   - findings: the findings, in their order.
    ///   - indent: the spaces in front of each line.
    /// - Returns: for each finding the cause, the remedy, and the code.
    func lines(of findings: [Finding], indent: Int) -> [String] {
        let space = String(repeating: " ", count: indent)
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
            let cause = self.wrapped(finding.finding + (age ?? ""), indent: indent + 9)
            let remedy = finding.remedy.isEmpty ? [] : self.wrapped(finding.remedy, indent: indent + 9)
            let lines = [space + label + "  " + (cause.first ?? "")]
            let rest = (cause.dropFirst() + remedy).map { space + String(repeating: " ", count: 9) + $0 }
            let code = space + String(repeating: " ", count: 9) + self.style.dim("[\(finding.check)]")
            return lines + rest + (finding.state == .ok ? [] : [code])
        }
    }

    /// Breaks a text into lines at its spaces; a word that is longer than a line stays whole.
    private func wrapped(_ text: String, indent: Int) -> [String] {
        let text = TerminalText.printable(text)
        guard let columns = self.columns else { return [text] }
        let width = max(24, columns - indent)
        var lines: [String] = []
        var line = ""
        for word in text.split(separator: " ") {
            if !line.isEmpty, line.count + 1 + word.count > width {
                lines.append(line)
                line = ""
            }
            line += line.isEmpty ? String(word) : " " + word
        }
        return lines + (line.isEmpty ? [] : [line])
    }

    /// The columns of the terminal at standard output, at most 100; `nil` when it is none.
    static var terminalColumns: Int? {
        guard isatty(STDOUT_FILENO) == 1 else { return nil }
        var size = winsize()
        guard ioctl(STDOUT_FILENO, UInt(TIOCGWINSZ), &size) == 0, size.ws_col > 1 else { return 80 }
        return min(Int(size.ws_col), 100)
    }
}
