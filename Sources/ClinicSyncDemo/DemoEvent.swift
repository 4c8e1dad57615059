import ClinicSync
import ClinicSyncModel

/// One thing that a demonstration shows; the events come in their order.
///
/// As JSON each is one object whose `event` names the kind; further keys are those of its structure.
package enum DemoEvent: Sendable, Encodable {
    case started(Started)
    case wrote(Wrote)
    case noted(Note)
    case proved(Proof)

    /// The PCs, when all of them run.
    package struct Started: Sendable, Encodable {
        /// A PC.
        package struct Node: Sendable, Encodable {
            package var number: Int
            package var name: String
            package var role: String
            package var address: String
            package var database: String
        }

        package let event = "started"
        package var clinic: String
        package var nodes: [Node]
        package var directory: String
    }

    /// A transaction of a program, and when the other PCs' files showed it.
    package struct Wrote: Sendable, Encodable {
        /// Another PC.
        package struct Arrival: Sendable, Encodable {
            package var node: Int
            /// From the return of COMMIT; `nil` for a PC that is cut off, or behind one that is.
            package var milliseconds: Double?
        }

        package let event = "wrote"
        package var atMilliseconds: Double
        package var node: Int
        package var name: String
        package var what: String
        package var tables: [String]
        package var arrivals: [Arrival]
    }

    /// Something that is not a transaction.
    package struct Note: Sendable, Encodable {
        /// The kind of a note.
        package enum Kind: String, Sendable, Encodable {
            /// Explains what comes next.
            case step
            /// A PC went away.
            case offline
            /// A PC came back and everything had arrived.
            case online
            /// Something was checked and held.
            case checked
            /// Something was checked and did not hold.
            case failed
        }

        package let event = "note"
        package var atMilliseconds: Double
        package var kind: Kind
        package var text: String
    }

    /// The comparison of the files at the end.
    package struct Proof: Sendable, Encodable {
        /// A table on all PCs.
        package struct Table: Sendable, Encodable {
            package var name: String
            /// One for each PC.
            package var rows: [UInt64]
            /// One for each PC.
            package var digests: [String]

            /// Whether all PCs have the same.
            package var isEqual: Bool { Set(self.digests).count == 1 && Set(self.rows).count == 1 }
        }

        package let event = "proof"
        /// Whether every table is the same on every PC, and every check held.
        package var equal: Bool
        package var nodes: [String]
        package var tables: [Table]
        package var transactions: Int
        package var latency: LatencySummary
        /// Looks that found a transaction in part.
        package var partialLooks: Int
        /// Checks that did not hold.
        package var failedChecks: Int
    }

    /// Writes the structure of the case.
    package func encode(to encoder: any Encoder) throws {
        switch self {
        case .started(let started): try started.encode(to: encoder)
        case .wrote(let wrote): try wrote.encode(to: encoder)
        case .noted(let note): try note.encode(to: encoder)
        case .proved(let proof): try proof.encode(to: encoder)
        }
    }
}

/// How long changes took, in milliseconds.
package struct LatencySummary: Sendable, Hashable, Encodable {
    /// How many were measured.
    package var count: Int
    /// Half of them took no longer; `nil` when there are none.
    package var median: Double?
    /// 99 of 100 took no longer.
    package var percentile99: Double?
    /// None took longer.
    package var maximum: Double?

    /// Summarises measurements by nearest rank.
    package init(_ milliseconds: [Double]) {
        let sorted = milliseconds.sorted()
        func rank(_ percent: Int) -> Double? {
            sorted.isEmpty ? nil : sorted[max(0, (sorted.count * percent + 99) / 100 - 1)]
        }
        self.count = sorted.count
        self.median = rank(50)
        self.percentile99 = rank(99)
        self.maximum = sorted.last
    }
}

extension Duration {
    /// Milliseconds with two digits after the point: the measurement is not more exact.
    var demoMilliseconds: Double { (self / .microseconds(10)).rounded() / 100 }
}
