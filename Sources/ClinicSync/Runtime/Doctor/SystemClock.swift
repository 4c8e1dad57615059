import Glibc

/// Whether a time service keeps the PC's clock right.
enum SystemClock {
    /// Asks the kernel.
    static func findings() -> [Finding] {
        var state = timex()
        let result = adjtimex(&state)
        guard result >= 0 else { return [] }
        return [SystemClock.finding(isSynchronised: state.status & STA_UNSYNC == 0)]
    }

    /// Judges the kernel's answer.
    static func finding(isSynchronised: Bool) -> Finding {
        isSynchronised
            ? Finding(ok: "clock", "A time service keeps this PC's clock right.")
            : Finding(.clockUnsynchronised, "No time service keeps this PC's clock right.")
    }
}
