import ClinicSync
import NIOPosix

/// Several PCs of a clinic in one process: a morning's work, and proof that all come to the same tables.
package enum Demo {
    /// PCs there can be.
    package static let nodes = 2...DemoClinic.nodesMax

    /// Plays the demonstration; stops its nodes before it returns, whatever happens.
    ///
    /// - Parameters:
    ///   - nodes: how many PCs, one of ``nodes``.
    ///   - duration: how long the morning is; without it, until the end is wanted.
    ///   - directory: an existing directory for the PCs' files; nothing is removed.
    ///   - isStopWanted: asked often; the files are proven equal before it ends all the same.
    ///   - show: called with everything there is to see, one after the other.
    /// - Returns: The comparison of the files at the end.
    /// - Throws: ``ClinicSyncError``, ``DemoError``, and the errors of `show`.
    package static func run(
        nodes: Int,
        duration: Duration?,
        directory: String,
        isStopWanted: @escaping @Sendable () -> Bool,
        show: @escaping @Sendable (DemoEvent) throws -> Void
    ) async throws -> DemoEvent.Proof {
        // Each PC may have a program that writes and one that looks at once.
        let threads = NIOThreadPool(numberOfThreads: nodes * 2 + 2)
        threads.start()
        let result: Result<DemoEvent.Proof, any Error>
        do {
            let clinic = try DemoClinic(nodes: nodes, directory: directory, threads: threads, show: show)
            result = .success(
                try await self.play(clinic, duration: duration, directory: directory, isStopWanted: isStopWanted)
            )
        } catch {
            result = .failure(error)
        }
        try await threads.shutdownGracefully()
        return try result.get()
    }

    private static func play(
        _ clinic: DemoClinic,
        duration: Duration?,
        directory: String,
        isStopWanted: @escaping @Sendable () -> Bool
    ) async throws -> DemoEvent.Proof {
        try await withThrowingTaskGroup(of: Void.self) { tasks in
            for node in clinic.nodes { tasks.addTask { await node.run() } }
            do {
                try await clinic.start(directory: directory)
                var morning = DemoMorning(clinic: clinic, duration: duration, isStopWanted: isStopWanted)
                try await morning.play()
                let proof = try await clinic.prove()
                for node in clinic.nodes { node.end() }
                return proof
            } catch {
                // Cancelling ends the nodes that run; they have nothing to hand over that their files do not hold.
                for node in clinic.nodes { node.end() }
                tasks.cancelAll()
                throw error
            }
        }
    }
}
