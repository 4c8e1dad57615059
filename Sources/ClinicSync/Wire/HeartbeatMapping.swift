import ClinicSyncModel

extension WirePing {
    /// The wire form of a ping.
    init(_ ping: Ping) {
        self.init()
        self.id = ping.id
    }
}

extension WirePong {
    /// The wire form of a pong.
    init(_ pong: Pong) {
        self.init()
        self.id = pong.id
        self.wallMilliseconds = pong.wallMilliseconds
    }

    /// The pong.
    func model() throws(WireDecodingError) -> Pong {
        let wall = try MessageCodec.milliseconds(self.wallMilliseconds, "wall_milliseconds")
        return Pong(id: self.id, wallMilliseconds: wall)
    }
}
