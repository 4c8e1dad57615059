import Foundation

/// A directory that is removed with its value.
final class TemporaryDirectory: Sendable {
    let url: URL

    init() throws {
        self.url = FileManager.default.temporaryDirectory.appending(path: "clinicsync-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: self.url, withIntermediateDirectories: true)
    }

    deinit {
        // The system cleans up files that cannot be removed here. A deinit cannot report an error.
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
