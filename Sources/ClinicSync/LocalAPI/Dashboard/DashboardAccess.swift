import ClinicSyncModel
import Crypto
import Foundation
import NIOConcurrencyHelpers

/// Lets a browser of this PC in: by a link that works once, and then by a cookie.
///
/// The cookie says until when it is good and proves that this node made it; the node remembers nothing of it. Its key comes
/// from the token of the local API (RFC 5869), so that it outlives a restart of the node and ends with the token. A browser
/// sends cookies of a host to every port of it: a program of another account that serves pages on this PC could collect it. It
/// is therefore good for half a day alone, and makes no further links.
final class DashboardAccess: Sendable {
    /// The cookie's name.
    static let cookieName = "clinicsync_dashboard"
    /// How long a cookie is good for: 12 hours.
    static let cookieSeconds: Int64 = 12 * 3_600
    /// How long a link is good for: a minute.
    static let linkSeconds: Int64 = 60
    /// Links that wait to be opened at most; the oldest goes.
    static let linksMax = 8

    private struct Link {
        var code: String
        var endsAt: Int64
    }

    private let key: SymmetricKey
    private let links = NIOLockedValueBox<[Link]>([])
    /// Seconds since 1970.
    private let now: @Sendable () -> Int64

    /// Makes the guard of a node with that token.
    init(token: String, now: @escaping @Sendable () -> Int64 = { Int64(Date().timeIntervalSince1970) }) {
        self.key = HKDF<SHA256>.deriveKey(
            inputKeyMaterial: SymmetricKey(data: Data(token.utf8)),
            info: Data("clinicsync dashboard cookie 1".utf8),
            outputByteCount: 32
        )
        self.now = now
    }

    /// Makes the secret part of a link.
    func makeLink() -> String {
        let code = DashboardAccess.random()
        let now = self.now()
        self.links.withLockedValue { links in
            links.removeAll { $0.endsAt <= now }
            if links.count >= DashboardAccess.linksMax { links.removeFirst() }
            links.append(Link(code: code, endsAt: now + DashboardAccess.linkSeconds))
        }
        return code
    }

    /// Whether a link is good; it is used up by asking.
    func open(link code: String) -> Bool {
        let now = self.now()
        return self.links.withLockedValue { links in
            // Guessing is hopeless with 256 random bits, whatever the comparison takes.
            guard let index = links.firstIndex(where: { $0.code == code }) else { return false }
            return links.remove(at: index).endsAt > now
        }
    }

    /// The value of a new cookie: version, end, something random, and the proof.
    func makeCookie() -> String {
        let content = "1.\(self.now() + DashboardAccess.cookieSeconds).\(DashboardAccess.random().prefix(16))"
        let proof = HMAC<SHA256>.authenticationCode(for: Data(content.utf8), using: self.key)
        return content + "." + proof.hexadecimal
    }

    /// Whether this node made the cookie and it is still good.
    func accepts(cookie: String) -> Bool {
        guard cookie.utf8.count <= 200, let dot = cookie.lastIndex(of: ".") else { return false }
        let content = cookie[..<dot]
        guard let proof = DashboardAccess.bytes(cookie[cookie.index(after: dot)...]),
            HMAC<SHA256>.isValidAuthenticationCode(proof, authenticating: Data(content.utf8), using: self.key)
        else { return false }
        let parts = content.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 3, parts[0] == "1", let end = Int64(parts[1]) else { return false }
        let now = self.now()
        // One that is good for longer than any new one was made before the clock was set back.
        return end > now && end <= now + DashboardAccess.cookieSeconds
    }

    /// The dashboard's cookie among those of a `Cookie` header.
    static func cookie(in header: String) -> String? {
        for pair in header.split(separator: ";") {
            let parts = pair.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
            guard parts.count == 2, parts[0].trimmingCharacters(in: .whitespaces) == self.cookieName else { continue }
            return parts[1].trimmingCharacters(in: .whitespaces)
        }
        return nil
    }

    private static func random() -> String {
        var generator = SystemRandomNumberGenerator()
        return (0..<32).map { _ in UInt8.random(in: .min ... .max, using: &generator) }.hexadecimal
    }

    private static func bytes(_ text: Substring) -> [UInt8]? {
        let digits = text.utf8.compactMap { Character(Unicode.Scalar($0)).hexDigitValue }
        guard digits.count == 64, text.utf8.count == 64 else { return nil }
        return stride(from: 0, to: 64, by: 2).map { UInt8(digits[$0] << 4 | digits[$0 + 1]) }
    }
}
