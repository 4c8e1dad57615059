import ClinicSyncModel
import Foundation

/// Reads `node.json`: an object with one key for each setting, and an object `log` for the two log settings.
///
/// `{"log": {"level": "info"}}` and `{"log.level": "info"}` mean the same.
enum ConfigurationFile {
    private enum Value: Decodable {
        case text(String)
        case number(Int)
        case flag(Bool)
        case list([String])
        case object([String: Value])

        init(from decoder: any Decoder) throws {
            let container = try decoder.singleValueContainer()
            if let object = Value.attempt({ try container.decode([String: Value].self) }) {
                self = .object(object)
            } else if let list = Value.attempt({ try container.decode([String].self) }) {
                self = .list(list)
            } else if let text = Value.attempt({ try container.decode(String.self) }) {
                self = .text(text)
            } else if let isOn = Value.attempt({ try container.decode(Bool.self) }) {
                self = .flag(isOn)
            } else {
                self = .number(try container.decode(Int.self))
            }
        }

        /// A value of another type is not an error here; the caller tries the next type.
        private static func attempt<Result>(_ body: () throws -> Result) -> Result? {
            do { return try body() } catch { return nil }
        }
    }

    /// Returns the values of the present keys.
    ///
    /// - Throws: ``ClinicSyncError`` of code `configuration`, with the name of an unknown key.
    static func parse(_ bytes: [UInt8]) throws -> [ConfigurationKey: [String]] {
        let root: [String: Value]
        do {
            root = try JSONDecoder().decode([String: Value].self, from: Data(bytes))
        } catch {
            throw ClinicSyncError(
                .configuration,
                "node.json is not a JSON object of texts, whole numbers, true, false and lists of texts: correct it.",
                cause: error
            )
        }
        var values = [ConfigurationKey: [String]]()
        try ConfigurationFile.collect(root, prefix: "", into: &values)
        return values
    }

    private static func collect(
        _ object: [String: Value],
        prefix: String,
        into values: inout [ConfigurationKey: [String]]
    ) throws {
        // The keys are sorted, so that the error always names the same one of several unknown keys.
        for (name, value) in object.sorted(by: { $0.key < $1.key }) {
            let path = prefix + name
            if case .object(let inner) = value,
                ConfigurationKey.allCases.contains(where: { $0.rawValue.hasPrefix(path + ".") })
            {
                try ConfigurationFile.collect(inner, prefix: path + ".", into: &values)
                continue
            }
            guard let key = ConfigurationKey(rawValue: path) else {
                throw ClinicSyncError(
                    .configuration,
                    "node.json has the unknown key \"\(path)\""
                        + ClosestName.question(path, among: ConfigurationKey.allCases.map(\.rawValue))
                        + ": remove or correct it."
                )
            }
            guard values[key] == nil else {
                throw ClinicSyncError(.configuration, "node.json has the key \"\(path)\" twice: remove one.")
            }
            switch value {
            case .text(let text): values[key] = [text]
            case .number(let number): values[key] = [String(number)]
            case .list(let list) where key.isList: values[key] = list
            case .flag(let isOn) where key == .lanOnly: values[key] = [String(isOn)]
            case .flag(let isOn):
                throw ClinicSyncError(.configuration, "\"\(path)\" in node.json is \(isOn): give a text or a number.")
            case .list, .object:
                throw ClinicSyncError(.configuration, "\"\(path)\" in node.json takes one value: give one.")
            }
        }
    }
}
