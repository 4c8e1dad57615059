import Foundation
import NIOPosix

/// Tests a node and its PC actively, for `clinic-node doctor`.
///
/// The tests change nothing. One of them writes a small file beside the database and removes it.
package struct Doctor: Sendable {
    /// What the tests found.
    package struct Examination: Sendable, Encodable {
        /// The result of each test, and the findings of the node, the worst first.
        package var findings: [Finding]
        /// The number of tests that found nothing.
        package var ok: Int
        /// The number of warnings.
        package var warnings: Int
        /// The number of failures.
        package var failed: Int

        /// Orders and counts findings; of several about one thing the first counts.
        package init(_ findings: [Finding]) {
            var known: Set<[String?]> = []
            self.findings = Finding.ordered(findings.filter { known.insert([$0.check, $0.subject]).inserted })
            self.ok = self.findings.count { $0.state == .ok }
            self.warnings = self.findings.count { $0.state == .warning }
            self.failed = self.findings.count { $0.state == .failed }
        }

        /// The last line for people.
        package var score: String {
            let all = self.findings.count
            guard self.warnings > 0 || self.failed > 0 else { return "All \(all) checks are well." }
            return "\(self.ok) of \(all) checks are well, \(self.warnings) warning\(self.warnings == 1 ? "" : "s"), "
                + "\(self.failed) failed."
        }
    }

    let directory: NodeDirectory
    let configuration: NodeConfiguration

    /// Prepares the tests of the node in `directory` with these settings.
    package init(directory: NodeDirectory, configuration: NodeConfiguration) {
        self.directory = directory
        self.configuration = configuration
    }

    /// Runs all tests; takes a few seconds.
    ///
    /// - Throws: ``ClinicSyncError`` of code `notANode`, or `permission` when the account may not read the node's files.
    package func examine() async throws -> (examination: Examination, status: NodeStatus?, nodes: NodesSummary?) {
        let identity = try self.directory.identity()
        let node = await self.askNode()
        async let disk = self.disk()
        async let members = self.members(node.nodes, identity: identity)
        async let port = self.port(node.nodes)
        async let multicast = self.multicast(node.status)
        let unreached = await members
        var findings = node.findings + unreached
        findings += await port
        findings += await disk
        findings += await multicast
        findings += self.permissions() + self.limits(isRunning: node.status != nil) + [TimeService(root: "/").finding]
        let isMissing = (unreached + node.findings).contains { $0.check == FindingCode.memberNotReached.rawValue }
        findings += Firewall(root: "/").findings(isMemberMissing: isMissing)
        findings += self.backup()
        return (Examination(findings), node.status, node.nodes)
    }

    // MARK: - The node

    private func askNode() async -> (findings: [Finding], status: NodeStatus?, nodes: NodesSummary?) {
        do {
            let client = try LocalAPIClient(directory: self.directory)
            let status: NodeStatus = try await client.get("/v1/status", timeout: .seconds(20))
            let nodes: NodesSummary = try await client.get("/v1/nodes", timeout: .seconds(20))
            let text = "The node runs as \(status.role.rawValue), with \(status.activeConnections) connections."
            return ([Finding(ok: "node", text)] + status.findings, status, nodes)
        } catch let error as ClinicSyncError where error.code == .notReachable {
            return ([Finding(.nodeNotRunning, "The node in \(self.directory.url.path) does not run.")], nil, nil)
        } catch {
            let reason = (error as? ClinicSyncError)?.message ?? "Its answer cannot be read."
            return ([Finding(.storeUnreadable, "The node does not say how it is: \(reason)")], nil, nil)
        }
    }

    private func permissions() -> [Finding] {
        do {
            try self.directory.requirePrivate()
            let warnings = try self.directory.permissionWarnings()
            guard warnings.isEmpty else {
                return warnings.map { Finding(.permissionsTooWide, $0.findingCause, remedy: $0.findingRemedy) }
            }
            return [Finding(ok: "permissions", "Other accounts cannot use the node's files.")]
        } catch {
            let text = (error as? ClinicSyncError)?.message ?? "The permissions of the node's files cannot be read."
            return [Finding(.permissionsTooWide, text.findingCause, remedy: text.findingRemedy)]
        }
    }

    /// The limits of the system; a node that runs has told them.
    private func limits(isRunning: Bool) -> [Finding] {
        let found = isRunning ? [] : PCFacts.read(of: self.directory).findings(at: NodeClock().wallMilliseconds)
        let isWell = CommitWatcher.canWatch(self.directory.url.path)
        return found + (isWell ? [Finding(ok: "limits", "inotify has free instances and watches.")] : [])
    }

    private func backup() -> [Finding] {
        guard let note = BackupNote.read(in: self.directory) else {
            return [
                Finding(ok: "backup", "No backup was made on this PC; one PC of the clinic should make one every day.")
            ]
        }
        let age = NodeClock().wallMilliseconds - note.madeAt.milliseconds
        return age > PCFacts.backupAgeMax ? [] : [Finding(ok: "backup", "The newest backup is of \(note.madeAt).")]
    }

    private func disk() async -> [Finding] {
        let path = self.directory.url.path
        do {
            return try await NIOThreadPool.singleton.runIfActive { DiskTest(directory: path).findings() }
        } catch {
            return []
        }
    }

    // MARK: - The network

    private func port(_ nodes: NodesSummary?) async -> [Finding] {
        // The node may listen on a port that the system chose, so its own entry counts and not the settings.
        guard let own = nodes?.nodes.first(where: \.isSelf) else { return [] }
        let answers = await PortTest.answers(of: own.addresses)
        guard let failure = answers.first(where: { $0.failure == nil }) ?? answers.first else { return [] }
        guard let words = failure.failure else {
            return [Finding(ok: "port", "The node accepts connections at \(failure.address).")]
        }
        return [Finding(.portClosed, "No connection is accepted at \(failure.address): \(words).")]
    }

    /// Dials the members that are not connected; a node that does not run knows only the addresses of its files.
    private func members(_ nodes: NodesSummary?, identity: NodeIdentity) async -> [Finding] {
        guard let nodes else {
            let known = (identity.host.map { [$0.address] } ?? []) + self.configuration.peers.map(\.description)
            let answers = await PortTest.answers(of: known)
            guard !answers.isEmpty else { return [] }
            return [PortTest.finding(of: "The last host", subject: nil, answers)]
        }
        let away = nodes.nodes.filter {
            !$0.isSelf && !$0.connected && $0.standing != "revoked" && $0.standing != "lapsed"
        }
        guard !away.isEmpty else {
            return nodes.nodes.count > 1
                ? [Finding(ok: "members", "All members are connected.")]
                : [Finding(ok: "members", "This PC is the only one of its clinic.")]
        }
        var findings: [Finding] = []
        for node in away {
            findings.append(
                PortTest.finding(of: node.name, subject: node.id, await PortTest.answers(of: node.addresses))
            )
        }
        return findings
    }

    private func multicast(_ status: NodeStatus?) async -> [Finding] {
        guard self.configuration.discovery != .off else {
            return [Finding(ok: "multicast", "Nodes are not looked for on the LAN, as the settings say.")]
        }
        let answers: Set<String>?
        do {
            answers = try await NIOThreadPool.singleton.runIfActive { MulticastQuestion.answers() }
        } catch {
            return []
        }
        return MulticastQuestion.findings(
            answers: answers,
            own: Set(AdvertisedAddresses.own(listening: NetworkAddress(host: "0.0.0.0", port: 1)).compactMap(\.host)),
            peers: (status?.peers ?? []).filter(\.connected).compactMap { $0.address.host }
        )
    }
}

extension String {
    /// The host of an address and port; `nil` when the text is none.
    fileprivate var host: String? {
        do { return try NetworkAddress(parsing: self).host } catch { return nil }
    }

    /// The part before the first colon, as a sentence.
    var findingCause: String {
        let parts = self.split(separator: ": ", maxSplits: 1)
        return parts.count == 2 ? "\(parts[0])." : self
    }

    /// The part after the first colon, as a sentence; `nil` when there is none.
    var findingRemedy: String? {
        let parts = self.split(separator: ": ", maxSplits: 1)
        guard parts.count == 2 else { return nil }
        return "\(parts[1].prefix(1).uppercased())\(parts[1].dropFirst())" + (parts[1].hasSuffix(".") ? "" : ".")
    }
}
