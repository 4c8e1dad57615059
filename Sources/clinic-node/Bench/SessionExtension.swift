import ClinicSync
import Glibc

/// SQLite's session extension, which records the changes of a connection and applies them to another file.
///
/// It is what a program has without ClinicSync: it knows nothing of other authors, of order, or of a network. A SQLite that was
/// built without it lacks its functions, so they are looked up when the program runs.
struct SessionExtension {
    private typealias Create =
        @convention(c) (
            OpaquePointer?, UnsafePointer<CChar>?, UnsafeMutablePointer<OpaquePointer?>?
        ) -> Int32
    private typealias Attach = @convention(c) (OpaquePointer?, UnsafePointer<CChar>?) -> Int32
    private typealias Delete = @convention(c) (OpaquePointer?) -> Void
    private typealias Changeset =
        @convention(c) (
            OpaquePointer?, UnsafeMutablePointer<Int32>?, UnsafeMutablePointer<UnsafeMutableRawPointer?>?
        ) -> Int32
    private typealias Filter = @convention(c) (UnsafeMutableRawPointer?, UnsafePointer<CChar>?) -> Int32
    private typealias Conflict = @convention(c) (UnsafeMutableRawPointer?, Int32, OpaquePointer?) -> Int32
    private typealias Apply =
        @convention(c) (
            OpaquePointer?, Int32, UnsafeMutableRawPointer?, Filter?, Conflict?, UnsafeMutableRawPointer?
        ) -> Int32
    private typealias Free = @convention(c) (UnsafeMutableRawPointer?) -> Void

    private let create: Create
    private let attach: Attach
    private let delete: Delete
    private let changeset: Changeset
    private let apply: Apply
    private let free: Free

    /// Looks the functions up; `nil` when SQLite lacks them.
    init?() {
        guard let create = dlsym(nil, "sqlite3session_create"), let attach = dlsym(nil, "sqlite3session_attach"),
            let delete = dlsym(nil, "sqlite3session_delete"), let changeset = dlsym(nil, "sqlite3session_changeset"),
            let apply = dlsym(nil, "sqlite3changeset_apply"), let free = dlsym(nil, "sqlite3_free")
        else { return nil }
        self.create = unsafeBitCast(create, to: Create.self)
        self.attach = unsafeBitCast(attach, to: Attach.self)
        self.delete = unsafeBitCast(delete, to: Delete.self)
        self.changeset = unsafeBitCast(changeset, to: Changeset.self)
        self.apply = unsafeBitCast(apply, to: Apply.self)
        self.free = unsafeBitCast(free, to: Free.self)
    }

    /// Records what `body` changes through the connection.
    func record(_ connection: ProgramConnection, _ body: () throws -> Void) throws -> [UInt8] {
        var session: OpaquePointer?
        try self.check(self.create(connection.handle, "main", &session))
        defer { self.delete(session) }
        try self.check(self.attach(session, nil))
        try body()
        var count: Int32 = 0
        var bytes: UnsafeMutableRawPointer?
        try self.check(self.changeset(session, &count, &bytes))
        defer { self.free(bytes) }
        return Array(UnsafeRawBufferPointer(start: bytes, count: Int(count)))
    }

    /// Applies recorded changes in one transaction, which a conflict ends.
    func apply(_ changes: inout [UInt8], to connection: ProgramConnection) throws {
        let abort: Conflict = { _, _, _ in 2 }  // SQLITE_CHANGESET_ABORT
        let code = changes.withUnsafeMutableBytes {
            self.apply(connection.handle, Int32($0.count), $0.baseAddress, nil, abort, nil)
        }
        try self.check(code)
    }

    private func check(_ code: Int32) throws {
        guard code == 0 else {
            throw ClinicSyncError(
                .storage,
                "SQLite's session extension failed (code \(code)): run the benchmark again."
            )
        }
    }
}
