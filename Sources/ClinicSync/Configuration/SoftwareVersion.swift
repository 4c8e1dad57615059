/// The version of this program.
package enum SoftwareVersion {
    /// The version that people and peers see.
    package static let current = "0.1.0"
}
