/// What happens to one PC in a run of the absence torture; `docs/ABSENCE.md` has each case in words.
package enum AbsenceCase: String, Sendable, Hashable, CaseIterable {
    /// The PC is off, or alone, until the others have pruned what it lacks; programs write on it meanwhile.
    case away
    /// An older copy of the PC's files is put back.
    case backup
    /// The PC's files are copied; the copy runs in the PC's place for a while, and then the PC itself again.
    case clone
    /// The PC loses its database.
    case wiped
    /// The PC comes back by a state, and the transfer is broken off again and again.
    case killedJoin
    /// The PC comes back by a state, is cut off in the middle of it, and the others prune their logs meanwhile.
    case prunedJoin
    /// The PC stays off and lapses; it comes back at the end of the run, or when the other cases need it.
    case dead
    /// The PC gets a state of as many pages as 1 GB has, which is broken off every two hundred pages.
    case large

    /// The cases that are tried in every order.
    package static let ordered = AbsenceCase.allCases.filter { $0 != .large }
}

/// One step of a run of the absence torture.
package struct AbsenceStep: Sendable, Hashable, CustomStringConvertible {
    /// What happens.
    package var kind: AbsenceCase
    /// Whether it happens to the host; otherwise to a client.
    package var isHost: Bool

    /// The case, and to whom it happens.
    package var description: String { "\(self.kind.rawValue)(\(self.isHost ? "host" : "client"))" }

    /// Every step that can be tried in every order.
    static let all = AbsenceCase.ordered.flatMap { kind in
        [false, true].map { AbsenceStep(kind: kind, isHost: $0) }
    }
}

/// The steps of a run, which its number decides.
///
/// The first numbers enumerate: each case alone on 2, 3 and 5 nodes, all pairs of steps in both orders on as many, and all triples
/// on 3 nodes. Numbers behind ``enumerated`` have all cases, in an order that the number draws.
package struct AbsencePlan: Sendable, Hashable, CustomStringConvertible {
    /// The number.
    package let number: UInt64
    /// How many nodes the clinic has.
    package let nodes: Int
    /// What happens, in order.
    package let steps: [AbsenceStep]

    /// The numbers of nodes that are tried.
    package static let sizes = [2, 3, 5]
    /// The first number of ``AbsenceCase/large``, of which there is one for each of ``sizes``.
    package static let large = UInt64(Self.sizes.count * AbsenceStep.all.count)
    private static let pairs = Self.large + UInt64(Self.sizes.count)
    private static let triples = Self.pairs + UInt64(Self.sizes.count * AbsenceStep.all.count * AbsenceStep.all.count)
    /// How many numbers enumerate.
    package static let enumerated =
        Self.triples + UInt64(AbsenceStep.all.count * AbsenceStep.all.count * AbsenceStep.all.count)

    /// The plan of a number.
    package init(number: UInt64) {
        self.number = number
        let steps = AbsenceStep.all
        let count = UInt64(steps.count)
        func draw(_ rest: UInt64, _ length: Int) -> [AbsenceStep] {
            var (rest, drawn) = (rest, [AbsenceStep]())
            for _ in 0..<length {
                drawn.append(steps[Int(rest % count)])
                rest /= count
            }
            return drawn
        }
        switch number {
        case ..<Self.large:
            self.nodes = Self.sizes[Int(number / count)]
            self.steps = draw(number, 1)
        case ..<Self.pairs:
            self.nodes = Self.sizes[Int(number - Self.large)]
            self.steps = [AbsenceStep(kind: .large, isHost: false)]
        case ..<Self.triples:
            let rest = number - Self.pairs
            self.nodes = Self.sizes[Int(rest / (count * count))]
            self.steps = draw(rest, 2)
        case ..<Self.enumerated:
            self.nodes = 3
            self.steps = draw(number - Self.triples, 3)
        default:
            var random = SimulationRandom(seed: number ^ 0x0_0710_0033)
            self.nodes = Self.sizes[Int(number % UInt64(Self.sizes.count))]
            var kinds = AbsenceCase.ordered
            for index in kinds.indices.dropLast() {
                kinds.swapAt(index, index + random.below(kinds.count - index))
            }
            self.steps = kinds.map { AbsenceStep(kind: $0, isHost: random.chance(50)) }
        }
    }

    /// The nodes and the steps.
    package var description: String {
        "\(self.nodes) nodes: \(self.steps.map(\.description).joined(separator: ", "))"
    }
}
