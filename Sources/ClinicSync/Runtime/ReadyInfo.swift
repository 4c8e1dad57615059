/// The addresses of a ready node, with the ports that the system chose.
public struct ReadyInfo: Sendable, Hashable {
    /// Where other nodes connect, `address:port`.
    public var listen: String
    /// Where the local API is, `address:port`.
    public var api: String

    /// Makes a description.
    public init(listen: String, api: String) {
        self.listen = listen
        self.api = api
    }
}
