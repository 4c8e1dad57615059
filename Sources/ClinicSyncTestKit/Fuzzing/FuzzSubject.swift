import ClinicSyncModel

/// A decoder with what it promises, for mutated and arbitrary input.
package struct FuzzSubject: Sendable {
    /// Its name for reports.
    package let name: String
    /// Well-formed inputs to begin with.
    package let corpus: [[UInt8]]
    /// Decodes an input and checks the decoder's promises; returns whether it was accepted.
    package let decode: @Sendable (_ bytes: [UInt8]) throws(FuzzFailure) -> Bool

    /// Makes a subject.
    package init(
        name: String,
        corpus: [[UInt8]],
        decode: @escaping @Sendable (_ bytes: [UInt8]) throws(FuzzFailure) -> Bool
    ) {
        self.name = name
        self.corpus = corpus
        self.decode = decode
    }
}

/// A decoder broke a promise.
package struct FuzzFailure: Error, Hashable, CustomStringConvertible {
    /// Which promise, in a sentence.
    package var reason: String

    /// Makes a failure.
    package init(_ reason: String) { self.reason = reason }

    /// The reason.
    package var description: String { self.reason }
}

/// Gives a subject many mutated inputs; what they are depends on the seed alone.
package struct FuzzRun: Sendable {
    /// What came of it.
    package struct Summary: Sendable, Hashable {
        /// Inputs the decoder accepted.
        package var accepted = 0
        /// Inputs it refused.
        package var refused = 0
    }

    /// A broken promise with what is needed to see it again.
    package struct Finding: Error, CustomStringConvertible {
        /// The subject's name.
        package var subject: String
        /// The run's seed.
        package var seed: UInt64
        /// How many inputs came before.
        package var index: Int
        /// The input.
        package var input: [UInt8]
        /// What broke.
        package var failure: FuzzFailure

        /// Everything, the input in hexadecimal.
        package var description: String {
            let digits = self.input.hexadecimal
            return "\(self.subject), seed \(self.seed), input \(self.index): \(self.failure) [\(digits)]"
        }
    }

    /// Inputs are cut to this length: large enough for every path of a decoder, small enough for many of them.
    package static let inputBytesMax = 8 << 10

    private let seed: UInt64
    private let count: Int

    /// Prepares `count` inputs.
    package init(seed: UInt64, count: Int) {
        self.seed = seed
        self.count = count
    }

    /// Runs them, after the corpus itself, which the subject must accept.
    ///
    /// - Throws: ``Finding``, the first one.
    package func run(_ subject: FuzzSubject) throws(Finding) -> Summary {
        var summary = Summary()
        for input in subject.corpus where try !self.decode(input, subject, -1) {
            throw self.finding(-1, input, subject, FuzzFailure("a well-formed input was refused"))
        }
        var mutator = FuzzMutator(seed: self.seed)
        for index in 0..<self.count {
            let input = mutator.next(subject.corpus)
            if try self.decode(input, subject, index) { summary.accepted += 1 } else { summary.refused += 1 }
        }
        return summary
    }

    private func decode(_ input: [UInt8], _ subject: FuzzSubject, _ index: Int) throws(Finding) -> Bool {
        do {
            return try subject.decode(input)
        } catch {
            throw self.finding(index, input, subject, error)
        }
    }

    private func finding(_ index: Int, _ input: [UInt8], _ subject: FuzzSubject, _ failure: FuzzFailure) -> Finding {
        Finding(subject: subject.name, seed: self.seed, index: index, input: input, failure: failure)
    }
}
