import Foundation
import PackagePlugin

/// Makes Swift string literals of text files at build time, so that SQL, JSON, HTML, CSS and JavaScript stay files of
/// their own for those who edit them, and the program stays one file.
///
/// The compiler reads a string literal in no time. SwiftPM's `embedInCode` writes arrays of bytes, and the compiler needs
/// seconds for 20 KB of them.
@main
struct EmbedFiles: BuildToolPlugin {
    /// What one target embeds.
    private struct Contents {
        /// The enum that holds the literals, and the name of its file.
        var type: String
        /// A folder of the target, with a slash at its end; empty: the target's own folder.
        var folder: String
        /// Names of constants, each with the file it holds.
        var constants: [(name: String, file: String)]
        /// Names of lists, each with a folder: a list holds the texts and names of all SQL files there, by name.
        var lists: [(name: String, folder: String)] = []
    }

    /// The targets that embed files.
    ///
    /// A new migration needs no entry: the list of migrations is a folder.
    private static let contents: [String: Contents] = [
        "ClinicSchema": Contents(
            type: "EmbeddedSchema",
            folder: "",
            constants: [("manifest", "clinic.json")],
            lists: [("migrations", "migrations")]
        ),
        "ClinicSync": Contents(
            type: "EmbeddedDashboard",
            folder: "LocalAPI/Dashboard/",
            constants: [
                ("page", "dashboard.html"), ("style", "dashboard.css"), ("script", "dashboard.js"),
                ("closed", "closed.html"),
            ]
        ),
    ]

    /// Writes the enum.
    ///
    /// `$0` is the output and `$1` the enum's name. Then come steps: `constant NAME FILE`, or `list NAME FILE… end`.
    private static let script = ####"""
        {
            printf 'enum %s {\n' "$1"
            shift
            while [ "$#" -gt 0 ]; do
                step=$1 name=$2
                shift 2
                if [ "$step" = constant ]; then
                    printf '    static let %s = ##"""\n' "$name"
                    cat "$1"
                    printf '\n"""##\n'
                else
                    printf '    static let %s: [(name: String, text: String)] = [\n' "$name"
                    while [ "$1" != end ]; do
                        printf '        ("%s", ##"""\n' "$(basename "$1" .sql)"
                        cat "$1"
                        printf '\n"""##),\n'
                        shift
                    done
                    printf '    ]\n'
                fi
                shift
            done
            printf '}\n'
        } > "$0"
        """####

    func createBuildCommands(context: PluginContext, target: any Target) throws -> [Command] {
        guard let contents = EmbedFiles.contents[target.name] else {
            Diagnostics.error("EmbedFiles does not know which files \(target.name) embeds: add them to its table.")
            return []
        }
        let folder = target.directoryURL.appending(path: contents.folder)
        let output = context.pluginWorkDirectoryURL.appending(path: "\(contents.type).swift")
        var arguments = [contents.type]
        var inputs: [URL] = []
        for (name, file) in contents.constants {
            let url = folder.appending(path: file)
            arguments += ["constant", name, url.path()]
            inputs.append(url)
        }
        for (name, subfolder) in contents.lists {
            let files = try EmbedFiles.sqlFiles(in: folder.appending(path: subfolder))
            arguments += ["list", name] + files.map { $0.path() } + ["end"]
            inputs += files
        }
        return [
            .buildCommand(
                displayName: "Embed \(contents.type)",
                executable: URL(filePath: "/bin/sh"),
                arguments: ["-c", EmbedFiles.script, output.path()] + arguments,
                inputFiles: inputs,
                outputFiles: [output]
            )
        ]
    }

    private static func sqlFiles(in folder: URL) throws -> [URL] {
        try FileManager.default.contentsOfDirectory(at: folder, includingPropertiesForKeys: nil)
            .filter { $0.pathExtension == "sql" }
            .sorted { $0.lastPathComponent < $1.lastPathComponent }
    }
}
