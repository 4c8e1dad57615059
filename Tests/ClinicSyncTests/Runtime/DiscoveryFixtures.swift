import ClinicSyncDiscovery
import NIOConcurrencyHelpers

/// A discovery that finds what the test says, and keeps its announcements.
final class ScriptedDiscovery: Discovery {
    private let events: [DiscoveryEvent]
    private let state = NIOLockedValueBox<[Advertisement]>([])

    init(_ events: [DiscoveryEvent]) { self.events = events }

    var updates: [Advertisement] { self.state.withLockedValue { $0 } }

    func run(onEvent: @escaping @Sendable (DiscoveryEvent) -> Void) async throws {
        for event in self.events { onEvent(event) }
        let (never, _) = AsyncStream.makeStream(of: Void.self, bufferingPolicy: .bufferingNewest(1))
        for await _ in never {}
        try Task.checkCancellation()
    }

    func update(_ advertisement: Advertisement) { self.state.withLockedValue { $0.append(advertisement) } }
}
