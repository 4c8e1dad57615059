import ClinicSyncDiscovery
import NIOConcurrencyHelpers
import Testing

/// Each test has the daemons that it names and no others; how several PCs find one another is shown by
/// `Tests/lan/discovery.py`.
@Suite("Discovery by Avahi", .timeLimit(.minutes(1)), .serialized)
struct AvahiDiscoveryTests {
    /// Runs discovery, hands what it notices to `body`, and cancels it.
    private func discover(_ body: (AsyncStream<DiscoveryEvent>) async throws -> Void) async throws {
        let discovery = AvahiDiscovery(lookingFor: "a clinic that is nowhere")
        let (events, event) = AsyncStream.makeStream(of: DiscoveryEvent.self, bufferingPolicy: .bufferingOldest(64))
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            tasks.addTask { try await discovery.run { event.yield($0) } }
            do {
                try await body(events)
            } catch {
                tasks.cancelAll()
                throw error
            }
            tasks.cancelAll()
            await #expect(throws: CancellationError.self) { try await tasks.next() }
        }
    }

    private func next(_ events: AsyncStream<DiscoveryEvent>) async -> DiscoveryEvent? {
        for await event in events { return event }
        return nil
    }

    /// Why discovery does not work, if that is what it says next.
    private func reason(_ events: AsyncStream<DiscoveryEvent>) async -> String? {
        guard case .unavailable(let reason) = await self.next(events) else { return nil }
        return reason
    }

    @Test("without a D-Bus it says that it does not work, and ends when it is cancelled")
    func noBus() async throws {
        let daemons = try AvahiDaemons()
        try await self.discover { events in
            let reason = await self.reason(events)
            #expect(reason?.isEmpty == false)
        }
        withExtendedLifetime(daemons) {}
    }

    @Test(
        "with a D-Bus but no daemon it names the daemon, works when that starts, and says when it goes",
        .enabled(if: AvahiDaemons.canRun, "root, avahi-daemon and dbus-daemon are needed")
    )
    func daemonComesAndGoes() async throws {
        let daemons = try AvahiDaemons()
        try await daemons.startBus()
        try await self.discover { events in
            let absent = await self.reason(events)
            #expect(absent == "avahi-daemon does not run")
            try await daemons.startAvahi()
            #expect(await self.next(events) == .available)
            daemons.killAvahi()
            let gone = await self.reason(events)
            #expect(gone?.isEmpty == false)
        }
        withExtendedLifetime(daemons) {}
    }

    @Test(
        "with a daemon it says that it works, and nothing else",
        .enabled(if: AvahiDaemons.canRun, "root, avahi-daemon and dbus-daemon are needed")
    )
    func daemonIsThere() async throws {
        let daemons = try AvahiDaemons()
        try await daemons.startBus()
        try await daemons.startAvahi()
        try await self.discover { events in
            #expect(await self.next(events) == .available)
        }
        withExtendedLifetime(daemons) {}
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
