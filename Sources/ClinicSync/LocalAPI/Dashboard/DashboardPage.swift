import Crypto
import Foundation
import HTTPTypes
import Hummingbird
import HummingbirdCore
import NIOCore

/// An HTML page that contains its style and script, with headers that block all other code.
///
/// The policy names style and script by their hashes. So a browser runs no code that is not part of this program, whatever data
/// the page shows. Source: W3C, "Content Security Policy Level 3".
struct DashboardPage: Sendable {
    private let html: ByteBuffer
    /// The content security policy.
    let policy: String

    /// The dashboard.
    static let dashboard = DashboardPage(
        template: EmbeddedDashboard.page,
        style: EmbeddedDashboard.style,
        script: EmbeddedDashboard.script
    )
    /// The page for browsers without access.
    static let closed = DashboardPage(template: EmbeddedDashboard.closed, style: EmbeddedDashboard.style, script: nil)

    init(template: String, style: String, script: String?) {
        var html = template.replacing("<style></style>", with: "<style>\(style)</style>", maxReplacements: 1)
        if let script {
            html = html.replacing("<script></script>", with: "<script>\(script)</script>", maxReplacements: 1)
        }
        self.html = ByteBuffer(string: html)
        let scripts = script.map(DashboardPage.source) ?? "'none'"
        self.policy =
            "default-src 'none'; script-src \(scripts); style-src \(DashboardPage.source(style)); connect-src 'self'; "
            + "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    }

    /// The size of the page in bytes.
    var byteCount: Int { self.html.readableBytes }

    /// The answer with this page.
    func response(_ status: HTTPResponse.Status = .ok) -> Response {
        var headers = DashboardPage.protection
        headers[.contentType] = "text/html; charset=utf-8"
        headers[.contentSecurityPolicy] = self.policy
        return Response(status: status, headers: headers, body: ResponseBody(byteBuffer: self.html))
    }

    /// Headers of every answer that a browser shows.
    static var protection: HTTPFields {
        var headers: HTTPFields = [.cacheControl: "no-store", .xContentTypeOptions: "nosniff"]
        for (name, value) in [
            ("Referrer-Policy", "no-referrer"), ("X-Frame-Options", "DENY"),
            ("Cross-Origin-Opener-Policy", "same-origin"),
            ("Cross-Origin-Resource-Policy", "same-origin"),
        ] {
            if let name = HTTPField.Name(name) { headers[name] = value }
        }
        return headers
    }

    /// Returns the source expression that admits exactly this text in a policy.
    private static func source(_ text: String) -> String {
        "'sha256-\(Data(SHA256.hash(data: Data(text.utf8))).base64EncodedString())'"
    }
}
