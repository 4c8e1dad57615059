/// The whole node without its sockets, files and clocks.
///
/// One value, owned by one driver: `handle` turns an input and a time into effects, which the driver
/// executes in order before it takes the next input.
package struct NodeStateMachine: Sendable {
    private let configuration: CoreConfiguration

    /// Makes the machine; nothing happens before ``Input/started(_:)``.
    package init(configuration: CoreConfiguration) {
        self.configuration = configuration
    }

    /// Handles one input.
    package mutating func handle(_ input: Input, at now: Now) -> [Effect] {
        []
    }
}
