import ClinicSchema
import ClinicSyncStorage
import Foundation

/// Small tables, one for each rule, beside the nodes' own tables.
enum TortureSchema {
    private static let key = "id TEXT PRIMARY KEY NOT NULL"

    /// Keys: one table for each duplicate policy and each kind of unique index.
    static let keys = TortureSchema.template(
        """
        CREATE TABLE bill(\(key), number TEXT UNIQUE, info TEXT);
        CREATE TABLE login(\(key), name TEXT COLLATE NOCASE UNIQUE, info TEXT);
        CREATE TABLE place(\(key), day TEXT, hour TEXT, who TEXT, UNIQUE (day, hour));
        CREATE TABLE ticket(\(key), number TEXT, status TEXT NOT NULL);
        CREATE UNIQUE INDEX ticket_open ON ticket(number) WHERE status = 'open';
        CREATE TABLE badge(\(key), holder TEXT, number TEXT UNIQUE);
        CREATE TABLE room(\(key), name TEXT NOT NULL UNIQUE, info TEXT);
        CREATE TABLE service(\(key), name TEXT NOT NULL UNIQUE, description TEXT, price REAL,
            uses INTEGER NOT NULL DEFAULT 0);
        CREATE TABLE item(\(key), billId TEXT REFERENCES bill(id) ON DELETE CASCADE,
            serviceId TEXT REFERENCES service(id), info TEXT);
        """,
        """
        "bill": {"category": "data", "duplicates": {"number": "suffix"}},
        "login": {"category": "data", "duplicates": {"name": "suffix"}},
        "place": {"category": "data", "duplicates": {"day,hour": "suffix"}},
        "ticket": {"category": "data", "duplicates": {"number": "suffix"}},
        "badge": {"category": "data", "duplicates": {"number": "null"}},
        "room": {"category": "data", "duplicates": {"name": "park"}},
        "service": {"category": "data", "duplicates": {"name": "merge"}, "counters": ["uses"]},
        "item": {"category": "data"}
        """
    )

    /// References: one table for each policy, three generations, a cycle and a tree.
    static let references = TortureSchema.template(
        """
        CREATE TABLE patient(\(key), name TEXT, n INTEGER NOT NULL DEFAULT 0);
        CREATE TABLE bill(\(key), patientId TEXT NOT NULL REFERENCES patient(id) ON DELETE CASCADE, info TEXT);
        CREATE TABLE item(\(key), billId TEXT NOT NULL REFERENCES bill(id) ON DELETE CASCADE, info TEXT);
        CREATE TABLE visit(\(key), patientId TEXT REFERENCES patient(id) ON DELETE SET NULL, info TEXT);
        CREATE TABLE session(\(key), patientId TEXT NOT NULL REFERENCES patient(id) ON DELETE CASCADE, info TEXT);
        CREATE TABLE letter(\(key), patientId TEXT REFERENCES patient(id), info TEXT);
        CREATE TABLE receipt(\(key), patientId TEXT REFERENCES patient(id) ON DELETE RESTRICT, info TEXT);
        CREATE TABLE folder(\(key), parentId TEXT REFERENCES folder(id) ON DELETE CASCADE, label TEXT);
        CREATE TABLE hand(\(key), gloveId TEXT REFERENCES glove(id) ON DELETE CASCADE, info TEXT);
        CREATE TABLE glove(\(key), handId TEXT REFERENCES hand(id) ON DELETE CASCADE, info TEXT);
        """,
        """
        "patient": {"category": "data", "counters": ["n"]},
        "bill": {"category": "data"},
        "item": {"category": "data"},
        "visit": {"category": "data"},
        "session": {"category": "data", "deletes": "win", "references": {"patientId": "cascade"}},
        "letter": {"category": "data", "references": {"patientId": "keep"}},
        "receipt": {"category": "data"},
        "folder": {"category": "data"},
        "hand": {"category": "data"},
        "glove": {"category": "data"}
        """
    )

    /// Columns, counters, deletions and checks.
    static let rows = TortureSchema.template(
        """
        CREATE TABLE note(\(key), title TEXT, body TEXT, n INTEGER NOT NULL DEFAULT 0);
        CREATE TABLE entry(\(key), status TEXT NOT NULL, doctor TEXT, info TEXT);
        CREATE TABLE span(\(key), low INTEGER NOT NULL, high INTEGER NOT NULL, info TEXT, CHECK (low <= high));
        CREATE TABLE label(\(key), text TEXT NOT NULL, info TEXT);
        CREATE TABLE line(\(key), text TEXT NOT NULL);
        """,
        """
        "note": {"category": "data", "counters": ["n"]},
        "entry": {"category": "data", "deletes": "win"},
        "span": {"category": "data"},
        "label": {"category": "data"},
        "line": {"category": "data", "appendOnly": true}
        """
    )

    /// The counters of all these tables and of the clinic.
    ///
    /// No program wrote the values that they show.
    static let counters = ["service.uses", "patient.n", "note.n", "thing.n", "clinic_services.selectionCount"]

    /// The clinic's thirteen tables.
    static let clinic = Result { try StoreTemplate(.clinic) }

    /// A template with these tables.
    static func template(_ sql: String, _ entries: String) -> Result<StoreTemplate, any Error> {
        Result { try StoreTemplate(Self.schema(sql, entries)) }
    }

    /// A schema of the nodes' own tables and these tables.
    ///
    /// The clinic's tables exist, empty and local.
    static func schema(_ sql: String, _ entries: String) -> StoreSchema {
        let own = ClinicSchema.manifest.split(separator: "\n")
            .filter { $0.contains("\"clinicsync_") }
            .map { $0.hasSuffix(",") ? String($0.dropLast()) : String($0) }
        let manifest = "{\"format\": 1, \"tables\": {\n\((own + [entries]).joined(separator: ",\n"))\n}}"
        return StoreSchema(migrations: ClinicSchema.migrations + [("m9999_torture", sql)], manifest: manifest)
    }
}
