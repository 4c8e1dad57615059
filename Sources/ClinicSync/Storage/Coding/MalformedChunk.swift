/// A peer's chunk is damaged or is not what it says it is.
package struct MalformedChunk: Error, Hashable {
    /// What was wrong.
    package var reason: String
}

extension MalformedChunk {
    /// Runs `body`, which reads a peer's bytes.
    static func reading<Result>(_ bytes: [UInt8], _ body: (UnsafeRawBufferPointer) throws -> Result) throws -> Result {
        do {
            return try bytes.withUnsafeBytes { try body($0) }
        } catch let malformed as MalformedRecord {
            throw MalformedChunk(reason: malformed.reason)
        }
    }
}
