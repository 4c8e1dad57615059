import ClinicSyncDiscovery
import NIOConcurrencyHelpers
import Testing

/// `Tests/lan/discovery.py` tests discovery with a daemon.
@Suite("Discovery by Avahi, whether there is a daemon or not", .timeLimit(.minutes(1)))
struct AvahiDiscoveryTests {
    @Test("it says whether it works, takes changes and ends when it is cancelled")
    func ends() async throws {
        let discovery = AvahiDiscovery(lookingFor: "a clinic that is nowhere")
        let (events, event) = AsyncStream.makeStream(of: DiscoveryEvent.self, bufferingPolicy: .bufferingOldest(64))
        await withThrowingTaskGroup(of: Void.self) { tasks in
            tasks.addTask { try await discovery.run { event.yield($0) } }
            var first: DiscoveryEvent?
            for await noted in events {
                first = noted
                break
            }
            switch first {
            case .available, .unavailable: break
            case .found, .lost, .renamed, nil: Issue.record("\(String(describing: first))")
            }
            tasks.cancelAll()
            await #expect(throws: CancellationError.self) { try await tasks.next() }
        }
    }

    @Test("one that was cancelled before it began ends at once")
    func cancelled() async throws {
        let discovery = AvahiDiscovery(ServiceAdvertisement.sample)
        let task = NIOLockedValueBox(false)
        await withTaskGroup(of: Void.self) { tasks in
            tasks.cancelAll()
            tasks.addTask {
                do { try await discovery.run { _ in } } catch { task.withLockedValue { $0 = true } }
            }
        }
        #expect(task.withLockedValue { $0 })
    }
}
