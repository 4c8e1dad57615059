import ClinicSyncCore
import ClinicSyncModel
import Foundation
import Testing
import X509

@testable import ClinicSync

@Suite("The members that signatures prove") struct MemberRegisterTests {
    private let clinic: TestAuthority
    private let directories: [TemporaryDirectory]
    private let register: MemberRegister

    init() throws {
        self.clinic = try TestAuthority()
        self.directories = try (0..<4).map { _ in try TemporaryDirectory() }
        self.register = MemberRegister(trust: self.clinic.host)
    }

    private func facts(_ name: String) -> NodeStatement.Facts {
        NodeStatement.Facts(
            name: name,
            addresses: ["10.0.0.2:4747", "10.0.0.3:4747"],
            softwareVersion: "1",
            schemaVersion: 14,
            aliveAt: 86_400_000
        )
    }

    /// A member that the register of the host knows.
    private func member(_ index: Int, _ name: String) throws -> (TrustStore, MemberRegister) {
        let trust = try self.clinic.member(in: self.directories[index])
        let own = MemberRegister(trust: trust)
        #expect(self.register.learn(chain: trust.certificates) == .new)
        let statement = try own.state(self.facts(name))
        #expect(self.register.learn(statement: statement.bytes, of: trust.nodeID) == .new)
        return (trust, own)
    }

    private func name(_ node: NodeID) throws -> String {
        let member = try #require(self.register.member(node))
        return self.register.facts(of: member).name
    }

    // MARK: - Certificates

    @Test("a certificate of the clinic proves a member, by whatever clock; nothing else does")
    func certificates() throws {
        let host = self.clinic.host.nodeID
        #expect(self.register.known.present == [host])
        let key = SigningKey()
        let issuer = try self.clinic.host.requireIssuer()
        let year: Int64 = 365 * 86_400_000
        let now = self.clinic.clock.now
        let good = try issuer.issue(for: key.publicKey, at: now)[0]
        var useless: [[UInt8]] = [
            [], [0x30, 0x00], Array(repeating: 0x30, count: 5_000), self.clinic.authority.der,
            try CertificateRequest.selfSigned(key, at: now), try TestAuthority().host.certificates[0],
            try self.clinic.host.grant(to: good),
        ]
        useless.append(try Forgery(key: key).make(issuer: self.clinic.authority.certificate.subject, signer: key))
        for bytes in useless { #expect(self.register.learn(certificate: bytes, of: key.id) == .invalid) }
        // Another node's certificate does not prove this one.
        #expect(self.register.learn(certificate: self.clinic.host.certificates[0], of: key.id) == .invalid)
        #expect(self.register.known.present == [host])
        for begin in [now - 3 * year, now + 2 * year] {
            let node = SigningKey()
            let certificate = try issuer.issue(for: node.publicKey, at: begin)[0]
            #expect(self.register.learn(certificate: certificate, of: node.id) == .new)
            #expect(self.register.known.knows(node.id))
        }
        #expect(self.register.learn(certificate: good, of: key.id) == .new)
        #expect(self.register.learn(certificate: good, of: key.id) == .known)
        #expect(self.register.known.present.count == 4)
    }

    @Test("a member that a grantee certified counts when the grant is known, and until the grantee is revoked")
    func grantees() throws {
        let grantee = try self.clinic.grantee(in: self.directories[0])
        let keys = [SigningKey(), SigningKey()]
        let chains = try keys.map { try grantee.requireIssuer().issue(for: $0.publicKey, at: self.clinic.clock.now) }
        #expect(self.register.learn(certificate: chains[0][0], of: keys[0].id) == .invalid)
        for chain in chains { #expect(self.register.learn(chain: chain) == .new) }
        #expect(self.register.learn(chain: grantee.certificates) == .new)
        #expect(self.register.maySign(grantee.nodeID))
        #expect(!self.register.maySign(keys[0].id))
        _ = try self.clinic.host.revoke(grantee.nodeID, vouching: [keys[0].id])
        #expect(self.register.known.present.contains(keys[0].id))
        #expect(!self.register.known.present.contains(keys[1].id))
        #expect(self.register.known.past == [grantee.nodeID, keys[1].id].sorted())
        #expect(!self.register.maySign(grantee.nodeID))
    }

    @Test("only a valid revocation ends a membership, and a revoked node stays known as an author")
    func revocations() throws {
        let (member, _) = try self.member(0, "lab")
        var forged = try self.clinic.host.revoke(SigningKey().id)
        forged[forged.count - 1] ^= 1
        #expect(try !self.clinic.host.learn(revocation: forged))
        #expect(self.register.known.present.count == 2)
        let stranger = SigningKey().id
        for node in [member.nodeID, stranger] { _ = try self.clinic.host.revoke(node) }
        #expect(self.register.known.present == [self.clinic.host.nodeID])
        #expect(self.register.known.knows(member.nodeID) && self.register.known.knows(stranger))
        #expect(!self.register.known.knows(SigningKey().id))
    }

    // MARK: - Statements

    @Test("a node speaks for itself alone: what others sign, or nobody, changes nothing of it")
    func statements() throws {
        let (lab, own) = try self.member(0, "lab")
        let (_, hostile) = try self.member(1, "x")
        #expect(try self.name(lab.nodeID) == "lab")
        let theirs = try hostile.state(self.facts("y")).bytes
        #expect(self.register.learn(statement: theirs, of: lab.nodeID) == .invalid)
        let genuine = try own.state(self.facts("X-ray")).bytes
        for index in genuine.indices {
            var bytes = genuine
            bytes[index] ^= 0x40
            #expect(self.register.learn(statement: bytes, of: lab.nodeID) == .invalid, "byte \(index)")
        }
        for count in [0, 1, 200, genuine.count - 1] {
            #expect(self.register.learn(statement: Array(genuine.prefix(count)), of: lab.nodeID) == .invalid)
        }
        #expect(self.register.learn(statement: genuine + [0], of: lab.nodeID) == .invalid)
        #expect(try self.name(lab.nodeID) == "lab")
        #expect(self.register.learn(statement: genuine, of: lab.nodeID) == .new)
        #expect(try self.name(lab.nodeID) == "X-ray")
        // An old statement of the node brings nothing back.
        let member = try #require(self.register.member(lab.nodeID))
        let old = try NodeStatement(self.facts("lab"), number: 1, clinic: lab.clinicID, key: lab.key)
        #expect(self.register.learn(statement: old.bytes, of: lab.nodeID) == .known)
        #expect(self.register.member(lab.nodeID) == member)
        #expect(self.register.learn(statement: genuine, of: SigningKey().id) == .invalid)
    }

    @Test("a node signs again only when it has something else to say, and facts that do not fit are cut once")
    func signing() throws {
        let (_, own) = try self.member(0, "lab")
        let first = try own.state(self.facts("lab"))
        #expect(try own.state(self.facts("lab")) == first)
        var facts = self.facts("\u{7}")
        facts.addresses = (0..<40).map { "10.0.0.\($0):4747 " } + ["10.0.0.1:4747"]
        facts.softwareVersion = String(repeating: "v", count: 300)
        facts.aliveAt = -5
        let cut = try own.state(facts)
        #expect(cut.number == first.number + 1)
        #expect(cut.facts.name == String(cut.node.description.prefix(8)))
        #expect(cut.facts.addresses == ["10.0.0.1:4747"] && cut.facts.softwareVersion == "" && cut.facts.aliveAt == 0)
        #expect(try own.state(facts) == cut)
    }

    // MARK: - Names

    @Test("who may sign renames a node, the node takes the name over, and then renames itself")
    func renaming() throws {
        let (lab, own) = try self.member(0, "lab")
        #expect(throws: ClinicSyncError(.refused, "")) { try own.rename(self.clinic.host.nodeID, to: "mine") }
        let renaming = try self.register.rename(lab.nodeID, to: "X-ray")
        #expect(try self.name(lab.nodeID) == "X-ray")
        #expect(own.learn(renaming: renaming.bytes, of: lab.nodeID) == .new)
        let member = try #require(own.member(lab.nodeID))
        #expect(own.renaming(of: member)?.name == "X-ray")
        let adopted = try own.state(self.facts("X-ray"))
        #expect(self.register.learn(statement: adopted.bytes, of: lab.nodeID) == .new)
        #expect(try self.name(lab.nodeID) == "X-ray")
        let later = try own.state(self.facts("MRI"))
        #expect(self.register.learn(statement: later.bytes, of: lab.nodeID) == .new)
        #expect(try self.name(lab.nodeID) == "MRI")
        // The old name does not come back with its statement.
        #expect(self.register.learn(renaming: renaming.bytes, of: lab.nodeID) == .known)
        #expect(try self.name(lab.nodeID) == "MRI")
    }

    @Test("names that nobody with the right to sign gave do not count, nor those of a signer that was revoked")
    func forgedNames() throws {
        let (lab, _) = try self.member(0, "lab")
        let grantee = try self.clinic.grantee(in: self.directories[1])
        #expect(self.register.learn(chain: grantee.certificates) == .new)
        let authority = self.clinic.authority
        let stranger = LeafIssuer(authority: authority, key: SigningKey())
        #expect(throws: ClinicSyncError(.refused, "")) {
            try NameStatement("x", for: lab.nodeID, number: 9, authority: authority, issuer: stranger)
        }
        let name = try NameStatement(
            "theirs",
            for: lab.nodeID,
            number: 9,
            authority: authority,
            issuer: grantee.requireIssuer()
        )
        for index in stride(from: 0, to: name.bytes.count, by: 7) {
            var bytes = name.bytes
            bytes[index] ^= 0x20
            #expect(self.register.learn(renaming: bytes, of: lab.nodeID) == .invalid, "byte \(index)")
        }
        #expect(self.register.learn(renaming: name.bytes, of: grantee.nodeID) == .invalid)
        #expect(self.register.learn(renaming: name.bytes, of: lab.nodeID) == .new)
        #expect(try self.name(lab.nodeID) == "theirs")
        _ = try self.clinic.host.revoke(grantee.nodeID, vouching: [lab.nodeID])
        #expect(try self.name(lab.nodeID) == "lab")
        #expect(self.register.learn(renaming: name.bytes, of: lab.nodeID) != .new)
    }

    @Test("members with one name are shown with their ids, in any case of letters, and nobody can imitate that")
    func sameNames() throws {
        func id(_ high: UInt64) -> NodeID { NodeID(high: high << 48, low: 1) }
        func mark(_ node: NodeID) -> String { String(node.description.prefix(4)) }
        let (a, b, c, d) = (id(0x3f0a), id(0x77c1), id(0x1234), id(0x9999))
        #expect(Set([a, b, c, d].map(mark)).count == 4)
        #expect(MemberNames.shown([a: "Front", b: "Lab"]) == [a: "Front", b: "Lab"])
        #expect(
            MemberNames.shown([a: "Front", b: "front", c: "Lab"])
                == [a: "Front (\(mark(a)))", b: "front (\(mark(b)))", c: "Lab"]
        )
        let imitation = "Front (\(mark(b)))"
        #expect(MemberNames.shown([a: "Front", b: "Front", c: imitation])[c] == "\(imitation) (\(mark(c)))")
        #expect(MemberNames.shown([a: "Room (2024)", d: ""]) == [a: "Room (2024)", d: mark(d)])
        let twins = [id(0x3f0a), NodeID(high: 0x3f0a << 48 | 1, low: 1)]
        #expect(Set(twins.map(mark)).count == 1)
        #expect(Set(MemberNames.shown([twins[0]: "Lab", twins[1]: "Lab"]).values).count == 2)
    }

    @Test("two thousand PCs from one image are named in a moment, each with the shortest beginning that is its own")
    func images() throws {
        var generator = SplitMix64(seed: 7)
        let nodes = (0..<2_048).map { _ in NodeID(high: generator.next(), low: generator.next()) }
        let start = ContinuousClock.now
        let shown = MemberNames.shown(Dictionary(uniqueKeysWithValues: nodes.map { ($0, "PC") }))
        // Comparing each with each takes more than a second.
        #expect(start.duration(to: .now) < .milliseconds(700))
        for node in nodes.prefix(20) {
            let mark = try #require(shown[node]).dropFirst("PC (".count).dropLast()
            #expect(node.description.hasPrefix(mark))
            #expect(nodes.count { $0.description.hasPrefix(mark) } == 1)
            #expect(mark.count == 4 || nodes.count { $0.description.hasPrefix(mark.dropLast()) } > 1)
        }
    }

    // MARK: - The file

    @Test("what was learned survives a restart, whatever is deleted from databases; a damaged file costs no start")
    func file() throws {
        let (lab, _) = try self.member(0, "lab")
        let grantee = try self.clinic.grantee(in: self.directories[1])
        let key = SigningKey()
        #expect(self.register.learn(chain: grantee.certificates) == .new)
        let chain = try grantee.requireIssuer().issue(for: key.publicKey, at: self.clinic.clock.now)
        #expect(self.register.learn(chain: chain) == .new)
        _ = try self.register.rename(lab.nodeID, to: "X-ray")
        try self.register.save()
        let again = MemberRegister(trust: self.clinic.host)
        #expect(again.members == self.register.members)
        #expect(again.known == self.register.known)
        #expect(again.names()[lab.nodeID] == "X-ray")
        #expect(again.maySign(grantee.nodeID))
        let directory = self.clinic.directories[0]
        #expect(try directory.mode(of: "identity/members.json") == 0o600)
        for damage in ["", "[", "[{}]", #"[{"certificate":"MAA="}]"#] {
            try AtomicFile.write(
                Array(damage.utf8),
                to: NodeDirectory(url: directory.url).membersURL,
                mode: 0o600
            )
            #expect(MemberRegister(trust: self.clinic.host).known.present == [self.clinic.host.nodeID])
        }
    }
}
