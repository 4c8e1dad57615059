import ArgumentParser
import ClinicSync
import ClinicSyncClinic
import Foundation

/// `users`: lists users, adds one, sets passwords.
struct UsersCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "users",
        abstract: "List the clinic's users, add one, or change one.",
        discussion: """
            Works whether the node runs or not, on any PC; the others follow. A password is typed twice, or is one line of \
            standard input when that is no terminal.
            """,
        subcommands: [
            List.self, Add.self, SetPassword.self, Reset.self, Rename.self, Deactivate.self, Activate.self,
        ],
        defaultSubcommand: List.self
    )

    /// `users` alone.
    struct List: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "list",
            abstract: "List the clinic's users (the default).",
            discussion: "A password that is 'unusable' or 'none' must be set with clinic-node users passwd."
        )

        @OptionGroup var data: DataOptions
        @OptionGroup var output: OutputFormat

        func run() throws {
            let users = try StorageErrors.mapping { try self.data.users().users() }
            if self.output.isJSON { return try Output.json(["users": users]) }
            var table = TextTable([
                ("USER", .left), ("ROLE", .left), ("NAME", .left), ("ACTIVE", .left), ("PASSWORD", .left),
            ])
            for user in users {
                table.add([user.username, user.role, user.fullName, user.active ? "yes" : "no", user.password])
            }
            try Output.table(table)
        }
    }

    /// `users add`.
    struct Add: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "add",
            abstract: "Add a user."
        )

        @OptionGroup var data: DataOptions
        @OptionGroup var output: OutputFormat
        @Argument(help: "The name by which the user logs in.") var name: String
        @Option(help: ArgumentHelp("What the user is: admin, doctor or medtech.", valueName: "role")) var role: UserRole
        @Option(help: ArgumentHelp("The name of the person.", valueName: "name")) var fullName: String?

        func run() throws {
            let users = try self.data.users()
            try StorageErrors.mapping {
                try UserAdministration.check(username: self.name)
                // Asked for only when the name is free; the addition itself looks again.
                try users.requireNoUser(self.name)
            }
            guard let password = try PasswordPrompt.askNew(for: self.name) else { return }
            let id = try StorageErrors.mapping {
                try users.add(username: self.name, role: self.role, fullName: self.fullName, password: password)
            }
            if self.output.isJSON {
                return try Output.json(["id": id, "username": self.name, "role": self.role.rawValue])
            }
            Output.report("\(self.name) may log in now, as \(self.role.rawValue)")
        }
    }

    /// `users passwd`.
    struct SetPassword: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "passwd",
            abstract: "Give a user another password, and end the user's sessions."
        )

        @OptionGroup var data: DataOptions
        @Argument(help: "The name by which the user logs in.") var name: String

        func run() throws {
            let users = try self.data.users()
            try StorageErrors.mapping { try users.requireUser(self.name) }
            guard let password = try PasswordPrompt.askNew(for: self.name) else { return }
            let ended = try StorageErrors.mapping { try users.setPassword(password, of: self.name) }
            Output.report("\(self.name) has a new password" + UsersCommand.addition(ended))
        }
    }

    /// `users reset`.
    struct Reset: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "reset",
            abstract: "Make a new password for a user, print it once, and end the user's sessions."
        )

        @OptionGroup var data: DataOptions
        @OptionGroup var output: OutputFormat
        @Argument(help: "The name by which the user logs in.") var name: String

        func run() throws {
            let users = try self.data.users()
            try StorageErrors.mapping { try users.requireUser(self.name) }
            let password = FirstAdministrator.makePassword()
            let ended = try StorageErrors.mapping { try users.setPassword(password, of: self.name) }
            if self.output.isJSON { return try Output.json(["username": self.name, "password": password]) }
            Output.report(
                "The password of \(self.name) is \(password) and is shown only now: write it down"
                    + UsersCommand.addition(ended)
            )
        }
    }

    /// `users rename`.
    struct Rename: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "rename",
            abstract: "Give a user another name.",
            discussion: "The user's sessions go on, and the password stays."
        )

        @OptionGroup var data: DataOptions
        @Argument(help: "The name by which the user logs in.") var name: String
        @Argument(help: "Its new name.") var newName: String

        func run() throws {
            let users = try self.data.users()
            try StorageErrors.mapping { try users.rename(self.name, to: self.newName) }
            Output.report("\(self.name) logs in as \(self.newName) now")
        }
    }

    /// `users deactivate`.
    struct Deactivate: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "deactivate",
            abstract: "Let a user log in no more, and end the user's sessions.",
            discussion: "What the user has written stays. clinic-node users activate takes it back."
        )

        @OptionGroup var data: DataOptions
        @Argument(help: "The name by which the user logs in.") var name: String

        func run() throws {
            let users = try self.data.users()
            let ended = try StorageErrors.mapping { try users.setActive(false, self.name) }
            Output.report("\(self.name) may not log in any more" + UsersCommand.addition(ended))
        }
    }

    /// `users activate`.
    struct Activate: ParsableCommand {
        static let configuration = CommandConfiguration(
            commandName: "activate",
            abstract: "Let a deactivated user log in again."
        )

        @OptionGroup var data: DataOptions
        @Argument(help: "The name by which the user logs in.") var name: String

        func run() throws {
            let users = try self.data.users()
            _ = try StorageErrors.mapping { try users.setActive(true, self.name) }
            Output.report("\(self.name) may log in again")
        }
    }

    /// What a change did to the user's sessions.
    private static func addition(_ endedSessions: Int) -> String {
        switch endedSessions {
        case 0: ""
        case 1: "; 1 session was ended"
        default: "; \(endedSessions) sessions were ended"
        }
    }
}

extension UserRole: ExpressibleByArgument {}

extension DataOptions {
    /// The users of the node's database.
    fileprivate func users() throws -> UserAdministration {
        let directory = try self.directory()
        _ = try directory.identity()
        return UserAdministration(path: directory.databaseURL.path)
    }
}
