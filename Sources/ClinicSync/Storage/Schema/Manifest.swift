package import ClinicSyncCore
package import ClinicSyncModel
import Foundation

/// The merge rules of the replicated tables, which the DDL cannot express.
///
/// The text form is `schema/clinic.json`, described in `docs/SCHEMA.md`. An unknown key is an error, because otherwise
/// a misspelt rule would silently have no effect.
package struct Manifest: Sendable, Hashable, Decodable {
    /// The rules of each replicated table, by its name.
    package let tables: [String: Table]

    /// The rules of one table.
    package struct Table: Sendable, Hashable, Decodable {
        /// The group of tables by which programs subscribe.
        package let category: EventCategory
        /// What a deletion does to an edit that the deletion's author had not seen.
        package let deletes: DeletePolicy
        /// Whether programs only insert rows and never change or delete them.
        package let isAppendOnly: Bool
        /// The counter columns; the increments of all nodes add up in them.
        package let counters: [String]
        /// The columns of which a lost value needs no entry in the conflict journal; `nil`: those whose names say so, see
        /// ``isDerivedByName(_:)``.
        package let derived: [String]?
        /// The policy of each UNIQUE, by the names of its columns joined with ",".
        package let duplicates: [String: DuplicatePolicy]
        /// The policies of foreign key columns that differ from the DDL.
        package let references: [String: ReferencePolicy]
        /// The keys of the rows that every install starts with.
        package let seeds: [String]
    }

    /// Reads the text form.
    ///
    /// - Throws: ``SchemaError`` for the first error in the text.
    package init(json: String) throws {
        do {
            self = try JSONDecoder().decode(Manifest.self, from: Data(json.utf8))
        } catch let error as DecodingError {
            throw SchemaError.unreadableManifest(reason: Manifest.reason(of: error))
        }
    }

    /// Decodes the document; call ``init(json:)`` instead.
    package init(from decoder: any Decoder) throws {
        let fields = try FieldReader(decoder, place: "the document", known: ["format", "tables"])
        guard try fields.value(Int.self, "format") == 1 else {
            throw SchemaError.unreadableManifest(reason: "\"format\" is not 1")
        }
        self.tables = try fields.value([String: Table].self, "tables") ?? [:]
    }

    private init(tables: [String: Table]) { self.tables = tables }

    /// The manifest without the tables that nodes fill themselves; see ``TableDefinition/isClinical``.
    package var clinical: Manifest {
        Manifest(tables: self.tables.filter { $0.value.category != .system })
    }

    /// The rules for `tables`: from the earlier version for the tables it had, from this version for the others.
    func heldBack(to earlier: Manifest, tables: Set<String>) -> Manifest {
        let added = self.tables.filter { tables.contains($0.key) }
        let kept = earlier.tables.filter { tables.contains($0.key) }
        return Manifest(tables: added.merging(kept) { _, earlier in earlier })
    }

    private static func reason(of error: DecodingError) -> String {
        let context: DecodingError.Context? =
            switch error {
            case .dataCorrupted(let context), .keyNotFound(_, let context), .typeMismatch(_, let context),
                .valueNotFound(_, let context):
                context
            @unknown default: nil
            }
        guard let context, !context.codingPath.isEmpty else { return "it is not JSON" }
        return "wrong type at " + context.codingPath.map(\.stringValue).joined(separator: ".")
    }
}

extension Manifest.Table {
    private static let known = [
        "category", "deletes", "appendOnly", "counters", "derived", "duplicates", "references", "seeds",
    ]

    /// Whether programs set a column of this name by themselves at each save, so that nobody loses what a person entered.
    static func isDerivedByName(_ column: String) -> Bool {
        ["updatedat", "lastactivity"].contains(column.lowercased())
    }

    /// Whether a table with this name is the node's own; exactly these tables have the category `system`.
    private static func isReserved(_ name: String) -> Bool {
        name.lowercased().hasPrefix("clinicsync_")
    }

    /// Decodes one table's entry.
    package init(from decoder: any Decoder) throws {
        let place = decoder.codingPath.map(\.stringValue).joined(separator: ".")
        let fields = try FieldReader(decoder, place: place, known: Self.known)
        let category = try fields.value(String.self, "category") ?? ""
        let isAgents = Self.isReserved(decoder.codingPath.last?.stringValue ?? "")
        if isAgents, category != EventCategory.system.rawValue {
            throw SchemaError.reservedTable(decoder.codingPath.last?.stringValue ?? "")
        }
        let allowed = EventCategory.allCases.filter { ($0 == .system) == isAgents }
        guard let category = EventCategory(rawValue: category), allowed.contains(category) else {
            throw SchemaError.unknownManifestWord(
                word: category,
                place: "\(place).category",
                allowed: allowed.map(\.rawValue)
            )
        }
        self.category = category
        self.deletes = try fields.word(DeletePolicy.self, "deletes") ?? .keep
        self.isAppendOnly = try fields.value(Bool.self, "appendOnly") ?? false
        self.counters = try fields.value([String].self, "counters") ?? []
        self.derived = try fields.value([String].self, "derived")
        self.duplicates = try fields.words(DuplicatePolicy.self, "duplicates")
        self.references = try fields.words(ReferencePolicy.self, "references")
        self.seeds = try fields.value([String].self, "seeds") ?? []
    }
}

/// Reads the fields of one JSON object and refuses unknown fields.
private struct FieldReader {
    private let container: KeyedDecodingContainer<Field>
    private let place: String

    private struct Field: CodingKey {
        let stringValue: String
        var intValue: Int? { nil }
        init(stringValue: String) { self.stringValue = stringValue }
        init?(intValue: Int) { nil }
    }

    init(_ decoder: any Decoder, place: String, known: [String]) throws {
        self.container = try decoder.container(keyedBy: Field.self)
        self.place = place
        let unknown = self.container.allKeys.map(\.stringValue).filter { !known.contains($0) }.sorted()
        if let key = unknown.first { throw SchemaError.unknownManifestKey(key: key, place: place) }
    }

    func value<Value: Decodable>(_ type: Value.Type, _ name: String) throws -> Value? {
        try self.container.decodeIfPresent(type, forKey: Field(stringValue: name))
    }

    func word<Word: RawRepresentable & CaseIterable>(_ type: Word.Type, _ name: String) throws -> Word?
    where Word.RawValue == String {
        try self.value(String.self, name).map { try self.word($0, place: "\(self.place).\(name)") }
    }

    func words<Word: RawRepresentable & CaseIterable>(_ type: Word.Type, _ name: String) throws -> [String: Word]
    where Word.RawValue == String {
        var words: [String: Word] = [:]
        for (key, text) in try self.value([String: String].self, name) ?? [:] {
            words[key] = try self.word(text, place: "\(self.place).\(name).\(key)")
        }
        return words
    }

    private func word<Word: RawRepresentable & CaseIterable>(_ text: String, place: String) throws -> Word
    where Word.RawValue == String {
        guard let word = Word(rawValue: text) else {
            throw SchemaError.unknownManifestWord(
                word: text,
                place: place,
                allowed: Word.allCases.map(\.rawValue)
            )
        }
        return word
    }
}
