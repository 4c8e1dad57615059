import ClinicSyncModel
import Crypto
import Foundation
import NIOConcurrencyHelpers

/// Admits a browser of this PC: first by a link that works once, then by a cookie.
///
/// The cookie contains its expiry and a proof that this node made it; the node stores nothing. Its key is derived from
/// the token of the local API (RFC 5869). So the cookie survives a restart of the node and becomes invalid when the
/// token changes. A browser sends a host's cookies to every port of the host, so a program of another account on this
/// PC could collect the cookie. For that reason it is valid for half a day only and cannot make further links.
final class DashboardAccess: Sendable {
    /// The cookie's name.
    static let cookieName = "clinicsync_dashboard"
    /// How long a cookie is valid: 12 hours.
    static let cookieSeconds: Int64 = 12 * 3_600
    /// How long a link is valid: a minute.
    static let linkSeconds: Int64 = 60
    /// The largest number of unopened links.
    ///
    /// A new link replaces the oldest.
    static let linksMax = 8

    private struct Link {
        var code: String
        var endsAt: Int64
    }

    private let key: SymmetricKey
    private let links = NIOLockedValueBox<[Link]>([])
    /// Seconds since 1970.
    private let now: @Sendable () -> Int64

    /// Makes the access control of a node that has this token.
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

    /// Whether a link is valid.
    ///
    /// The check consumes the link.
    func open(link code: String) -> Bool {
        let now = self.now()
        return self.links.withLockedValue { links in
            // A code has 256 random bits, so the time of the comparison does not help to guess it.
            guard let index = links.firstIndex(where: { $0.code == code }) else { return false }
            return links.remove(at: index).endsAt > now
        }
    }

    /// The value of a new cookie: version, expiry, random text, and the proof.
    func makeCookie() -> String {
        let content = "1.\(self.now() + DashboardAccess.cookieSeconds).\(DashboardAccess.random().prefix(16))"
        let proof = HMAC<SHA256>.authenticationCode(for: Data(content.utf8), using: self.key)
        return content + "." + proof.hexadecimal
    }

    /// Whether this node made the cookie and it is still valid.
    func accepts(cookie: String) -> Bool {
        guard cookie.utf8.count <= 200, let dot = cookie.lastIndex(of: ".") else { return false }
        let content = cookie[..<dot]
        guard let proof = DashboardAccess.bytes(cookie[cookie.index(after: dot)...]),
            HMAC<SHA256>.isValidAuthenticationCode(proof, authenticating: Data(content.utf8), using: self.key)
        else { return false }
        let parts = content.split(separator: ".", omittingEmptySubsequences: false)
        guard parts.count == 3, parts[0] == "1", let end = Int64(parts[1]) else { return false }
        let now = self.now()
        // Such a cookie was made before the clock was set back: it is valid for longer than a new cookie.
        return end > now && end <= now + DashboardAccess.cookieSeconds
    }

    /// Returns the dashboard's cookie from a `Cookie` header.
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
        return [UInt8](count: 32, using: &generator).hexadecimal
    }

    private static func bytes(_ text: Substring) -> [UInt8]? {
        let digits = text.utf8.compactMap { Character(Unicode.Scalar($0)).hexDigitValue }
        guard digits.count == 64, text.utf8.count == 64 else { return nil }
        return stride(from: 0, to: 64, by: 2).map { UInt8(digits[$0] << 4 | digits[$0 + 1]) }
    }
}
