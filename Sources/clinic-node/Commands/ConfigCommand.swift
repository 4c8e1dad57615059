import ArgumentParser
import ClinicSync
import Foundation

/// `config`: shows the settings.
struct ConfigCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "config",
        abstract: "Show the settings.",
        subcommands: [ConfigCheckCommand.self]
    )
}

/// `config check`: checks the settings and prints the values in effect.
struct ConfigCheckCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "check",
        abstract: "Check the settings and print the values in effect."
    )

    private struct Setting: Encodable {
        var key: String
        var value: String
        var source: ConfigurationSource
    }

    private struct Report: Encodable {
        var directory: String
        var settings: [Setting]
    }

    @OptionGroup var data: DataOptions
    @OptionGroup var settings: ConfigurationOptions
    @OptionGroup var output: OutputFormat

    func run() throws {
        let directory = try self.data.directory()
        let configuration = try self.settings.load(from: directory)
        var settings = configuration.effectiveValues.map { entry in
            Setting(key: entry.key.rawValue, value: entry.values.joined(separator: " "), source: entry.source)
        }
        if directory.holdsNode {
            settings.append(Setting(key: "node key", value: "(hidden)", source: .file))
            settings.append(Setting(key: "api token", value: "(hidden)", source: .file))
        }
        if self.output.isJSON {
            return try Output.json(Report(directory: directory.url.path, settings: settings))
        }
        var table = TextTable([("SETTING", .left), ("VALUE", .left), ("FROM", .left)])
        for setting in settings {
            table.add([setting.key, setting.value.isEmpty ? "-" : setting.value, setting.source.rawValue])
        }
        try Output.table(table)
    }
}
