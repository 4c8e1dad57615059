import ClinicSyncModel
import Foundation
import NIOSSL
import Testing
import X509

@testable import ClinicSync

@Suite("What a node knows of its clinic")
struct TrustStoreTests {
    private let clinic: TestAuthority

    init() throws { self.clinic = try TestAuthority() }

    private func load(_ directory: TemporaryDirectory) throws -> TrustStore {
        let clock = self.clinic.clock
        return try TrustStore.load(directory: NodeDirectory(url: directory.url)) { clock.now }
    }

    @Test("a new clinic's first node holds the authority, and its files are its account's alone")
    func found() throws {
        let host = self.clinic.host
        #expect(host.holdsAuthority)
        #expect(host.maySign)
        #expect(host.ownRevocation == nil)
        #expect(host.revocations.isEmpty)
        #expect(
            host.ownCredential
                == TrustStore.Credential(
                    issuedAt: TestWallClock.start,
                    expiresAt: TestWallClock.start + 30 * 86_400_000
                )
        )
        let directory = self.clinic.directories[0]
        #expect(try directory.mode(of: "identity") == 0o700)
        for name in ["node.key", "node.crt", "ca.crt", "ca.key", "revocations.json"] {
            #expect(try directory.mode(of: "identity/\(name)") == 0o600)
        }
        let reloaded = try self.load(directory)
        #expect(reloaded.nodeID == host.nodeID)
        #expect(reloaded.clinicID == host.clinicID)
        #expect(reloaded.certificates == host.certificates)
    }

    @Test("a certificate names its node and nothing of the clinic, the PC or a person")
    func namesNothing() throws {
        let leaf = try Certificate(der: self.clinic.host.certificates[0])
        #expect("\(leaf.subject)" == "CN=\(self.clinic.host.nodeID)")
        #expect("\(leaf.issuer)" == "CN=clinic authority")
    }

    @Test("the id of a key is the beginning of the SHA-256 of its public key as openssl writes it")
    func idOfKey() throws {
        let temporary = try TemporaryDirectory()
        let key = SigningKey()
        try Data(key.pem.utf8).write(to: temporary.file("key.pem"))
        let der = temporary.file("key.der")
        let arguments = ["pkey", "-in", temporary.file("key.pem").path, "-pubout", "-outform", "DER", "-out", der.path]
        #expect(try Program.run("openssl", arguments).status == 0)
        let digest = try Program.run("openssl", ["dgst", "-sha256", "-r", der.path]).standardOutput
        let bytes = key.id.bytes.hexadecimal
        #expect(digest.hasPrefix(bytes))
        #expect(try SigningKey(pem: key.pem).id == key.id)
    }

    @Test("what prints a key prints none of it")
    func printing() {
        let key = SigningKey()
        var dumped = ""
        dump(key, to: &dumped)
        let lines = key.pem.split(separator: "\n").filter { !$0.hasPrefix("-") }
        #expect(!lines.isEmpty)
        for text in [dumped, "\(key)", String(reflecting: key)] {
            for line in lines { #expect(!text.contains(line)) }
            #expect(text.contains(key.id.description))
        }
    }

    // MARK: - Permissions

    @Test("keys that other accounts could use are refused, with the command that mends it")
    func permissions() throws {
        let directory = self.clinic.directories[0]
        for (name, mode) in [
            ("identity", 0o750), ("identity", 0o701), ("identity/node.key", 0o640), ("identity/ca.key", 0o604),
            ("identity/revocations.json", 0o620), ("identity/node.crt", 0o644),
        ] {
            let path = directory.file(name).path
            try FileManager.default.setAttributes([.posixPermissions: mode], ofItemAtPath: path)
            let message = #expect(throws: ClinicSyncError(.permission, "")) { try self.load(directory) }?.message ?? ""
            let right = name == "identity" ? "700" : "600"
            #expect(message.contains("chmod \(right) '\(path)'"))
            let command = try #require(message.components(separatedBy: ": run ").last)
            #expect(try Program.run("sh", ["-c", command]).status == 0)
            _ = try self.load(directory)
        }
    }

    @Test("the command mends several at once, whatever the path looks like")
    func quoting() throws {
        let parent = try TemporaryDirectory()
        let url = parent.file("Dr. O'Hara's; $HOME")
        let node = NodeDirectory(url: url)
        try IdentityFiles.found(at: self.clinic.clock.now).write(to: node)
        for path in [node.identityDirectoryURL.path, node.nodeKeyURL.path, node.authorityURL.path] {
            try FileManager.default.setAttributes([.posixPermissions: 0o755], ofItemAtPath: path)
        }
        let error = #expect(throws: ClinicSyncError(.permission, "")) { try IdentityFiles.read(from: node) }
        let command = try #require(error?.message.components(separatedBy: ": run ").last)
        #expect(try Program.run("sh", ["-c", command]).status == 0)
        _ = try IdentityFiles.read(from: node)
    }

    // MARK: - Damage

    @Test("files that cannot be read, or do not belong together, are damage")
    func damage() throws {
        let directory = self.clinic.directories[0]
        let node = NodeDirectory(url: directory.url)
        let other = try TestAuthority()
        let foreign = NodeDirectory(url: other.directories[0].url)
        let revocation = try other.host.revoke(SigningKey().id)
        let replacements: [(URL, [UInt8])] = [
            (node.nodeKeyURL, Array("no key".utf8)), (node.nodeKeyURL, Array(SigningKey().pem.utf8)),
            (node.certificatesURL, []), (node.authorityURL, Array("-----BEGIN CERTIFICATE-----".utf8)),
            (node.authorityKeyURL, Array(SigningKey().pem.utf8)), (node.grantURL, Array("no grant".utf8)),
            (node.grantURL, try #require(try AtomicFile.read(foreign.authorityURL))),
            (node.revocationsURL, Array("{}".utf8)),
            (node.revocationsURL, Array(try JSONEncoder().encode([Data(revocation)]))),
        ]
        for (url, bytes) in replacements {
            let good = try AtomicFile.read(url)
            try AtomicFile.write(bytes, to: url, mode: 0o600)
            #expect(throws: ClinicSyncError(.corrupt, ""), "\(url.lastPathComponent)") { try self.load(directory) }
            if let good {
                try AtomicFile.write(good, to: url, mode: 0o600)
            } else {
                try FileManager.default.removeItem(at: url)
            }
        }
        _ = try self.load(directory)
        for url in [node.nodeKeyURL, node.certificatesURL, node.authorityURL] {
            let good = try #require(try AtomicFile.read(url))
            try FileManager.default.removeItem(at: url)
            #expect(throws: ClinicSyncError(.notANode, "")) { try self.load(directory) }
            try AtomicFile.write(good, to: url, mode: 0o600)
        }
    }

    // MARK: - Own certificate

    @Test("renewal is due at two thirds of a certificate's life, and when the clock was set back before it")
    func renewalDue() {
        let host = self.clinic.host
        let day: Int64 = 86_400_000
        let start = TestWallClock.start
        #expect(!host.isRenewalDue(at: start))
        #expect(!host.isRenewalDue(at: start + 20 * day - 1))
        #expect(host.isRenewalDue(at: start + 20 * day))
        #expect(host.isRenewalDue(at: start + 40 * day))
        #expect(!host.isRenewalDue(at: start - 2 * day))
        #expect(host.isRenewalDue(at: start - 2 * day - 1))
    }

    @Test("who may sign renews its own certificate; connections from then on use it, also after a restart")
    func renewOwn() throws {
        let host = self.clinic.host
        let before = (host.serverContext, host.clientContext, host.certificates)
        #expect(host.serverContext === before.0)
        self.clinic.clock.advance(days: 25)
        try host.renewOwn()
        #expect(host.serverContext !== before.0)
        #expect(host.clientContext !== before.1)
        #expect(host.ownCredential.issuedAt == TestWallClock.start + 25 * 86_400_000)
        #expect(host.shownCertificates == [host.certificates[0], before.2[0]])
        #expect(try self.load(self.clinic.directories[0]).certificates == host.certificates)
        let directory = try TemporaryDirectory()
        let member = try self.clinic.member(in: directory)
        #expect(throws: ClinicSyncError(.refused, "")) { try member.renewOwn() }
    }

    @Test("only a certificate of this clinic, for this node, and good now, is installed")
    func install() async throws {
        let directories = try [TemporaryDirectory(), TemporaryDirectory()]
        let member = try self.clinic.member(in: directories[0])
        let another = try self.clinic.member(in: directories[1])
        let before = member.certificates
        let issuer = try self.clinic.host.requireIssuer()
        let now = self.clinic.clock.now
        let year: Int64 = 365 * 86_400_000
        let useless = [
            another.certificates, try TestAuthority().host.certificates, [], [[1, 2, 3]],
            [try CertificateRequest.selfSigned(member.key, at: now)],
            try issuer.issue(for: member.key.publicKey, at: now + year),
            try issuer.issue(for: member.key.publicKey, at: now - year),
        ]
        for certificates in useless {
            await #expect(throws: ClinicSyncError(.refused, "")) {
                try await member.install(certificates: certificates)
            }
        }
        #expect(member.certificates == before)
        self.clinic.clock.advance(days: 20)
        let renewed = try issuer.issue(for: member.key.publicKey, at: self.clinic.clock.now)
        try await member.install(certificates: renewed)
        #expect(member.certificates == renewed)
        #expect(try self.load(directories[0]).certificates == renewed)
    }

    // MARK: - Revocations on disk

    @Test("revocations, grants and rights survive a restart")
    func restart() throws {
        let directory = try TemporaryDirectory()
        let grantee = try self.clinic.grantee(in: directory)
        let nodes = (0..<3).map { _ in SigningKey().id }
        for node in nodes { try grantee.learn(revocation: self.clinic.host.revoke(node)) }
        let reloaded = try self.load(directory)
        #expect(reloaded.maySign)
        #expect(reloaded.revocations == grantee.revocations)
        #expect(reloaded.revocations.count == 3)
        #expect(nodes.allSatisfy(reloaded.isRevoked))
    }

    @Test("a revocation holds though it cannot be written, and is written as soon as that is possible")
    func unwritable() throws {
        let directory = try TemporaryDirectory()
        let member = try self.clinic.member(in: directory)
        let node = SigningKey().id
        let bytes = try self.clinic.host.revoke(node)
        // No account can replace a directory by a file.
        let url = NodeDirectory(url: directory.url).revocationsURL
        try FileManager.default.removeItem(at: url)
        try FileManager.default.createDirectory(at: url, withIntermediateDirectories: false)
        #expect(throws: ClinicSyncError.self) { try member.learn(revocation: bytes) }
        #expect(member.isRevoked(node))
        #expect(throws: ClinicSyncError.self) { try member.learn(revocation: bytes) }
        try FileManager.default.removeItem(at: url)
        #expect(try !member.learn(revocation: bytes))
        #expect(try self.load(directory).isRevoked(node))
    }

    // MARK: - openssl's opinion

    @Test("openssl verifies the chains, and finds in a certificate what it must have")
    func openssl() throws {
        let temporary = try TemporaryDirectory()
        let directory = try TemporaryDirectory()
        let grantee = try self.clinic.grantee(in: directory)
        let chain = try grantee.requireIssuer().issue(for: SigningKey().publicKey, at: self.clinic.clock.now)
        func write(_ der: [UInt8], _ name: String) throws -> String {
            let path = temporary.file(name).path
            try Data(der).write(to: temporary.file(name + ".der"))
            let output = try Program.run("openssl", ["x509", "-inform", "DER", "-in", path + ".der", "-out", path])
            #expect(output.status == 0)
            return path
        }
        let authority = try write(self.clinic.authority.der, "ca.pem")
        let grant = try write(chain[1], "grant.pem")
        let leaf = try write(chain[0], "leaf.pem")
        let own = try write(self.clinic.host.certificates[0], "own.pem")
        let time = ["-attime", "\(TestWallClock.start / 1_000)"]
        for purpose in ["sslclient", "sslserver"] {
            let options = ["verify", "-x509_strict", "-purpose", purpose] + time + ["-CAfile", authority]
            #expect(try Program.run("openssl", options + ["-untrusted", grant, leaf]).status == 0)
            #expect(try Program.run("openssl", options + [own]).status == 0)
            #expect(try Program.run("openssl", options + [leaf]).status != 0)
        }
        let text = try Program.run("openssl", ["x509", "-in", own, "-noout", "-text"]).standardOutput
        for part in [
            "URI:urn:clinicsync:node:\(self.clinic.host.nodeID)", "Digital Signature", "CA:FALSE",
            "TLS Web Server Authentication, TLS Web Client Authentication", "prime256v1", "ecdsa-with-SHA256",
        ] {
            #expect(text.contains(part), "\(part)")
        }
    }
}
