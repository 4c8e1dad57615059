import ClinicSync
import ClinicSyncCore
import ClinicSyncModel
import NIOCore
import Testing

@testable import ClinicSync

@Suite("The work that one peer may cause") struct WorkMeterTests {
    private static let ping = Message.ping(Ping(id: 1))

    @Test("a burst is free; what goes beyond is read later, at the rate")
    func rate() {
        var meter = WorkMeter(rate: 100, burst: 50)
        let start = Duration.seconds(10)
        for _ in 0..<50 { meter.count(Self.ping, bytes: 0, at: start) }
        #expect(meter.wait(at: start) == nil)
        for _ in 0..<100 { meter.count(Self.ping, bytes: 0, at: start) }
        #expect(meter.wait(at: start) == .seconds(1))
        #expect(meter.wait(at: start + .milliseconds(600)) == .milliseconds(400))
        #expect(meter.wait(at: start + .seconds(1)) == nil)
    }

    @Test("a large message counts like many small ones; chunks and pages of a comparison have other limits")
    func weights() {
        var meter = WorkMeter(rate: 100, burst: 50)
        meter.count(Self.ping, bytes: 149 << 10, at: .seconds(1))
        #expect(meter.wait(at: .seconds(1)) == .seconds(1))
        var counted = WorkMeter(rate: 100, burst: 50)
        counted.count(units: WorkMeter.units(of: 149 << 10), at: .seconds(1))
        #expect(counted.wait(at: .seconds(1)) == .seconds(1))
        var other = WorkMeter(rate: 100, burst: 50)
        for message in MessageSamples.all {
            switch message {
            case .chunk, .rowHashes, .rowStates, .stateRanges, .stateWants:
                other.count(message, bytes: 1 << 20, at: .seconds(1))
            default: break
            }
        }
        #expect(other.wait(at: .seconds(1)) == nil)
    }

    @Test("chunks that cost no credit are read at the rate, when the core has counted them", .timeLimit(.minutes(1)))
    func countedByTheCore() async throws {
        var limits = TestPeer.patient
        limits.workPerSecond = 1_000
        limits.workBurst = 10
        let pair = try await TestPair(server: try TestPeer(limits: limits))
        pair.server.transport.meter(pair.serverSide, bytes: 300 << 10)
        pair.client.send(Self.ping, over: [pair.clientSide])
        _ = try await pair.server.messages(1, of: pair.serverSide)
        let start = ContinuousClock.now
        pair.client.send(Self.ping, over: [pair.clientSide])
        _ = try await pair.server.messages(2, of: pair.serverSide)
        #expect(ContinuousClock.now - start > .milliseconds(50))
        await pair.shutdown()
    }

    @Test("a peer that sends without end stays connected and is read at the rate", .timeLimit(.minutes(1)))
    func backPressure() async throws {
        var limits = TestPeer.patient
        limits.workPerSecond = 1_000
        limits.workBurst = 10
        let pair = try await TestPair(server: try TestPeer(limits: limits))
        for id in 0..<500 as Range<UInt64> { pair.client.send(.ping(Ping(id: id)), over: [pair.clientSide]) }
        _ = try await pair.server.messages(500, of: pair.serverSide)
        let start = ContinuousClock.now
        // What came with the first reads is handled; what follows waits for the half second that those were too many.
        pair.client.send(.ping(Ping(id: 500)), over: [pair.clientSide])
        _ = try await pair.server.messages(501, of: pair.serverSide)
        #expect(ContinuousClock.now - start > .milliseconds(50))
        #expect(pair.server.seen.closed.isEmpty)
        await pair.shutdown()
    }
}
