import ClinicSyncCore
import DequeModule

/// The connections between nodes, each with each.
///
/// Messages are bytes. Within a connection they arrive in the order in which they were sent, or not at all; a broken
/// connection loses the end of each direction.
struct SimulatedNetwork {
    /// One direction of a connection.
    struct Pipe {
        var messages: Deque<[UInt8]> = []
        /// When the newest message arrives.
        var lastArrival: Duration = .zero
        /// Whether everything sent from now on vanishes.
        var isSwallowing = false
    }

    /// An end of a connection.
    struct End {
        let node: Int
        var process: Int
        var id: ConnectionID
        /// Whether the process still counts on it.
        var isOpen: Bool
    }

    /// One connection.
    ///
    /// End 0 dialled, end 1 accepted; pipe 0 leads from end 0 to end 1.
    struct Link {
        let address: String
        var ends: [End]
        var pipes = [Pipe(), Pipe()]
        /// Whether the end that dialled was told that its dial succeeded.
        var wasOpened = false

        /// Whether a process at one end still counts on it.
        var isAlive: Bool { self.ends.contains { $0.isOpen } }
    }

    /// What is wrong on the way from one node to another.
    struct Path {
        /// Until when nothing gets through.
        var blockedUntil: Duration = .zero
        /// Until when everything takes long.
        var slowUntil: Duration = .zero
    }

    /// All connections ever; a link's number is its index.
    var links: [Link] = []
    /// By sender, then by receiver.
    var paths: [[Path]]
    private var lastID: UInt64 = 0

    init(nodes: Int) {
        self.paths = Array(repeating: Array(repeating: Path(), count: nodes), count: nodes)
    }

    /// Whether a message from one node to another is held up at `time`.
    func isBlocked(from sender: Int, to receiver: Int, at time: Duration) -> Bool {
        self.paths[sender][receiver].blockedUntil > time
    }

    /// Whether a dial of one node to another comes to nothing at `time`.
    func isSevered(_ one: Int, _ other: Int, at time: Duration) -> Bool {
        self.isBlocked(from: one, to: other, at: time) || self.isBlocked(from: other, to: one, at: time)
    }

    /// Everything gets through again, at once.
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

    /// The numbers of connections that somebody still counts on, those at `node` alone if given.
    func living(at node: Int? = nil) -> [Int] {
        self.links.indices.filter { index in
            let link = self.links[index]
            return link.isAlive && (node == nil || link.ends.contains { $0.isOpen && $0.node == node })
        }
    }

    /// The open connection that a process knows by `id`, and which of its ends that is.
    func find(_ id: ConnectionID) -> (link: Int, end: Int)? {
        for index in self.links.indices.reversed() {
            for end in 0...1 where self.links[index].ends[end].id == id && self.links[index].ends[end].isOpen {
                return (index, end)
            }
        }
        return nil
    }
}
