import GRDB

/// Several PCs add users with equal names at the same time: rows that the other PCs' constraint refuses.
///
/// Such rows are set aside, so the table `users` may differ. All other tables must be equal.
final class UniqueClashWorkload: SimulationWorkload {
    private var lastUser = 0

    func step(_ program: SimulatedProgram) throws {
        self.lastUser += 1
        let id = "u-\(program.node.name)-\(self.lastUser)"
        let name = "name-\(program.below(4))"
        let statement =
            switch program.below(5) {
            case 0...1: "INSERT OR IGNORE INTO users(id, username, fullName) VALUES('\(id)', '\(name)', 'f')"
            case 2: "INSERT OR REPLACE INTO users(id, username, fullName) VALUES('\(id)', '\(name)', 'f')"
            case 3: "UPDATE OR IGNORE users SET username = 'name-\(program.below(4))' WHERE username = '\(name)'"
            default: "DELETE FROM users WHERE username = '\(name)'"
            }
        try program.transaction("clashes") { try $0.execute(sql: statement) }
    }
}
