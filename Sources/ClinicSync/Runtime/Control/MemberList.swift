import ClinicSyncCore
import ClinicSyncModel

/// The members of the clinic for people: those whose membership a signature proves.
struct MemberList: Sendable {
    /// The state of the reading node.
    let state: NodeState
    let register: MemberRegister

    /// The members and former members, with the names that people see; sorted by id.
    var rows: [AgentTables.Node] {
        let names = self.names
        return MemberList.rows(of: self.register).map { row in
            var row = row
            row.name = names[row.id] ?? row.name
            return row
        }
    }

    /// The members and former members that a register knows, each with its own name.
    static func rows(of register: MemberRegister) -> [AgentTables.Node] {
        register.members.map { member in
            AgentTables.Node(
                id: member.node,
                facts: register.facts(of: member),
                certificate: member.proof.certificate,
                maySign: register.maySign(member.node)
            )
        }
    }

    /// The display names of the clinic's PCs.
    var names: [NodeID: String] {
        var names = self.register.names(greeted: self.state.greeted)
        if names[self.state.id] == nil { names[self.state.id] = self.state.name }
        return names
    }

    /// The names that members have, without what is added when several have one.
    var ownNames: [NodeID: String] {
        let greeted = self.state.greeted
        return Dictionary(
            self.register.members.map { member in
                let name = self.register.facts(of: member).name
                return (member.node, name.isEmpty ? greeted[member.node] ?? "" : name)
            },
            uniquingKeysWith: { first, _ in first }
        )
    }

    /// Returns whether a member other than `node` has a name, in whatever case; former members keep none.
    func isTaken(_ name: String, besides node: NodeID) -> Bool {
        let names = self.ownNames
        return self.register.members.contains { member in
            member.node != node && self.register.isPresent(member)
                && names[member.node]?.lowercased() == name.lowercased()
        }
    }

    /// Finds the member that a person names by id, by the beginning of its id, or by its name.
    ///
    /// - Throws: ``ClinicSyncError`` of code `usage` when the text matches no member, or several members.
    func find(_ text: String) throws -> AgentTables.Node {
        let rows = self.rows
        let wanted = text.lowercased()
        // A name that several members have is shown with an addition, and stands for all of them without it.
        let own = self.ownNames
        let matches = [
            rows.filter { $0.id.description == wanted }, rows.filter { $0.name == text || own[$0.id] == text },
            wanted.utf8.count >= 4 ? rows.filter { $0.id.description.hasPrefix(wanted) } : [],
        ]
        guard let found = matches.first(where: { !$0.isEmpty }) else {
            let question = ClosestName.question(text, among: rows.map(\.name))
            throw ClinicSyncError(.usage, "There is no node \"\(text)\"\(question): clinic-node nodes lists all.")
        }
        guard let node = found.first, found.count == 1 else {
            throw ClinicSyncError(
                .usage,
                "\"\(text)\" means \(found.count) nodes: use the id that clinic-node nodes shows."
            )
        }
        return node
    }
}
