import Foundation

/// A directory of its own that goes with the value that holds it.
final class TemporaryDirectory: Sendable {
    let url: URL

    init() throws {
        self.url = FileManager.default.temporaryDirectory.appending(path: "clinicsync-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: self.url, withIntermediateDirectories: true)
    }

    deinit {
        // What cannot be removed stays for the system's own clean-up; a deinit cannot report it.
        try? FileManager.default.removeItem(at: self.url)
    }

    func file(_ name: String) -> URL {
        self.url.appending(path: name)
    }

    func mode(of name: String) throws -> Int {
        let attributes = try FileManager.default.attributesOfItem(atPath: self.file(name).path)
        return (attributes[.posixPermissions] as? Int) ?? -1
    }
}
