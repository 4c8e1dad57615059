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
        for (node, name) in names {
            let others = (owners[self.folded(name)] ?? []).filter { $0 != node }
            if name.isEmpty {
                shown[node] = self.mark(of: node, among: names.keys.filter { $0 != node })
            } else if others.isEmpty, !self.imitates(name, owners) {
                shown[node] = name
            } else {
                shown[node] = "\(name) (\(self.mark(of: node, among: others)))"
            }
        }
        return shown
    }

    private static func folded(_ name: String) -> String { name.lowercased() }

    /// The shortest beginning of an id that none of the others has.
    private static func mark(of node: NodeID, among others: [NodeID]) -> String {
        let id = node.description
        var count = self.digitsMin
        while count < id.count, others.contains(where: { $0.description.prefix(count) == id.prefix(count) }) {
            count += 1
        }
        return String(id.prefix(count))
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
