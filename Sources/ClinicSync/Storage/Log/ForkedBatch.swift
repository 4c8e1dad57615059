package import ClinicSyncModel

/// The error for two different batches with the same name: an author's number was used twice.
package struct ForkedBatch: Error, Hashable {
    /// The name of both batches.
    package var batch: BatchID
}
