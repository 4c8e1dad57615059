/// The version of this program.
package enum SoftwareVersion {
    /// As people and peers are told.
    package static let current = "0.1.0"
}
