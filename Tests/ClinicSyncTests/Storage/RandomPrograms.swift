import ClinicSyncCore
import ClinicSyncStorage

/// Random statements of programs over few rows and few values, so that most of them meet.
struct RandomPrograms {
    var random: SplitMix64

    private mutating func pick(_ words: String...) -> String { words.randomElement(using: &self.random) ?? "" }
    private mutating func number(_ bound: Int) -> Int { Int.random(in: 0..<bound, using: &self.random) }

    /// With or without the cascades of the program's connection.
    private mutating func enforced(_ sql: String) -> String {
        self.number(2) == 0 ? sql : "PRAGMA foreign_keys = ON; \(sql); PRAGMA foreign_keys = OFF"
    }

    /// A statement on the clinic's tables.
    mutating func clinicStatement() -> String {
        let insert = self.pick("INSERT OR REPLACE", "INSERT OR REPLACE", "INSERT OR IGNORE")
        let patient = self.pick("p1", "p2", "p3")
        let bill = self.pick("b1", "b2", "b3", "b4")
        let invoice = self.pick("I1", "I2", "I1~GHJ")
        let user = self.pick("u1", "u2", "u3")
        let service = self.pick("s1", "s2", "s3")
        let item = self.pick("i1", "i2", "i3")
        let appointment = self.pick("a1", "a2")
        let record = self.pick("r1", "r2")
        let name = self.pick("X", "Y", "Z")
        let number = self.number(9)
        switch self.number(26) {
        case 0: return "\(insert) INTO patients(id, fullName) VALUES('\(patient)', 'N\(number)')"
        case 1: return "UPDATE patients SET fullName = 'N\(number)' WHERE id = '\(patient)'"
        case 2: return "UPDATE patients SET email = 'e\(number)' WHERE id = '\(patient)'"
        case 3: return self.enforced("DELETE FROM patients WHERE id = '\(patient)'")
        case 4, 5:
            return """
                \(insert) INTO patient_bills(id, patientId, invoiceNumber, billDate, totalAmount, status)
                VALUES('\(bill)', '\(patient)', '\(invoice)', '', \(number), 'Unpaid')
                """
        case 6: return "UPDATE OR IGNORE patient_bills SET invoiceNumber = '\(invoice)' WHERE id = '\(bill)'"
        case 7: return "UPDATE patient_bills SET invoiceNumber = NULL WHERE id = '\(bill)'"
        case 8: return self.enforced("DELETE FROM patient_bills WHERE id = '\(bill)'")
        case 9:
            return
                "UPDATE OR REPLACE patient_bills SET invoiceNumber = '\(invoice)', notes = 'n\(number)' WHERE id = '\(bill)'"
        case 10, 11:
            return """
                \(insert) INTO bill_items(id, billId, serviceId, description, unitPrice, itemTotal)
                VALUES('\(item)', '\(bill)', '\(service)', 'd\(number)', 1, 1)
                """
        case 12: return "DELETE FROM bill_items WHERE id = '\(item)'"
        case 13: return "UPDATE bill_items SET billId = '\(bill)' WHERE id = '\(item)'"
        case 14, 15:
            return """
                \(insert) INTO clinic_services(id, serviceName, defaultPrice, selectionCount)
                VALUES('\(service)', '\(name)', \(number), \(number))
                """
        case 16:
            return "UPDATE clinic_services SET selectionCount = selectionCount + \(number) WHERE id = '\(service)'"
        case 17: return "UPDATE OR IGNORE clinic_services SET serviceName = '\(name)' WHERE id = '\(service)'"
        case 18: return "DELETE FROM clinic_services WHERE id = '\(service)'"
        case 19: return "\(insert) INTO users(id, username) VALUES('\(user)', '\(name)')"
        case 20: return self.enforced("DELETE FROM users WHERE id = '\(user)'")
        case 21:
            return """
                \(insert) INTO user_sessions
                (id, userId, username, deviceId, loginTime, lastActivity, expiresAt, sessionToken, isActive)
                VALUES('x', '\(user)', 'ana', 'd', '', '', '', '', 0)
                """
        case 22: return "\(insert) INTO appointments(id, patientId, notes) VALUES('\(appointment)', '\(patient)', 'n')"
        case 23: return self.enforced("DELETE FROM appointments WHERE id = '\(appointment)'")
        case 24:
            return """
                \(insert) INTO medical_records
                (id, patientId, appointmentId, serviceId, recordType, recordDate, doctorId, createdAt, updatedAt)
                VALUES('\(record)', '\(patient)', '\(appointment)', '\(service)', 'l', '', '\(user)', '', '')
                """
        default: return "UPDATE OR IGNORE patient_bills SET id = '\(bill)x' WHERE id = '\(bill)'"
        }
    }

    /// A statement on the tables of ``policies``.
    mutating func policyStatement() -> String {
        let insert = self.pick("INSERT OR REPLACE", "INSERT OR IGNORE")
        let node = self.pick("n1", "n2", "n3")
        let up = self.pick("NULL", "'n1'", "'n2'", "'n3'")
        let leaf = self.pick("l1", "l2", "l3")
        let go = self.pick("g1", "g2", "g3")
        let other = self.pick("g1", "g2", "g3")
        let one = self.pick("s1", "s2", "s3")
        let reference = self.pick("r1", "r2", "r3")
        let park = self.pick("k1", "k2", "k3")
        let code = self.pick("a", "A", "b")
        let number = self.number(6)
        switch self.number(26) {
        case 0, 1: return "\(insert) INTO t_node VALUES('\(node)', \(up), 'N\(number)')"
        case 2: return "UPDATE t_node SET up = \(up) WHERE id = '\(node)'"
        case 3: return "UPDATE t_node SET name = 'N\(number)' WHERE id = '\(node)'"
        case 4, 5: return self.enforced("DELETE FROM t_node WHERE id = '\(node)'")
        case 6, 7, 8:
            return """
                \(insert) INTO t_leaf
                VALUES('\(leaf)', '\(node)', \(number % 2), '\(code)', \(number / 3), '\(code)')
                """
        case 9: return "UPDATE OR IGNORE t_leaf SET active = \(number % 2) WHERE id = '\(leaf)'"
        case 10: return "UPDATE OR IGNORE t_leaf SET nodeId = '\(node)', line = \(number % 2) WHERE id = '\(leaf)'"
        case 11: return "UPDATE OR REPLACE t_leaf SET tag = '\(code)', code = '\(code)' WHERE id = '\(leaf)'"
        case 12: return self.enforced("DELETE FROM t_leaf WHERE id = '\(leaf)'")
        case 13, 14: return "\(insert) INTO t_go VALUES('\(go)', '\(leaf)', '\(node)', '\(other)')"
        case 15: return self.enforced("DELETE FROM t_go WHERE id = '\(go)'")
        case 16: return "UPDATE t_go SET leafId = '\(leaf)', nodeId = '\(node)' WHERE id = '\(go)'"
        case 17, 18: return "\(insert) INTO t_one VALUES('\(one)', '\(code)', 'o\(number)', \(number))"
        case 19: return "UPDATE t_one SET n = n + \(number), note = 'o\(number)' WHERE id = '\(one)'"
        case 20: return "UPDATE OR IGNORE t_one SET name = '\(code)' WHERE id = '\(one)'"
        case 21: return "DELETE FROM t_one WHERE id = '\(one)'"
        case 22: return "\(insert) INTO t_ref VALUES('\(reference)', '\(one)', \(number % 2))"
        case 23: return "\(insert) INTO t_park VALUES('\(park)', '\(code)', '\(number)')"
        case 24: return "UPDATE OR IGNORE t_park SET k = '\(code)', x = '\(number)' WHERE id = '\(park)'"
        default: return "DELETE FROM t_park WHERE id = '\(park)'"
        }
    }

    /// The clinic's schema with tables that have every policy: self-references and cycles, keys of several columns,
    /// partial indexes and collations, two keys in one row.
    static let policies = StoreSchema(
        migrations: StoreSchema.clinic.migrations + [
            (
                "m9999_policies",
                """
                CREATE TABLE t_node (id TEXT PRIMARY KEY NOT NULL, up TEXT REFERENCES t_node(id) ON DELETE CASCADE, name TEXT);
                CREATE TABLE t_leaf (
                    id TEXT PRIMARY KEY NOT NULL, nodeId TEXT NOT NULL REFERENCES t_node(id) ON DELETE CASCADE, line INTEGER,
                    code TEXT COLLATE NOCASE, active INTEGER, tag TEXT UNIQUE, UNIQUE(nodeId, line)
                );
                CREATE UNIQUE INDEX t_leaf_code ON t_leaf(code) WHERE active = 1;
                CREATE TABLE t_go (
                    id TEXT PRIMARY KEY NOT NULL, leafId TEXT REFERENCES t_leaf(id),
                    nodeId TEXT REFERENCES t_node(id) ON DELETE SET NULL, other TEXT REFERENCES t_go(id)
                );
                CREATE TABLE t_one (id TEXT PRIMARY KEY NOT NULL, name TEXT UNIQUE, note TEXT, n INTEGER NOT NULL DEFAULT 0);
                CREATE TABLE t_ref (id TEXT PRIMARY KEY NOT NULL, oneId TEXT REFERENCES t_one(id), line INTEGER, UNIQUE(oneId, line));
                CREATE TABLE t_park (id TEXT PRIMARY KEY NOT NULL, k TEXT UNIQUE, x TEXT);
                """
            )
        ],
        manifest: SchemaText.clinicManifest(adding: [
            #""t_node": { "category": "data" }"#,
            #""t_leaf": { "category": "data", "duplicates": { "nodeId,line": "suffix", "code": "suffix", "tag": "null" } }"#,
            #""t_go": { "category": "data", "references": { "leafId": "cascade" } }"#,
            #""t_one": { "category": "data", "duplicates": { "name": "merge" }, "counters": ["n"] }"#,
            #""t_ref": { "category": "data", "duplicates": { "oneId,line": "suffix" } }"#,
            #""t_park": { "category": "data", "duplicates": { "k": "park" } }"#,
        ])
    )
}
