import NIOCore

/// What one program may cost the node over `/ws`; tests make the times short.
struct EventSocketLimits: Sendable {
    /// WebSockets at once.
    var socketsMax = 64
    /// Bytes of a message.
    var messageBytesMax = 65_536
    /// Frames that a message may come in.
    var fragmentsMax = 64
    /// Messages and control frames a second, and in one burst.
    var messagesPerSecond = 20
    /// Messages that make no sense before the socket is closed.
    var errorsMax = 10
    /// Names in one list of a subscription.
    var namesMax = 256
    /// How long the token may take.
    var authorizationTime = TimeAmount.seconds(5)
    /// Between two pings; who answers none until the next is dropped.
    var pingInterval = TimeAmount.seconds(20)
    /// How long a program may take none of the events it was sent.
    var stallTime = TimeAmount.seconds(30)
    /// How long a program may take to answer the goodbye.
    var goodbyeTime = TimeAmount.seconds(2)
    /// Events that are written together.
    var batchMax = 256
}
