import Foundation
import PackagePlugin

/// Turns the files of the dashboard into Swift string literals at build time.
///
/// The page stays HTML, CSS and JavaScript for those who edit it, and the binary stays one file. String literals
/// compile in no time, where SwiftPM's `embedInCode` arrays take seconds for 20 KB.
@main
struct EmbedDashboard: BuildToolPlugin {
    /// The literals' names and the files they are made of.
    private static let parts = [
        ("page", "dashboard.html"), ("style", "dashboard.css"), ("script", "dashboard.js"), ("closed", "closed.html"),
    ]

    func createBuildCommands(context: PluginContext, target: any Target) throws -> [Command] {
        let folder = target.directoryURL.appending(path: "LocalAPI/Dashboard")
        let files = EmbedDashboard.parts.map { folder.appending(path: $0.1) }
        let output = context.pluginWorkDirectoryURL.appending(path: "EmbeddedDashboard.swift")
        // "$0" is the output file, then a name and a file in turn.
        let script = ####"""
            {
                printf 'enum EmbeddedDashboard {\n'
                while [ "$#" -gt 0 ]; do
                    printf '    static let %s = ##"""\n' "$1"
                    cat "$2"
                    printf '\n"""##\n'
                    shift 2
                done
                printf '}\n'
            } > "$0"
            """####
        let pairs = EmbedDashboard.parts.flatMap { [$0.0, folder.appending(path: $0.1).path()] }
        return [
            .buildCommand(
                displayName: "Embed the dashboard",
                executable: URL(filePath: "/bin/sh"),
                arguments: ["-c", script, output.path()] + pairs,
                inputFiles: files,
                outputFiles: [output]
            )
        ]
    }
}
