import ClinicSyncModel

extension RecordCheck {
    /// The states with which messages of ranges are compared.
    private static func states(_ numbers: Range<UInt64>) -> RangeReconciliation {
        let items = numbers.map { number in
            // Three states have one stamp, as those of one batch.
            RangeReconciliation.Item(
                stamp: (1_795_000_000_000 &+ number / 3 &* 61_803) << 16,
                hash: Digest(high: SipHash.hash64(number, tweak: 1), low: SipHash.hash64(number, tweak: 2))
            )
        }
        return RangeReconciliation(items, bytesMax: 4_096)
    }

    /// Messages of ranges with fingerprints, with ids, and with both.
    package static var rangeSamples: [[UInt8]] {
        let (many, few) = (self.states(5..<900), self.states(0..<20))
        var samples = [many.first(), few.first()]
        for ranges in [self.states(0..<1_000), many] {
            let result = Result { try samples[0].withUnsafeBytes { try ranges.answer(to: $0) } }
            if case .success(let answer?) = result, !answer.isEmpty { samples.append(answer) }
        }
        return samples
    }

    /// A message of ranges.
    package func ranges(_ bytes: [UInt8]) -> Verdict {
        self.verdict {
            let written = try RecordCheck.rewritten(bytes)
            guard try RecordCheck.rewritten(written) == written else {
                return "ranges are others after they were written and read again"
            }
            let own = RecordCheck.states(0..<1_000)
            let answer = try bytes.withUnsafeBytes { try own.answer(to: $0) }
            if let answer, answer.count > own.bytesMax { return "an answer is larger than its limit" }
            let step = try bytes.withUnsafeBytes { try own.compare(with: $0) }
            return step.next?.count ?? 0 <= own.bytesMax ? nil : "a message is larger than its limit"
        }
    }

    private static func rewritten(_ bytes: [UInt8]) throws -> [UInt8] {
        try bytes.withUnsafeBytes { bytes in
            var reader = RangeReader(bytes)
            var writer = RangeWriter()
            while let range = try reader.next() {
                switch range.content {
                case .skip: writer.skip(to: range.bound)
                case .fingerprint(let fingerprint): writer.fingerprint(fingerprint, to: range.bound)
                case .ids(let ids): writer.ids(ids, to: range.bound)
                }
            }
            return writer.bytes
        }
    }
}
