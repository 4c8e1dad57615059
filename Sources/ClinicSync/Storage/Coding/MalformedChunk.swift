/// A peer's chunk is damaged or is not what it says it is.
package struct MalformedChunk: Error, Hashable {
    /// What was wrong.
    package var reason: String
}
