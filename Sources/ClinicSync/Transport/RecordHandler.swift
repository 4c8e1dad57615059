import NIOCore

/// Gives TLS at most one record's bytes between two flushes, so that a connection keeps little memory.
///
/// The TLS handler keeps a buffer for what it has encrypted, as large as the most bytes that ever came between two flushes, and
/// keeps it for as long as the connection lasts. (Its setting for this has no effect in version 2.37.) One large message to
/// each client would cost a host a hundred kilobytes for each of them from then on.
final class RecordHandler: ChannelOutboundHandler {
    typealias OutboundIn = ByteBuffer
    typealias OutboundOut = ByteBuffer

    /// The size of the buffer that the TLS handler begins with, which is the largest size of a record.
    static let recordBytesMax = 16 << 10
    /// What TLS 1.3 adds to each write: a header of 5 bytes, a type, and a tag of 16 bytes.
    private static let overhead = 22

    /// Bytes since the last flush.
    private var unflushed = 0

    func write(context: ChannelHandlerContext, data: NIOAny, promise: EventLoopPromise<Void>?) {
        var bytes = RecordHandler.unwrapOutboundIn(data)
        while self.unflushed + RecordHandler.overhead + bytes.readableBytes > RecordHandler.recordBytesMax {
            let room = RecordHandler.recordBytesMax - RecordHandler.overhead - self.unflushed
            if room > 0, let part = bytes.readSlice(length: room) {
                context.write(RecordHandler.wrapOutboundOut(part), promise: nil)
            }
            self.flush(context: context)
        }
        self.unflushed += RecordHandler.overhead + bytes.readableBytes
        context.write(RecordHandler.wrapOutboundOut(bytes), promise: promise)
    }

    func flush(context: ChannelHandlerContext) {
        self.unflushed = 0
        context.flush()
    }
}

@available(*, unavailable)
extension RecordHandler: Sendable {}
