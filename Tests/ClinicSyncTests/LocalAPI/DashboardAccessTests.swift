import Foundation
import NIOConcurrencyHelpers
import Testing

@testable import ClinicSync

@Suite struct DashboardAccessTests {
    private let clock = NIOLockedValueBox<Int64>(1_000_000)

    private func make(token: String = "secret") -> DashboardAccess {
        DashboardAccess(token: token) { [clock] in clock.withLockedValue { $0 } }
    }

    private func advance(_ seconds: Int64) { self.clock.withLockedValue { $0 += seconds } }

    @Test("a link works once")
    func once() {
        let access = self.make()
        let link = access.makeLink()
        #expect(link.count == 64 && link != access.makeLink())
        #expect(!access.open(link: "guess"))
        #expect(access.open(link: link))
        #expect(!access.open(link: link))
    }

    @Test("a link works for a minute, and eight wait at most")
    func limits() {
        let access = self.make()
        let first = access.makeLink()
        self.advance(60)
        #expect(!access.open(link: first))
        let links = (0..<9).map { _ in access.makeLink() }
        #expect(!access.open(link: links[0]))
        #expect(access.open(link: links[1]) && access.open(link: links[8]))
        self.advance(59)
        #expect(access.open(link: links[2]))
    }

    @Test("a cookie outlives the process, and ends with half a day or with the token")
    func cookie() {
        let cookie = self.make().makeCookie()
        #expect(self.make().accepts(cookie: cookie))
        #expect(!self.make(token: "other").accepts(cookie: cookie))
        self.advance(DashboardAccess.cookieSeconds - 1)
        #expect(self.make().accepts(cookie: cookie))
        self.advance(1)
        #expect(!self.make().accepts(cookie: cookie))
        // The clock was set back by a day, so earlier cookies are no longer valid.
        self.advance(-86_400)
        #expect(!self.make().accepts(cookie: cookie))
    }

    @Test("a cookie with anything changed in it is refused")
    func forged() {
        let access = self.make()
        let cookie = access.makeCookie()
        for index in cookie.indices {
            var forged = cookie
            forged.replaceSubrange(index...index, with: cookie[index] == "1" ? "2" : "1")
            #expect(!access.accepts(cookie: forged))
        }
        for text in ["", ".", "1.2.3.4", cookie + "0", cookie.uppercased() + ".", String(repeating: ".", count: 300)] {
            #expect(!access.accepts(cookie: text))
        }
    }

    @Test("the cookie is found among others")
    func header() {
        #expect(DashboardAccess.cookie(in: "a=b; clinicsync_dashboard=x=y ;c=d") == "x=y")
        #expect(DashboardAccess.cookie(in: "xclinicsync_dashboard=1; clinicsync_dashboard2=2") == nil)
    }

    private func identity(_ access: DashboardAccess, _ change: (inout RequestIdentity) -> Void) -> RequestIdentity {
        var identity = RequestIdentity(
            authority: "127.0.0.1:7451",
            cookie: "clinicsync_dashboard=" + access.makeCookie(),
            fetchSite: "same-origin",
            isRead: true,
            isMarked: false
        )
        change(&identity)
        return identity
    }

    @Test("a cookie counts only from the dashboard itself, and for changes only with the mark")
    func way() {
        let dashboard = self.make()
        let access = LocalAPIAccess(token: "secret", dashboard: dashboard)
        func way(_ change: (inout RequestIdentity) -> Void) -> LocalAPIAccess.Grant.Way? {
            access.grant(self.identity(dashboard, change))?.way
        }
        #expect(way { _ in } == .dashboard)
        #expect(way { $0.fetchSite = nil } == nil)
        #expect(
            way {
                $0.fetchSite = nil; $0.origin = "http://127.0.0.1:7451"
            } == .dashboard
        )
        for site in ["cross-site", "same-site", "none"] { #expect(way { $0.fetchSite = site } == nil) }
        #expect(
            way {
                $0.fetchSite = "same-site"; $0.origin = "http://127.0.0.1:7451"
            } == nil
        )
        #expect(way { $0.origin = "http://127.0.0.1:8080" } == nil)
        #expect(way { $0.isRead = false } == nil)
        #expect(
            way {
                $0.isRead = false; $0.isMarked = true
            } == .dashboard
        )
        #expect(way { $0.cookie = "clinicsync_dashboard=1.9999999999.x.00" } == nil)
        #expect(way { $0.cookie = nil } == nil)
        #expect(
            way {
                $0.cookie = nil; $0.authorization = "bearer secret"; $0.fetchSite = nil
            } == .nodeToken
        )
        #expect(
            way {
                $0.cookie = nil; $0.authorization = "Bearer secre"
            } == nil
        )
    }

    @Test("the page is small, whole, and its policy names exactly its own script and style")
    func page() {
        #expect(DashboardPage.dashboard.byteCount < 60_000)
        let policy = DashboardPage.dashboard.policy
        #expect(policy.hasPrefix("default-src 'none'; script-src 'sha256-"))
        #expect(policy.contains("connect-src 'self'") && policy.contains("frame-ancestors 'none'"))
        #expect(!policy.contains("unsafe"))
        for text in [
            EmbeddedDashboard.page, EmbeddedDashboard.script, EmbeddedDashboard.style, EmbeddedDashboard.closed,
        ] {
            #expect(!text.contains("innerHTML") && !text.contains("style=\"") && !text.contains("https://"))
            // The page names no other address, except the name of SVG, which browsers never fetch.
            #expect(!text.replacing("http://www.w3.org/2000/svg", with: "").contains("http://"))
        }
        #expect(EmbeddedDashboard.script.contains("textContent"))
    }
}
