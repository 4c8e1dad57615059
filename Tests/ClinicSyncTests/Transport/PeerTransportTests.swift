import ClinicSync
import ClinicSyncCore
import ClinicSyncModel
import Testing

@Suite("Connections between nodes", .timeLimit(.minutes(1)))
struct PeerTransportTests {
    @Test("both sides say hello to each other")
    func hello() async throws {
        let pair = try await TestPair()
        pair.server.send(.hello(MessageSamples.hello), over: [pair.serverSide])
        pair.client.send(.hello(MessageSamples.hello), over: [pair.clientSide])
        #expect(try await pair.client.messages(1, of: pair.clientSide) == [.hello(MessageSamples.hello)])
        #expect(try await pair.server.messages(1, of: pair.serverSide) == [.hello(MessageSamples.hello)])
        #expect(pair.client.seen.opened[0].dialled == pair.address)
        #expect(pair.server.seen.opened[0].dialled == nil)
        #expect(pair.client.seen.opened[0].peer == pair.server.identity.node)
        #expect(pair.server.seen.opened[0].peer == pair.client.identity.node)
        #expect(pair.server.transport.refusedConnections == 0)
        await pair.shutdown()
    }

    @Test("a host that speaks at once is heard")
    func immediateHello() async throws {
        // The first message can come in one packet with the upgrade's response.
        for _ in 0..<20 {
            let server = try TestPeer()
            let client = try TestPeer()
            let address = try await server.transport.listen(on: "127.0.0.1:0")
            client.transport.dial(address)
            server.send(.ping(Ping(id: 1)), over: [try await server.opened()])
            #expect(try await client.messages(1, of: client.opened()) == [.ping(Ping(id: 1))])
            await client.transport.shutdown()
            await server.transport.shutdown()
        }
    }

    @Test("10 000 messages arrive in their order")
    func order() async throws {
        let pair = try await TestPair()
        for id in 0..<10_000 as Range<UInt64> {
            pair.client.transport.send(.ping(Ping(id: id)), term: 0, over: [pair.clientSide])
            if id % 50 == 0 { pair.client.transport.flush() }
        }
        pair.client.transport.flush()
        let messages = try await pair.server.messages(10_000, of: pair.serverSide)
        #expect(messages == (0..<10_000).map { .ping(Ping(id: $0)) })
        await pair.shutdown()
    }

    @Test("large payloads arrive whole", arguments: [200 << 10, 8 << 20])
    func largePayload(bytes: Int) async throws {
        let pair = try await TestPair()
        var generator = SeededGenerator(seed: 7)
        let payload = (0..<bytes).map { _ in UInt8(truncatingIfNeeded: generator.next()) }
        let message = Message.chunk(
            BatchChunk(
                batch: MessageSamples.batch,
                index: 1,
                header: nil,
                isLast: true,
                checksum: 1,
                payload: payload
            )
        )
        pair.client.send(message, over: [pair.clientSide])
        #expect(try await pair.server.messages(1, of: pair.serverSide) == [message])
        pair.server.send(message, over: [pair.serverSide])
        #expect(try await pair.client.messages(1, of: pair.clientSide) == [message])
        await pair.shutdown()
    }

    @Test("one message goes to fifty connections")
    func fanOut() async throws {
        let server = try TestPeer()
        let client = try TestPeer()
        let address = try await server.transport.listen(on: "127.0.0.1:0")
        for _ in 0..<50 { client.transport.dial(address) }
        let ids = try await server.wait { $0.opened.count == 50 ? $0.opened.map(\.id) : nil }
        for id in 0..<20 as Range<UInt64> { server.transport.send(.ping(Ping(id: id)), term: 0, over: ids) }
        server.transport.flush()
        let expected = (0..<20).map { Message.ping(Ping(id: $0)) }
        let received = try await client.wait { seen in
            seen.messages.count == 50 && seen.messages.values.allSatisfy { $0.count == 20 } ? seen.messages : nil
        }
        #expect(received.values.allSatisfy { $0 == expected })
        #expect(Set(ids).count == 50)
        await client.transport.shutdown()
        await server.transport.shutdown()
    }

    @Test("a dial to a port where nobody listens fails once")
    func closedPort() async throws {
        let gone = try TestPeer()
        let address = try await gone.transport.listen(on: "127.0.0.1:0")
        await gone.transport.shutdown()
        let client = try TestPeer()
        client.transport.dial(address)
        #expect(try await client.wait { $0.failedDials.first } == address)
        await client.transport.shutdown()
        #expect(client.seen.failedDials == [address])
        #expect(client.seen.failures == [.refused])
        #expect(client.seen.opened.isEmpty)
    }

    @Test("addresses outside the local network are neither dialled nor listened on")
    func otherAddresses() async throws {
        let peer = try TestPeer()
        let address = "192.0.2.1:7443"
        peer.transport.dial(address)
        #expect(try await peer.wait { $0.failedDials.first } == address)
        #expect(peer.seen.failures == [.notAllowed])
        let error = await #expect(throws: ClinicSyncError.self) { try await peer.transport.listen(on: address) }
        #expect(error?.code == .addressNotAllowed)
        // The transport may listen on all addresses of this PC, because it refuses peers from outside.
        _ = try await peer.transport.listen(on: "0.0.0.0:0")
        await peer.transport.shutdown()
    }

    @Test("a port in use is a clear error")
    func portInUse() async throws {
        let first = try TestPeer()
        let address = try await first.transport.listen(on: "127.0.0.1:0")
        let error = await #expect(throws: ClinicSyncError.self) {
            try await TestPeer().transport.listen(on: address)
        }
        #expect(error?.code == .portInUse)
        #expect(error?.message == "Another program listens on \(address): stop it, or choose another port.")
        await first.transport.shutdown()
    }

    @Test("a close says goodbye with its reason after everything sent before", arguments: CloseReason.allCases)
    func close(reason: CloseReason) async throws {
        let pair = try await TestPair()
        pair.server.transport.send(.ping(Ping(id: 1)), term: 0, over: [pair.serverSide])
        pair.server.transport.close(pair.serverSide, reason: reason)
        pair.server.transport.close(pair.serverSide, reason: reason)
        try await pair.client.wait { $0.closed == [pair.clientSide] ? true : nil }
        try await pair.server.wait { $0.closed == [pair.serverSide] ? true : nil }
        #expect(pair.client.seen.messages[pair.clientSide] == [.ping(Ping(id: 1)), .goodbye(reason)])
        await pair.shutdown()
        #expect(pair.client.seen.closed.count == 1)
        #expect(pair.server.seen.closed.count == 1)
        #expect(pair.client.seen.misplaced + pair.server.seen.misplaced == 0)
    }

    @Test("a cut ends every connection on both sides without a goodbye")
    func cut() async throws {
        let pair = try await TestPair()
        pair.client.transport.dial(pair.address)
        _ = try await pair.server.opened(1)
        _ = try await pair.client.opened(1)
        pair.server.transport.cutAll()
        try await pair.server.wait { $0.closed.count == 2 ? true : nil }
        try await pair.client.wait { $0.closed.count == 2 ? true : nil }
        #expect(pair.client.seen.messages.isEmpty)
        pair.client.transport.dial(pair.address)
        _ = try await pair.client.opened(2)
        await pair.shutdown()
        #expect(pair.client.seen.misplaced + pair.server.seen.misplaced == 0)
    }

    @Test("a shutdown closes everything and opens nothing more")
    func shutdown() async throws {
        let pair = try await TestPair()
        await pair.server.transport.shutdown()
        #expect(pair.server.seen.closed == [pair.serverSide])
        try await pair.client.wait { $0.closed == [pair.clientSide] ? true : nil }
        #expect(pair.client.seen.messages[pair.clientSide] == [.goodbye(.shuttingDown)])
        pair.server.transport.dial(pair.address)
        try await pair.server.wait { $0.failedDials.count == 1 ? true : nil }
        await #expect(throws: ClinicSyncError.self) { try await pair.server.transport.listen(on: "127.0.0.1:0") }
        await pair.shutdown()
    }

    @Test("connections beyond the limit are turned away and disturb nobody")
    func connectionLimit() async throws {
        var limits = TestPeer.patient
        limits.acceptedPerAddressMax = 1
        let pair = try await TestPair(server: try TestPeer(limits: limits))
        pair.client.transport.dial(pair.address)
        try await pair.client.wait { $0.failedDials == [pair.address] ? true : nil }
        pair.client.send(.ping(Ping(id: 1)), over: [pair.clientSide])
        #expect(try await pair.server.messages(1, of: pair.serverSide) == [.ping(Ping(id: 1))])
        pair.client.transport.close(pair.clientSide, reason: .replaced)
        try await pair.server.wait { $0.closed.count == 1 ? true : nil }
        pair.client.transport.dial(pair.address)
        _ = try await pair.server.opened(1)
        await pair.shutdown()
    }
}
