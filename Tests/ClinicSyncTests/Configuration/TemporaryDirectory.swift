import Foundation

/// A directory that goes when the test ends.
final class TemporaryDirectory: Sendable {
    let url: URL

    init() throws {
        self.url = FileManager.default.temporaryDirectory
            .appendingPathComponent("clinic-test-" + UUID().uuidString)
        try FileManager.default.createDirectory(at: self.url, withIntermediateDirectories: true)
    }

    deinit {
        do {
            try FileManager.default.removeItem(at: self.url)
        } catch {
            // The test has removed it itself.
        }
    }

    func mode(of name: String) throws -> Int {
        let attributes = try FileManager.default.attributesOfItem(atPath: self.url.appendingPathComponent(name).path)
        return (attributes[.posixPermissions] as? Int) ?? -1
    }
}
