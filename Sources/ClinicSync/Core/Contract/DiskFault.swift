/// What is wrong with the disk under a node's store.
package enum DiskFault: String, Sendable, Hashable, CaseIterable {
    /// No space is left.
    case full
    /// Nothing may be written.
    case readOnly
    /// The disk reports errors.
    case failing
    /// Every sync takes long; the store works all the same.
    case slow
}
