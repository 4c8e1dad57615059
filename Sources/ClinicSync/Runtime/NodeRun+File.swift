import ClinicSyncCore
import ClinicSyncModel
import ClinicSyncStorage
import Foundation
import Logging

// What a run does when its database file is gone or damaged.
extension NodeRun {
    /// Ends the run when the database file is replaced, overwritten, moved or deleted, or lacks a table of the node's own.
    ///
    /// The node then writes nothing more: a new file at the path may share the write-ahead log of the old one. A file without a
    /// path is copied first, because its content would be gone with the run.
    ///
    /// - Throws: ``ClinicSyncError`` of code `databaseReplaced`, `CancellationError`.
    func watchFile() async throws {
        let path = self.settings.directory.databaseURL.path
        let watch = DatabaseFileWatch(self.storage.file)
        let fault = try await watch.run { try await self.storage.contentFault() }
        self.settings.logger.error(
            "The database file is not the one that was opened, or lacks tables of it: the node ends",
            metadata: ["file.fault": "\(fault.rawValue)"]
        )
        self.inbox.post(
            .eventOccurred(
                NamedEvent(
                    type: "database_replaced",
                    category: .system,
                    timestamp: HybridTimestamp(milliseconds: self.settings.clock.wallMilliseconds),
                    fields: ["details": .object(["fault": .text(fault.rawValue)])]
                )
            )
        )
        try await Task.sleep(for: DatabaseFileWatch.goodbye)
        self.storage.leaveFile()
        throw ClinicSyncError(.databaseReplaced, try await self.sentence(fault, watch, path: path))
    }

    /// Looks once a second after the disk, and ends the run when SQLite cannot read a page of the database and other nodes have
    /// its rows.
    ///
    /// One timer serves both, because each wakes an idle process. The look after the file itself waits for the store, so it is
    /// apart from these.
    ///
    /// The next start reads the whole file. When it is damaged, the node sets it aside and makes it again from the other nodes. The
    /// run first gives its own changes away, and the role of host. The only node of a clinic goes on with what can be read.
    ///
    /// - Throws: ``ClinicSyncError`` of code `corrupt`, `CancellationError`.
    func watchDisk() async throws {
        var waited = Duration.zero
        while waited < NodeRun.damageLimit {
            try await Task.sleep(for: SlowDiskWatch.interval)
            self.storage.diskWatch.look(on: self.settings.directory.databaseURL.path)
            guard self.state.standing?.hasDamagedFile == true,
                self.register.hasLiveMember(besides: self.state.id, at: self.settings.clock.wallMilliseconds),
                let core = await self.inbox.status()
            else { continue }
            waited += SlowDiskWatch.interval
            if waited >= NodeRun.handOverTime, core.pendingChanges == 0, core.role != .host { break }
        }
        FileSuspicion(databasePath: self.settings.directory.databaseURL.path).note()
        throw ClinicSyncError(
            .corrupt,
            "A page of the database clinic.db cannot be read: start the node again, and it makes the file again from the other PCs."
        )
    }

    /// How long a run with a damaged database goes on at least, so that another node becomes host and has its changes.
    private static let handOverTime = Duration.seconds(2)
    /// How long it goes on at most while another node has the rows.
    private static let damageLimit = Duration.seconds(60)

    /// Tells programs that the database is a new one, whose rows come from the other nodes.
    func announceRebuilt() {
        guard let rebuilt = self.storage.rebuilt else { return }
        self.inbox.post(
            .eventOccurred(
                NamedEvent(
                    type: "database_rebuilt",
                    category: .system,
                    timestamp: HybridTimestamp(milliseconds: self.settings.clock.wallMilliseconds),
                    fields: [
                        "details": .object([
                            "found": .text("\(rebuilt.found)"), "setAside": .text(rebuilt.outcome.aside ?? ""),
                        ])
                    ]
                )
            )
        )
    }

    /// Tells programs that the node has followed an epoch, and where its former database is.
    func announceFollowed() {
        guard let followed = self.storage.epoch.followed else { return }
        self.inbox.post(
            .eventOccurred(
                NamedEvent(
                    type: "clinic_brought_back",
                    category: .system,
                    timestamp: HybridTimestamp(milliseconds: self.settings.clock.wallMilliseconds),
                    fields: [
                        "details": .object([
                            "epoch": .text("\(followed.epoch.number)"),
                            "decidedBy": .text(followed.epoch.node.description),
                            "setAside": .text(followed.outcome.aside ?? ""),
                            "ownBatches": .text("\(followed.outcome.unshared)"),
                        ])
                    ]
                )
            )
        )
    }

    private func sentence(_ fault: DatabaseFileWatch.Fault, _ watch: DatabaseFileWatch, path: String) async throws
        -> String
    {
        let rescued = watch.isUnlinked ? try await self.storage.rescue(to: path + ".rescued") : nil
        let copy = rescued.map { " What the node had open is saved in \($0)." } ?? ""
        switch fault {
        case .missing:
            return "The database \(path) was moved or deleted while the node ran: put it back and start the node again."
                + copy
        case .overwritten:
            return "The database \(path) was overwritten while the node ran: start the node again, on the new content."
        case .incomplete:
            return
                "A program dropped a table of the node in \(path): start the node again, and it makes the table again."
        case .replaced:
            return "The database \(path) was replaced while the node ran: start the node again, on the new file." + copy
        }
    }
}
