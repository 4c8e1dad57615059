/// Where a node serves, with the ports the system chose.
package struct ReadyInfo: Sendable, Hashable {
    /// Where other nodes connect, `address:port`.
    package var listen: String
    /// Where the local API is, `address:port`.
    package var api: String

    /// Makes a description.
    package init(listen: String, api: String) {
        self.listen = listen
        self.api = api
    }
}
