import Metrics
import NIOConcurrencyHelpers

/// Keeps the values of metrics in memory and writes them as text for Prometheus: the backend behind `GET /metrics`.
///
/// A series is a metric with its labels; requesting the same series twice returns the same object. Timers and
/// aggregating recorders become histograms, timers in seconds. Format: Prometheus text exposition format 0.0.4.
final class PrometheusRegistry: MetricsFactory, Sendable {
    private struct Labels: Hashable, Comparable {
        var text: String

        init(_ dimensions: [(String, String)]) {
            self.text = dimensions.map { "\($0.0)=\"\(Labels.escaped($0.1))\"" }.joined(separator: ",")
        }

        static func < (left: Labels, right: Labels) -> Bool { left.text < right.text }

        private static func escaped(_ value: String) -> String {
            value.replacing("\\", with: #"\\"#).replacing("\"", with: #"\""#).replacing("\n", with: #"\n"#)
        }
    }

    private enum Series {
        case counter(PrometheusCounter)
        case gauge(PrometheusGauge)
        case histogram(PrometheusHistogram)

        /// The object behind the series, by which the swift-metrics library identifies a series that it destroys.
        var identity: ObjectIdentifier {
            switch self {
            case .counter(let counter): ObjectIdentifier(counter)
            case .gauge(let gauge): ObjectIdentifier(gauge)
            case .histogram(let histogram): ObjectIdentifier(histogram)
            }
        }

        /// The name of the kind in Prometheus' format.
        var kind: String {
            switch self {
            case .counter: "counter"
            case .gauge: "gauge"
            case .histogram: "histogram"
            }
        }
    }

    private let help: [String: String]
    private let families = NIOLockedValueBox<[String: [Labels: Series]]>([:])

    /// Makes an empty registry; `help` contains a sentence for each metric name.
    init(help: [String: String]) { self.help = help }

    /// The names of the metrics that have a series, ascending.
    var names: [String] { self.families.withLockedValue { $0.filter { !$0.value.isEmpty }.keys.sorted() } }

    /// The text of all series, ordered by the names of their metrics.
    var text: String {
        let families = self.families.withLockedValue { $0 }
        var lines: [String] = []
        for (name, series) in families.sorted(by: { $0.key < $1.key }) {
            guard let kind = series.values.first?.kind else { continue }
            if let help = self.help[name] { lines.append("# HELP \(name) \(help)") }
            lines.append("# TYPE \(name) \(kind)")
            for (labels, value) in series.sorted(by: { $0.key < $1.key }) {
                lines += PrometheusRegistry.lines(name, labels.text, value)
            }
        }
        return lines.joined(separator: "\n") + "\n"
    }

    private static func lines(_ name: String, _ labels: String, _ series: Series) -> [String] {
        func line(_ suffix: String, _ labels: String, _ value: some CustomStringConvertible) -> String {
            "\(name)\(suffix)\(labels.isEmpty ? "" : "{\(labels)}") \(value)"
        }
        switch series {
        case .counter(let counter): return [line("", labels, counter.value)]
        case .gauge(let gauge): return [line("", labels, PrometheusRegistry.number(gauge.value))]
        case .histogram(let histogram):
            let values = histogram.values
            let prefix = labels.isEmpty ? "" : labels + ","
            var sum: UInt64 = 0
            var lines = zip(PrometheusHistogram.bounds, values.counts).map { bound, count in
                sum += count
                return line("_bucket", "\(prefix)le=\"\(PrometheusRegistry.number(bound))\"", sum)
            }
            lines.append(line("_bucket", "\(prefix)le=\"+Inf\"", values.count))
            lines.append(line("_sum", labels, values.sum))
            lines.append(line("_count", labels, values.count))
            return lines
        }
    }

    /// Writes whole numbers without a decimal point.
    private static func number(_ value: Double) -> String {
        Int64(exactly: value).map { String($0) } ?? String(value)
    }

    // MARK: - MetricsFactory

    func makeCounter(label: String, dimensions: [(String, String)]) -> any CounterHandler {
        guard case .counter(let counter) = self.series(label, dimensions, { .counter(PrometheusCounter()) }) else {
            return NOOPMetricsHandler.instance
        }
        return counter
    }

    func makeMeter(label: String, dimensions: [(String, String)]) -> any MeterHandler {
        guard case .gauge(let gauge) = self.series(label, dimensions, { .gauge(PrometheusGauge()) }) else {
            return NOOPMetricsHandler.instance
        }
        return gauge
    }

    func makeRecorder(label: String, dimensions: [(String, String)], aggregate: Bool) -> any RecorderHandler {
        switch self.series(
            label,
            dimensions,
            { aggregate ? .histogram(PrometheusHistogram()) : .gauge(PrometheusGauge()) }
        ) {
        case .counter: NOOPMetricsHandler.instance
        case .gauge(let gauge): gauge
        case .histogram(let histogram): histogram
        }
    }

    func makeTimer(label: String, dimensions: [(String, String)]) -> any TimerHandler {
        guard case .histogram(let histogram) = self.series(label, dimensions, { .histogram(PrometheusHistogram()) })
        else {
            return NOOPMetricsHandler.instance
        }
        return histogram
    }

    func destroyCounter(_ handler: any CounterHandler) { self.remove(handler) }
    func destroyMeter(_ handler: any MeterHandler) { self.remove(handler) }
    func destroyRecorder(_ handler: any RecorderHandler) { self.remove(handler) }
    func destroyTimer(_ handler: any TimerHandler) { self.remove(handler) }

    private func series(_ name: String, _ dimensions: [(String, String)], _ make: () -> Series) -> Series {
        let labels = Labels(dimensions)
        return self.families.withLockedValue { families in
            if let series = families[name]?[labels] { return series }
            let series = make()
            families[name, default: [:]][labels] = series
            return series
        }
    }

    private func remove(_ handler: AnyObject) {
        let identity = ObjectIdentifier(handler)
        self.families.withLockedValue { families in
            for name in families.keys {
                families[name] = families[name]?.filter { $0.value.identity != identity }
            }
        }
    }
}

/// A number that only increases.
private final class PrometheusCounter: CounterHandler {
    private let box = NIOLockedValueBox<Int64>(0)

    var value: Int64 { self.box.withLockedValue { $0 } }

    func increment(by amount: Int64) { self.box.withLockedValue { $0 &+= amount } }

    func reset() { self.box.withLockedValue { $0 = 0 } }
}

/// A current value.
private final class PrometheusGauge: MeterHandler, RecorderHandler {
    private let box = NIOLockedValueBox<Double>(0)

    var value: Double { self.box.withLockedValue { $0 } }

    func set(_ value: Int64) { self.set(Double(value)) }
    func set(_ value: Double) { self.box.withLockedValue { $0 = value } }
    func increment(by amount: Double) { self.box.withLockedValue { $0 += amount } }
    func decrement(by amount: Double) { self.box.withLockedValue { $0 -= amount } }
    func record(_ value: Int64) { self.set(Double(value)) }
    func record(_ value: Double) { self.set(value) }
}

/// Counts of values below each of several bounds.
final class PrometheusHistogram: RecorderHandler, TimerHandler {
    /// The counts so far.
    struct Values: Sendable {
        /// The number of values up to each bound and above the previous bound.
        var counts = [UInt64](repeating: 0, count: PrometheusHistogram.bounds.count)
        /// The number of all values.
        var count: UInt64 = 0
        /// The sum of all values.
        var sum = 0.0
    }

    /// The bounds in seconds: from a round trip on the LAN to the lag of a PC that was off for a day.
    static let bounds = [
        0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 600, 3_600, 86_400,
    ]

    private let box = NIOLockedValueBox(Values())

    /// The counts so far.
    var values: Values { self.box.withLockedValue { $0 } }

    func record(_ value: Int64) { self.record(Double(value)) }

    func record(_ value: Double) {
        let index = PrometheusHistogram.bounds.firstIndex { value <= $0 }
        self.box.withLockedValue { values in
            if let index { values.counts[index] += 1 }
            values.count += 1
            values.sum += value
        }
    }

    func recordNanoseconds(_ duration: Int64) { self.record(Double(duration) / 1e9) }
}
