/// Learns when the writing connection syncs its file, so that a slow disk can be told from a busy store.
///
/// The connection calls it on its own thread, the store's writing thread.
package protocol SyncWatch: AnyObject, Sendable {
    /// A transaction commits from now on, and is on the disk when it has ended.
    func syncBegan()

    /// The transaction is on the disk, or the commit has failed.
    func syncEnded()
}
