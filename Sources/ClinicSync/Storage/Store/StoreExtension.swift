package import ClinicSyncCore

/// What a target above the store adds to it: events that it derives from changes, and requests of its own.
package protocol StoreExtension: EventSource {
    /// Carries out a request that the engine does not know.
    ///
    /// Called on the writing thread. Write with ``ReplicaWriter/write(_:_:)`` and read with ``ReplicaWriter/read(_:)``.
    ///
    /// - Parameters:
    ///   - request: the request.
    ///   - writer: the store.
    /// - Returns: The reply; `nil` when the request is none of this extension's.
    /// - Throws: ``StoreError``; nothing is written then.
    func reply(to request: StorageRequest, in writer: ReplicaWriter) throws -> StorageReply?
}
