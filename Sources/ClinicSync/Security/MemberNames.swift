import ClinicSyncModel

/// The names under which people see members.
///
/// Members choose their names themselves, so two members may have one name, and one may imitate another. People must
/// still know whom they revoke. So members with one name are all shown with the beginning of their ids in brackets. A
/// name that imitates such a form of another member's name gets brackets of its own.
enum MemberNames {
    private static let digitsMin = 4

    /// Returns the names to show.
    ///
    /// The result depends only on the arguments, so nodes that know the same members show the same names.
    ///
    /// - Parameter names: the name of each member; an empty name is shown as the beginning of the id.
    /// - Returns: The names to show, by member.
    static func shown(_ names: [NodeID: String]) -> [NodeID: String] {
        let owners = Dictionary(grouping: names.keys) { self.folded(names[$0] ?? "") }
        var shown: [NodeID: String] = [:]
        for (name, nodes) in owners {
            if name.isEmpty {
                let marks = self.marks(of: Array(names.keys))
                for node in nodes { shown[node] = marks[node] }
            } else {
                let marks = self.marks(of: nodes)
                for node in nodes {
                    let name = names[node] ?? ""
                    let isAlone = nodes.count == 1 && !self.imitates(name, owners)
                    shown[node] = isAlone ? name : "\(name) (\(marks[node] ?? ""))"
                }
            }
        }
        return shown
    }

    private static func folded(_ name: String) -> String { name.lowercased() }

    /// For each node the shortest beginning of its id that none of the others has.
    private static func marks(of nodes: [NodeID]) -> [NodeID: String] {
        let ids = nodes.map { (node: $0, text: $0.description) }.sorted { $0.text < $1.text }
        // Of all others, the neighbours in this order have the longest beginning in common with an id.
        var marks: [NodeID: String] = [:]
        var before = 0
        for (index, id) in ids.enumerated() {
            let after = index + 1 < ids.count ? self.common(id.text, ids[index + 1].text) : 0
            marks[id.node] = String(id.text.prefix(max(self.digitsMin, max(before, after) &+ 1)))
            before = after
        }
        return marks
    }

    /// The number of characters that two ids have in common at their beginnings.
    private static func common(_ left: String, _ right: String) -> Int {
        zip(left.utf8, right.utf8).prefix { $0 == $1 }.count
    }

    /// Whether a name is another member's name with something in brackets that looks like the beginning of an id.
    private static func imitates(_ name: String, _ owners: [String: [NodeID]]) -> Bool {
        guard name.hasSuffix(")"), let open = name.lastIndex(of: "(") else { return false }
        let digits = name[name.index(after: open)...].dropLast()
        guard digits.count >= self.digitsMin, digits.utf8.allSatisfy({ Base32.digit($0) != nil }) else { return false }
        return owners[self.folded(String(name[..<open].trimmingSuffix(while: { $0 == " " })))] != nil
    }
}

extension Substring {
    fileprivate func trimmingSuffix(while isCut: (Character) -> Bool) -> Substring {
        var text = self
        while let last = text.last, isCut(last) { text.removeLast() }
        return text
    }
}
