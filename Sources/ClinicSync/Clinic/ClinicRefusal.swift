/// Why a request about the clinic's users, sessions or notices is refused.
///
/// The runtime turns a refusal into the one error that people see. Two refusals are equal when their kinds are.
package struct ClinicRefusal: Error, Sendable, Hashable, CustomStringConvertible {
    /// The kind of a refusal.
    package enum Kind: Sendable, Hashable {
        /// The request itself is wrong, for example a name that is too long.
        case usage
        /// A rule or the current state forbids the request.
        case refused
        /// No object has that name.
        case notFound
        /// No node decided in time.
        case undecided
    }

    /// The kind.
    package let kind: Kind
    /// One sentence for people that says what to do.
    package let message: String

    /// Makes a refusal.
    package init(_ kind: Kind, _ message: String) {
        self.kind = kind
        self.message = message
    }

    /// The sentence for people.
    package var description: String { self.message }

    /// Compares the kinds.
    package static func == (left: ClinicRefusal, right: ClinicRefusal) -> Bool { left.kind == right.kind }

    /// Hashes the kind.
    package func hash(into hasher: inout Hasher) { hasher.combine(self.kind) }
}
