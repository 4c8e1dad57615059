import NIOCore

/// The limits of `/ws`; tests use shorter times.
struct EventSocketLimits: Sendable {
    /// The largest number of open WebSockets.
    var socketsMax = 64
    /// The largest size of a message in bytes.
    var messageBytesMax = 65_536
    /// The largest number of frames in one message.
    var fragmentsMax = 64
    /// The largest number of messages and control frames in a second, and in one burst.
    var messagesPerSecond = 20
    /// The number of malformed messages after which the node closes the socket.
    var errorsMax = 10
    /// The time within which the program must send the token.
    var authorizationTime = TimeAmount.seconds(5)
    /// The time between two pings.
    ///
    /// The node drops a program that does not answer a ping before the next ping.
    var pingInterval = TimeAmount.seconds(20)
    /// How long a program may leave its events unread before the node closes the socket.
    var stallTime = TimeAmount.seconds(30)
    /// How long a program may take to answer a close frame.
    var goodbyeTime = TimeAmount.seconds(2)
}
