import Foundation
import PackagePlugin

/// Turns `schema/migrations/*.sql` and `schema/clinic.json` into Swift string literals at build time.
///
/// A new migration is picked up by being there: no Swift changes, and the binary stays one file.
/// String literals compile in no time, where SwiftPM's `embedInCode` arrays take seconds for 20 KB.
@main
struct EmbedSchema: BuildToolPlugin {
    func createBuildCommands(context: PluginContext, target: any Target) throws -> [Command] {
        let folder = target.directoryURL
        let migrations = try FileManager.default
            .contentsOfDirectory(at: folder.appending(path: "migrations"), includingPropertiesForKeys: nil)
            .filter { $0.pathExtension == "sql" }
            .sorted { $0.lastPathComponent < $1.lastPathComponent }
        let manifest = folder.appending(path: "clinic.json")
        let output = context.pluginWorkDirectoryURL.appending(path: "EmbeddedSchema.swift")
        // "$0" is the output file, "$1" the manifest, the rest the migrations in order.
        let script = ####"""
            {
                printf 'enum EmbeddedSchema {\n    static let manifest = ##"""\n'
                cat "$1"
                printf '\n"""##\n    static let migrations: [(name: String, sql: String)] = [\n'
                shift
                for file in "$@"; do
                    printf '        ("%s", ##"""\n' "$(basename "$file" .sql)"
                    cat "$file"
                    printf '\n"""##),\n'
                done
                printf '    ]\n}\n'
            } > "$0"
            """####
        return [
            .buildCommand(
                displayName: "Embed the schema",
                executable: URL(filePath: "/bin/sh"),
                arguments: ["-c", script, output.path(), manifest.path()] + migrations.map { $0.path() },
                inputFiles: [manifest] + migrations,
                outputFiles: [output]
            )
        ]
    }
}
