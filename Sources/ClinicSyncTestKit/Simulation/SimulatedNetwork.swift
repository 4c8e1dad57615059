import ClinicSyncCore
import DequeModule

/// The connections between clients and the host.
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
    /// Its ends and pipes are those of the client at 0, of the host at 1: pipe 0 leads to the host.
    struct Link {
        let address: String
        var ends: [End]
        var pipes = [Pipe(), Pipe()]
        /// Whether the client was told that its dial succeeded.
        var wasOpened = false

        /// Whether a process at one end still counts on it.
        var isAlive: Bool { self.ends.contains { $0.isOpen } }
    }

    /// What is wrong between a client and the host.
    struct Path {
        /// Until when nothing gets through, by direction as the pipes.
        var blockedUntil: [Duration] = [.zero, .zero]
        /// Until when everything takes long.
        var slowUntil: Duration = .zero
    }

    /// All connections ever; a link's number is its index.
    var links: [Link] = []
    /// By client.
    var paths: [Path]
    private var lastID: UInt64 = 0

    init(nodes: Int) { self.paths = Array(repeating: Path(), count: nodes) }

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
