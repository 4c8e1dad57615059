import NIOCore

/// The limits of `/ws`; tests use shorter times.
struct EventSocketLimits: Sendable {
    /// WebSockets at once.
    var socketsMax = 64
    /// Bytes of a message.
    var messageBytesMax = 65_536
    /// Frames of one message.
    var fragmentsMax = 64
    /// Messages and control frames a second, and in one burst.
    var messagesPerSecond = 20
    /// Malformed messages before the socket is closed.
    var errorsMax = 10
    /// The time within which the program must send the token.
    var authorizationTime = TimeAmount.seconds(5)
    /// The time between two pings.
    ///
    /// A program that does not answer one before the next is dropped.
    var pingInterval = TimeAmount.seconds(20)
    /// How long a program may read none of its events before the socket is closed.
    var stallTime = TimeAmount.seconds(30)
    /// How long a program may take to answer a close frame.
    var goodbyeTime = TimeAmount.seconds(2)
}
