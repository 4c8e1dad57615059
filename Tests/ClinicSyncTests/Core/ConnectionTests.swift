import ClinicSyncCore
import ClinicSyncModel
import Testing

@Suite struct ConnectionTests {
    @Test("the side that dialled says hello first")
    func diallerGreets() {
        var client = Bench(.client(2))
        client.start()
        #expect(
            client.give(.connectionOpened(.c(1), dialled: "host:1", peer: .n(1))) == [
                .setTimer(.handshake(.c(1)), after: .milliseconds(1_500)),
                .send([.c(1)], .hello(.searching(.client(2)))),
            ]
        )
    }

    @Test("the side that accepted answers a hello with its own")
    func acceptorWaits() {
        var host = Bench(.host)
        host.start()
        #expect(
            host.give(.connectionOpened(.c(1), dialled: nil, peer: .n(2))) == [
                .setTimer(.handshake(.c(1)), after: .seconds(5))
            ]
        )
        #expect(
            host.give(.received(.c(1), .hello(.of(.client(2), vector: .v(0, 3))))) == [
                .cancelTimer(.handshake(.c(1))),
                .send([.c(1)], .hello(.of(.host))),
                .notify(.peerConnected(.n(2), name: "PC 2", isHost: false)),
                .storage(.locate(for: .c(1), vector: .v(0, 3), takesState: true)),
            ]
        )
    }

    @Test(
        "a hello that must not be accepted is refused with its reason and no answer",
        arguments: CloseReason.refusals
    )
    func refusals(_ reason: CloseReason) {
        var host = Bench(.host)
        host.start()
        let peer: NodeID = reason == .duplicateIdentity ? .n(1) : .n(2)
        host.give(.connectionOpened(.c(1), dialled: nil, peer: peer))
        // A peer that comes back is no news; a second process with this node's identity has a notice of its own.
        let isOwn = reason == .duplicateIdentity
        #expect(
            host.give(.received(.c(1), .hello(.refused(for: reason))))
                == (isOwn
                    ? [.notify(.connectionRefused(reason)), .close(.c(1), reason), .cancelTimer(.handshake(.c(1)))]
                    : [
                        .close(.c(1), reason), .cancelTimer(.handshake(.c(1))),
                        .notify(.peerBacksOff(.n(2), reason, isPeersWord: false)),
                    ])
        )
        #expect(host.give(.received(.c(1), .ping(Ping(id: 1)))) == [])
        #expect(host.give(.connectionClosed(.c(1))) == [])
    }

    @Test("a client keeps no connection with another client of its host")
    func clientsNeedNoConnection() {
        var client = Bench(.client(2))
        client.start()
        #expect(client.connect(1, to: .client(3)).closes == [])
        #expect(client.connect(2, to: .host, dialled: "host:1").closes == [.notHost])
        #expect(client.connect(4, to: .client(4)).closes == [.notHost])
        #expect(client.node.status(at: client.now).role == .client)
    }

    @Test("a peer that does not say hello in time is closed")
    func handshakeTimeout() {
        var host = Bench(.host)
        host.start()
        host.give(.connectionOpened(.c(1), dialled: nil, peer: .n(2)))
        #expect(host.give(.timerFired(.handshake(.c(1)))).closes == [.handshakeTimeout])
        host.connect(2, to: .client(2))
        #expect(host.give(.timerFired(.handshake(.c(2)))) == [])
    }

    @Test("a peer that was dialled and does not answer is dialled anew soon: the path may have been broken for a while")
    func mutePeer() {
        var client = Bench(.client(2))
        client.start()
        client.give(.peersFound([PeerHint(address: "host:1", node: nil, source: .configured)]))
        client.give(.connectionOpened(.c(1), dialled: "host:1", peer: .n(1)))
        let effects = client.give(.timerFired(.handshake(.c(1))))
        #expect(effects.closes == [.peerSilent])
        client.advance(.milliseconds(250))
        #expect(client.give(.timerFired(.dial)).contains(.dial(address: "host:1")))
    }

    @Test("the newer connection of a peer takes the older one's place, whichever hello came first")
    func replaced() {
        var host = Bench(.host)
        host.start()
        host.give(.connectionOpened(.c(1), dialled: nil, peer: .n(2)))
        host.connect(2, to: .client(2))
        let late = host.give(.received(.c(1), .hello(.of(.client(2)))))
        #expect(late.contains(.close(.c(1), .replaced)))
        let newer = host.connect(3, to: .client(2))
        #expect(newer.contains(.close(.c(2), .replaced)))
        let peers = host.node.status(at: host.now).peers
        #expect(peers.count == 1)
        #expect(peers.first?.isConnected == true)
    }

    @Test("connections beyond the limit are closed as overloaded")
    func overloaded() {
        var configuration = CoreConfiguration.host
        configuration.connectionsMax = 1
        var host = Bench(configuration)
        host.start()
        host.give(.connectionOpened(.c(1), dialled: nil, peer: .n(2)))
        #expect(host.give(.connectionOpened(.c(2), dialled: nil, peer: .n(2))).closes == [.overloaded])
    }

    @Test("a hello is answered only when what was written while the node was off is collected")
    func waitsForFirstCollection() {
        var host = Bench(.host)
        host.give(
            .started(
                StoreState(
                    vector: VersionVector(),
                    partials: [],
                    logHead: 0,
                    schemaVersion: 1,
                    acknowledgedByHost: 0,
                    term: 0
                )
            )
        )
        host.give(.connectionOpened(.c(1), dialled: nil, peer: .n(2)))
        #expect(host.give(.received(.c(1), .hello(.of(.client(2))))) == [])
        let slice = host.give(
            .storageReplied(.collected(.of([BatchChunk.of(1, 1, of: 2).at(1)], vector: .v(), hasMore: true)))
        )
        #expect(slice == [.storage(.collect(clockOffsetMilliseconds: 0))])
        let last = BatchChunk.of(1, 1, index: 1, of: 2).at(2)
        let effects = host.give(.storageReplied(.collected(.of([last], vector: .v(1)))))
        let hellos = effects.compactMap { effect -> Hello? in
            if case .send([.c(1)], .hello(let hello)) = effect { hello } else { nil }
        }
        #expect(hellos.map(\.vector) == [.v(1)])
        #expect(effects.requests.contains(.applyStored))
    }

    @Test("a revocation is handed on from the first message on, and closes nothing")
    func revocation() {
        var client = Bench(.client(2))
        client.start()
        client.give(.connectionOpened(.c(1), dialled: "host:1", peer: .n(1)))
        #expect(client.give(.received(.c(1), .revocation([7]))) == [.learn(.revocation([7]))])
        client.connect(2, to: .host, dialled: "host:1")
        #expect(client.give(.received(.c(2), .revocation([8]))) == [.learn(.revocation([8]))])
        #expect(client.give(.received(.c(9), .revocation([9]))) == [])
    }

    @Test("who a peer is stands in its certificate: a hello cannot change it")
    func identityIsTheCertificates() {
        var client = Bench(.client(2))
        client.start()
        client.give(.connectionOpened(.c(1), dialled: "host:1", peer: .n(3)))
        #expect(client.give(.received(.c(1), .hello(.of(.host)))).closes == [.protocolViolation])
    }

    @Test("messages out of place and undecodable bytes end the connection", arguments: Message.outOfPlace)
    func violations(_ message: Message) {
        var host = Bench(.host)
        host.start()
        host.connect(1, to: .client(2))
        #expect(host.give(.received(.c(1), message)).closes == [.protocolViolation])
        // A peer that broke the protocol must wait, so the next ones are others.
        host.give(.connectionOpened(.c(2), dialled: nil, peer: .n(3)))
        #expect(host.give(.received(.c(2), .ping(Ping(id: 1)))).closes == [.protocolViolation])
        host.connect(3, to: .client(4))
        #expect(host.give(.malformedMessageReceived(.c(3))).closes == [.protocolViolation])
    }
}

extension CloseReason {
    fileprivate static let refusals: [CloseReason] = [
        .protocolVersion, .wrongClinic, .duplicateIdentity, .protocolViolation,
    ]
}

extension Hello {
    /// A hello that a host refuses for exactly this reason.
    fileprivate static func refused(for reason: CloseReason) -> Hello {
        var hello = Hello.of(.client(2))
        switch reason {
        case .protocolVersion: hello.protocolVersion = 2
        case .wrongClinic: hello.clinicID = "other"
        // The certificate is wrong, not the hello: the node has dialled itself.
        case .duplicateIdentity: hello.runID = RunWatch.runID(seed: CoreConfiguration.host.randomSeed)
        case .protocolViolation: hello.nodeName = String(repeating: "x", count: 65)
        default: Issue.record("no hello is refused for \(reason)")
        }
        return hello
    }
}

extension Message {
    fileprivate static let outOfPlace: [Message] = [
        .hello(.of(.client(2))),
        .verifyRequest(SyncRequest(id: 1, table: nil)),
        .syncReport(SyncReport(id: 1, result: .equal, repairedRows: 0, nodes: [])),
        .chunk(.of(2, 0)),
    ]
}
