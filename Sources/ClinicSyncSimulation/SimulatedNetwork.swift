import ClinicSyncCore
import DequeModule

/// The connections between all pairs of nodes.
///
/// Messages are bytes. Within a connection they arrive in the order in which they were sent, or not at all; a broken
/// connection loses the end of each direction.
struct SimulatedNetwork {
    /// One direction of a connection.
    struct Pipe {
        var messages: Deque<[UInt8]> = []
        /// The time at which the newest message arrives.
        var lastArrival: Duration = .zero
        /// Whether all later messages vanish.
        var isSwallowing = false
    }

    /// An end of a connection.
    struct End {
        let node: Int
        var process: Int
        var id: ConnectionID
        /// Whether the process still uses the connection.
        var isOpen: Bool
    }

    /// One connection.
    ///
    /// End 0 dialled, end 1 accepted; pipe 0 leads from end 0 to end 1.
    struct Link {
        let address: String
        var ends: [End]
        var pipes = [Pipe(), Pipe()]
        /// Whether the dialling end has learned that its dial succeeded.
        var wasOpened = false
        /// Whether the dialling end has given up its dial.
        var isAbandoned = false

        /// Whether a process at one end still uses the connection.
        var isAlive: Bool { self.ends.contains { $0.isOpen } }
    }

    /// The faults on the path from one node to another.
    struct Path {
        /// The end of a time in which no message gets through.
        var blockedUntil: Duration = .zero
        /// The end of a time in which every message is slow.
        var slowUntil: Duration = .zero
    }

    /// All connections ever; a link's number is its index.
    var links: [Link] = []
    /// Where the ends of all connections are.
    private var places: [ConnectionID: (link: Int, end: Int)] = [:]
    /// By sender, then by receiver.
    var paths: [[Path]]
    private var lastID: UInt64 = 0

    init(nodes: Int) {
        self.paths = Array(repeating: Array(repeating: Path(), count: nodes), count: nodes)
    }

    /// Whether a message from one node to another is delayed at `time`.
    func isBlocked(from sender: Int, to receiver: Int, at time: Duration) -> Bool {
        self.paths[sender][receiver].blockedUntil > time
    }

    /// Whether a dial from one node to another fails at `time`.
    func isSevered(_ one: Int, _ other: Int, at time: Duration) -> Bool {
        self.isBlocked(from: one, to: other, at: time) || self.isBlocked(from: other, to: one, at: time)
    }

    /// Removes all faults: every message gets through again, at once.
    mutating func mend() {
        for sender in self.paths.indices {
            for receiver in self.paths.indices { self.paths[sender][receiver] = Path() }
        }
    }

    /// A connection's new id.
    mutating func nextID() -> ConnectionID {
        self.lastID += 1
        return ConnectionID(rawValue: self.lastID)
    }

    /// The numbers of connections that a process still uses; only those at `node`, if given.
    func living(at node: Int? = nil) -> [Int] {
        self.links.indices.filter { index in
            let link = self.links[index]
            return link.isAlive && (node == nil || link.ends.contains { $0.isOpen && $0.node == node })
        }
    }

    /// The open connection with this `id` in the process, and the process's end of it.
    func find(_ id: ConnectionID) -> (link: Int, end: Int)? {
        self.places[id].flatMap { self.links[$0.link].ends[$0.end].isOpen ? $0 : nil }
    }

    /// Adds a connection between two ends, of which the first dialled.
    ///
    /// - Returns: Its number.
    mutating func connect(_ ends: [End], address: String) -> Int {
        self.links.append(Link(address: address, ends: ends))
        for (place, end) in ends.enumerated() { self.places[end.id] = (self.links.count - 1, place) }
        return self.links.count - 1
    }
}
