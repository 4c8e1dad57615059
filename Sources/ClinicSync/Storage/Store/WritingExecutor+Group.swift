package import ClinicSyncCore
package import ClinicSyncModel

/// What one peer sent for one request to the store.
package struct ChunkDelivery: Sendable, Hashable {
    /// The connection.
    package var connection: ConnectionID
    /// The peer; `nil` for a sender that may not replace other content of the same name.
    package var sender: ChunkSender?
    /// The chunks, in the order in which they came.
    package var chunks: [BatchChunk]
    /// Their payload bytes.
    var bytes: Int { self.chunks.reduce(0) { $0 + $1.payload.count } }

    /// Makes a delivery.
    package init(connection: ConnectionID, sender: ChunkSender?, chunks: [BatchChunk]) {
        self.connection = connection
        self.sender = sender
        self.chunks = chunks
    }

    /// The delivery of a request that stores chunks; `nil` for any other request.
    init?(_ request: StorageRequest) {
        guard case .store(let connection, let sender, let chunks) = request else { return nil }
        self.init(connection: connection, sender: sender, chunks: chunks)
    }
}

extension WritingExecutor {
    /// Returns how many of the first requests of a queue ``perform(together:)`` carries out together.
    ///
    /// Requests that store chunks of different peers are one transaction when they wait for the store at the same time, so the
    /// cost of a commit does not grow with the number of peers that write at once. A group is as large as one request may be.
    ///
    /// - Parameter requests: requests that write, in the order in which they were made.
    /// - Returns: The size of the group; 1 for a request that is carried out alone, 0 for an empty queue.
    package static func groupSize(of requests: some Sequence<StorageRequest>) -> Int {
        var (size, chunks, bytes) = (0, 0, 0)
        var batches: Set<BatchID> = []
        for request in requests {
            guard let delivery = ChunkDelivery(request) else { return max(size, 1) }
            let names = Set(delivery.chunks.map(\.batch))
            (chunks, bytes) = (chunks + delivery.chunks.count, bytes + delivery.bytes)
            // A chunk is read in full with the first chunk of its batch, which must be in the log, or in the same delivery.
            let hasRoom = chunks <= CoreLimits.storeChunksMax && bytes <= CoreLimits.storeBytesMax
            guard size == 0 || hasRoom && batches.isDisjoint(with: names) else { return size }
            batches.formUnion(names)
            size += 1
        }
        return size
    }

    /// Carries out requests that write, those of one group in one transaction.
    ///
    /// When the transaction of a group fails, each request is carried out alone. So a fault of one peer's chunks keeps no other
    /// peer's chunks out.
    ///
    /// - Parameter requests: one request, or a group as ``groupSize(of:)`` finds it.
    /// - Returns: The replies, in the order of the requests.
    package func perform(together requests: [StorageRequest]) -> [StorageReply] {
        let deliveries = requests.compactMap(ChunkDelivery.init)
        guard requests.count > 1, deliveries.count == requests.count,
            let replies = self.storeTogether(deliveries)
        else { return requests.map { self.perform($0) } }
        return replies
    }

    private func storeTogether(_ deliveries: [ChunkDelivery]) -> [StorageReply]? {
        let outcomes: [StoreOutcome]
        do {
            outcomes = try self.writer.store(deliveries, clockOffsetMilliseconds: self.clockOffset)
        } catch {
            // Each request is carried out alone now, and the one at fault reports its error.
            return nil
        }
        var replies = zip(deliveries, outcomes).map { StorageReply.stored(from: $0.connection, $1) }
        let notice = self.writer.takeNotice()
        if !notice.isEmpty { replies[0] = .noticed(notice, replies[0]) }
        return replies
    }
}
