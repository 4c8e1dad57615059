/// The transcript of a run: one line for each step.
///
/// The last lines are kept, and all lines are hashed.
///
/// Two runs of one seed have the same hash, in every process.
package struct Transcript {
    /// The number of kept lines.
    private static let linesMax = 4_000

    private var ring: [String] = []
    private var next = 0
    /// The number of steps so far.
    package private(set) var count = 0
    /// FNV-1a over all lines.
    package private(set) var hash: UInt64 = 0xCBF2_9CE4_8422_2325

    /// The first violation, if any.
    package private(set) var violation: String?

    /// Whether steps are recorded; violations always are.
    private let isRecording: Bool

    /// Makes an empty transcript.
    ///
    /// - Parameter isRecording: whether steps are recorded. Without, a run is faster and has no hash.
    package init(isRecording: Bool = true) { self.isRecording = isRecording }

    /// The kept lines, the oldest first.
    package var lines: [String] { Array(self.ring[self.next...] + self.ring[..<self.next]) }

    /// Records a violation; the first report counts.
    package mutating func fail(_ time: Duration, _ what: String) {
        guard self.violation == nil else { return }
        self.violation = what
        self.add(time, "world", "VIOLATION \(what)")
    }

    /// Adds a step.
    package mutating func add(_ time: Duration, _ who: String, _ what: @autoclosure () -> String) {
        self.count += 1
        guard self.isRecording else { return }
        let microseconds = time.components.seconds * 1_000_000 + time.components.attoseconds / 1_000_000_000_000
        let line = "\(microseconds) \(who) \(what())"
        for byte in line.utf8 { self.hash = (self.hash ^ UInt64(byte)) &* 0x100_0000_01B3 }
        if self.ring.count < Transcript.linesMax {
            self.ring.append(line)
        } else {
            self.ring[self.next] = line
            self.next = (self.next + 1) % Transcript.linesMax
        }
    }
}
