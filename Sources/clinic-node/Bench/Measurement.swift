import ClinicSync

/// The target of a measurement.
enum Goal {
    /// There is no target.
    case none
    /// The ratio to the baseline is at most this.
    case ratioAtMost(Double)
    /// The ratio to the baseline is at least this.
    case ratioAtLeast(Double)
    /// The value is at most this.
    case valueAtMost(Double)
    /// The value is at least this.
    case valueAtLeast(Double)

    /// The number to reach.
    var target: Double? {
        switch self {
        case .none: nil
        case .ratioAtMost(let target), .ratioAtLeast(let target), .valueAtMost(let target), .valueAtLeast(let target):
            target
        }
    }

    /// How the number is meant, in JSON.
    var kind: String? {
        switch self {
        case .none: nil
        case .ratioAtMost: "ratioAtMost"
        case .ratioAtLeast: "ratioAtLeast"
        case .valueAtMost: "valueAtMost"
        case .valueAtLeast: "valueAtLeast"
        }
    }

    /// Whether it was reached.
    func isMet(value: Double, ratio: Double?) -> Bool? {
        switch self {
        case .none: nil
        case .ratioAtMost(let target): ratio.map { $0 <= target }
        case .ratioAtLeast(let target): ratio.map { $0 >= target }
        case .valueAtMost(let target): value <= target
        case .valueAtLeast(let target): value >= target
        }
    }
}

/// What a figure was measured for several amounts of.
enum SizeUnit: String, Codable {
    case nodes
    case rows
    case rowsOfTransaction = "rows a transaction"
    case writers
}

/// One figure of a benchmark and its baseline.
struct Measurement: Encodable {
    /// The name of the figure.
    let name: String
    /// The unit of values, baselines and samples.
    let unit: String
    /// The median of the samples, or another quantile that the name states.
    let value: Double
    /// The same of the baseline; `nil` when there is nothing to compare with.
    @Nullable var baseline: Double?
    /// The median of the ratios of a sample to the baseline's sample beside it, or of value to baseline.
    @Nullable var ratio: Double?
    /// The number to reach.
    @Nullable var target: Double?
    /// How the target is meant: `ratioAtMost`, `ratioAtLeast`, `valueAtMost`, `valueAtLeast`.
    @Nullable var targetKind: String?
    /// Whether it was reached.
    @Nullable var met: Bool?
    /// For how many nodes or rows it was measured, when a benchmark measures several sizes.
    @Nullable var size: Int?
    /// What the size counts.
    @Nullable var sizeUnit: SizeUnit?
    /// Every sample, in the order in which it was taken.
    let samples: [Double]
    /// Every sample of the baseline.
    let baselineSamples: [Double]

    /// A figure of samples that were taken in turns with those of the baseline.
    init(_ name: String, unit: String, samples: [Double], beside baseline: [Double] = [], goal: Goal = .none) {
        let isPaired = samples.count == baseline.count
        let ratios = isPaired ? zip(samples, baseline).map { $0 / $1 } : []
        self.init(
            name,
            unit: unit,
            value: samples.quantile(0.5),
            baseline: baseline.isEmpty ? nil : baseline.quantile(0.5),
            ratio: isPaired && !ratios.isEmpty ? ratios.quantile(0.5) : nil,
            samples: samples,
            baselineSamples: baseline,
            goal: goal
        )
    }

    /// A quantile of samples and of the baseline's.
    init(
        _ name: String,
        unit: String,
        quantile: Double,
        of samples: [Double],
        beside baseline: [Double] = [],
        goal: Goal = .none
    ) {
        self.init(
            name,
            unit: unit,
            value: samples.quantile(quantile),
            baseline: baseline.isEmpty ? nil : baseline.quantile(quantile),
            ratio: nil,
            samples: samples,
            baselineSamples: baseline,
            goal: goal
        )
    }

    /// The name with the size.
    var title: String {
        guard let size = self.size, let unit = self.sizeUnit else { return self.name }
        return "\(self.name), \(size) \(unit.rawValue)"
    }

    /// The same figure as one of several sizes.
    func of(_ size: Int, _ unit: SizeUnit) -> Measurement {
        var copy = self
        copy.size = size
        copy.sizeUnit = unit
        return copy
    }

    /// The median, the 99th percentile and the largest of delays in milliseconds.
    static func delays(
        _ name: String,
        _ samples: [Double],
        beside baseline: [Double],
        medianAtMost: Double,
        percentile99AtMost: Double
    ) -> [Measurement] {
        let quantiles: [(name: String, quantile: Double, goal: Goal)] = [
            ("median", 0.5, .valueAtMost(medianAtMost)), ("p99", 0.99, .valueAtMost(percentile99AtMost)),
            ("largest", 1, .none),
        ]
        return quantiles.map { part in
            Measurement(
                "\(name), \(part.name)",
                unit: "ms",
                quantile: part.quantile,
                of: samples,
                beside: baseline,
                goal: part.goal
            )
        }
    }

    private init(
        _ name: String,
        unit: String,
        value: Double,
        baseline: Double?,
        ratio: Double?,
        samples: [Double],
        baselineSamples: [Double],
        goal: Goal
    ) {
        let ratio = ratio ?? baseline.map { value / $0 }
        self.name = name
        self.unit = unit
        self.value = value.rounded(places: 4)
        self._baseline = Nullable(wrappedValue: baseline?.rounded(places: 4))
        self._ratio = Nullable(wrappedValue: ratio?.rounded(places: 4))
        self._target = Nullable(wrappedValue: goal.target)
        self._targetKind = Nullable(wrappedValue: goal.kind)
        self._met = Nullable(wrappedValue: goal.isMet(value: value, ratio: ratio))
        self._size = Nullable(wrappedValue: nil)
        self._sizeUnit = Nullable(wrappedValue: nil)
        self.samples = samples.map { $0.rounded(places: 4) }
        self.baselineSamples = baselineSamples.map { $0.rounded(places: 4) }
    }
}

extension [Double] {
    /// The smallest element that a share of `quantile` of all does not exceed; 0 without elements.
    func quantile(_ quantile: Double) -> Double {
        guard !self.isEmpty else { return 0 }
        let index = Int((Double(self.count) * quantile).rounded(.up)) - 1
        return self.sorted()[Swift.min(Swift.max(index, 0), self.count - 1)]
    }
}

extension Double {
    /// Rounds to so many decimal places.
    func rounded(places: Int) -> Double {
        let factor = (0..<places).reduce(1.0) { power, _ in power * 10 }
        return (self * factor).rounded() / factor
    }
}
