import ClinicSyncModel
import ClinicSyncStorage
import GRDB
import Testing

@Suite("Rows that depend on other rows")
struct ProjectionTests {
    private static let bill =
        "INSERT INTO patient_bills(id, patientId, invoiceNumber, billDate, totalAmount, status) VALUES"

    private func invoices(_ store: TestStore) throws -> [String] {
        try store.queue.read { db in
            try String.fetchAll(
                db,
                sql: "SELECT id || ' ' || coalesce(invoiceNumber, '-') FROM patient_bills ORDER BY id"
            )
        }
    }

    private func patient(_ stores: [TestStore]) throws {
        try stores[0].sql("INSERT INTO patients(id, fullName) VALUES('p1', 'Ana')")
        try converge(stores)
    }

    @Test(
        "of two rows with one invoice number the older keeps it, the other gets a suffix, and the number when it is free"
    )
    func suffix() throws {
        let stores = [try TestStore(1), try TestStore(2)]
        try self.patient(stores)
        try stores[1].sql("\(Self.bill)('b', 'p1', 'INV-1', '', 2, 'Unpaid')")
        try stores[1].collect()
        stores[0].now += 50
        try stores[0].sql("\(Self.bill)('a', 'p1', 'INV-1', '', 1, 'Unpaid')")
        try converge(stores)
        try expectEqual(stores)
        let shown = try self.invoices(stores[0])
        #expect(shown[1] == "b INV-1")
        #expect(shown[0].hasPrefix("a INV-1~") && shown[0].count == "a INV-1~ABC".count)

        // A program that writes back a shown value does not change the row's own value.
        try stores[0].sql("UPDATE patient_bills SET notes = 'x', invoiceNumber = invoiceNumber WHERE id = 'a'")
        try converge(stores)
        try expectEqual(stores)
        try stores[1].sql("UPDATE patient_bills SET invoiceNumber = 'INV-2' WHERE id = 'b'")
        try converge(stores)
        try expectEqual(stores)
        #expect(try self.invoices(stores[0]) == ["a INV-1", "b INV-2"])
        #expect(try stores[1].value(Int.self, "SELECT count(*) FROM clinicsync_shadow") == 0)
        #expect(try stores[1].value(Int.self, "SELECT count(*) FROM clinicsync_claim") == 0)
    }

    @Test("the number goes to the next when its owner is deleted, on whichever PC")
    func ownerDeleted() throws {
        let stores = [try TestStore(1), try TestStore(2), try TestStore(3)]
        try self.patient(stores)
        for (index, store) in stores.enumerated() {
            stores[index].now += Int64(index) * 100
            try store.sql("\(Self.bill)('b\(index)', 'p1', 'INV-1', '', 2, 'Unpaid')")
        }
        try converge(stores)
        try expectEqual(stores)
        #expect(try self.invoices(stores[2]).first == "b0 INV-1")
        try stores[2].sql("DELETE FROM patient_bills WHERE id = 'b0'")
        try converge(stores)
        try expectEqual(stores)
        #expect(try self.invoices(stores[1]).first == "b1 INV-1")
        try stores[2].sql("DELETE FROM patient_bills WHERE id = 'b1'")
        try converge(stores)
        try expectEqual(stores)
        #expect(try self.invoices(stores[0]) == ["b2 INV-1"])
        #expect(try stores[1].value(Int.self, "SELECT count(*) FROM clinicsync_shadow") == 0)
    }

    @Test("two services of one name become one; what refers to either refers to it")
    func merge() throws {
        let stores = [try TestStore(1), try TestStore(2)]
        try self.patient(stores)
        try stores[0].sql(
            """
            INSERT INTO clinic_services(id, serviceName, description, selectionCount) VALUES('s1', 'X-ray', 'chest', 3);
            \(Self.bill)('b1', 'p1', 'INV-1', '', 2, 'Unpaid');
            INSERT INTO bill_items(id, billId, serviceId, description, unitPrice, itemTotal) VALUES('i1', 'b1', 's1', '', 1, 1)
            """
        )
        try stores[0].collect()
        stores[1].now += 1000
        try stores[1].sql(
            """
            INSERT INTO clinic_services(id, serviceName, defaultPrice, selectionCount) VALUES('s2', 'X-ray', 5, 4);
            \(Self.bill)('b2', 'p1', 'INV-2', '', 2, 'Unpaid');
            INSERT INTO bill_items(id, billId, serviceId, description, unitPrice, itemTotal) VALUES('i2', 'b2', 's2', '', 1, 1)
            """
        )
        try converge(stores)
        try expectEqual(stores)
        let row =
            "SELECT id || serviceName || description || defaultPrice || selectionCount FROM clinic_services WHERE serviceName = 'X-ray'"
        #expect(try stores[0].value(String.self, row) == "s1X-raychest5.07")
        #expect(try stores[0].value(String.self, "SELECT group_concat(serviceId) FROM bill_items") == "s1,s1")

        try stores[1].sql("UPDATE clinic_services SET selectionCount = selectionCount + 1 WHERE id = 's1'")
        try stores[0].sql(
            "UPDATE clinic_services SET selectionCount = selectionCount + 1, defaultPrice = 6 WHERE id = 's1'"
        )
        try converge(stores)
        try expectEqual(stores)
        #expect(try stores[0].value(String.self, row) == "s1X-raychest6.09")
        try stores[1].sql("UPDATE clinic_services SET serviceName = 'Roentgen' WHERE id = 's1'")
        try converge(stores)
        try expectEqual(stores)
        #expect(try stores[0].value(Int.self, "SELECT count(*) FROM clinic_services WHERE id IN ('s1', 's2')") == 1)
        try stores[1].sql("DELETE FROM clinic_services WHERE id = 's1'")
        try converge(stores)
        #expect(try stores[0].value(Int.self, "SELECT count(*) FROM clinic_services WHERE id IN ('s1', 's2')") == 0)
        try expectEqual(stores)
    }

    @Test(
        "a child whose parent was deleted by somebody who did not know of it brings it back, with what that needs",
        arguments: [true, false]
    )
    func revival(childFirst: Bool) throws {
        let stores = [try TestStore(1), try TestStore(2), try TestStore(3)]
        try self.patient(stores)
        try stores[0].sql("\(Self.bill)('b', 'p1', 'INV-1', '', 1, 'Unpaid')")
        try converge(stores)
        try stores[0].sql("PRAGMA foreign_keys = ON; DELETE FROM patients; PRAGMA foreign_keys = OFF")
        #expect(try stores[0].value(Int.self, "SELECT count(*) FROM patient_bills") == 0)
        try stores[1].sql(
            "INSERT INTO bill_items(id, billId, description, unitPrice, itemTotal) VALUES('i', 'b', 'x', 1, 1)"
        )
        try stores[childFirst ? 1 : 0].send(to: stores[2])
        try stores[childFirst ? 0 : 1].send(to: stores[2])
        try converge(stores)
        try expectEqual(stores)
        #expect(
            try stores[2].value(String.self, "SELECT fullName || invoiceNumber FROM patients, patient_bills")
                == "AnaINV-1"
        )
        // A deletion by an author who knows of the child deletes the row.
        try stores[0].sql("PRAGMA foreign_keys = ON; DELETE FROM patients; PRAGMA foreign_keys = OFF")
        try converge(stores)
        try expectEqual(stores)
        for table in ["patients", "patient_bills", "bill_items"] {
            #expect(try stores[2].value(Int.self, "SELECT count(*) FROM \(table)") == 0)
        }
        #expect(try stores[2].value(Int.self, "SELECT count(*) FROM clinicsync_shadow") == 0)
    }

    @Test(
        "a reference to a row deleted meanwhile becomes NULL where the schema says so, and a session goes with its user"
    )
    func references() throws {
        let stores = [try TestStore(1), try TestStore(2)]
        try self.patient(stores)
        try stores[0].sql("INSERT INTO users(id, username) VALUES('u', 'ana')")
        try converge(stores)
        try stores[0].sql("PRAGMA foreign_keys = ON; DELETE FROM users; PRAGMA foreign_keys = OFF")
        try stores[1].sql(
            """
            INSERT INTO patient_history(id, patientId, fieldName, updatedAt, updatedByUserId) VALUES('h', 'p1', 'x', '', 'u');
            INSERT INTO user_sessions(id, userId, username, deviceId, loginTime, lastActivity, expiresAt, sessionToken)
            VALUES('s', 'u', 'ana', 'd', '', '', '', '')
            """
        )
        try converge(stores)
        try expectEqual(stores)
        #expect(
            try stores[1].value(Int.self, "SELECT count(*) FROM patient_history WHERE updatedByUserId IS NULL") == 1
        )
        #expect(try stores[1].value(Int.self, "SELECT count(*) FROM user_sessions") == 0)
        #expect(try stores[1].value(Int.self, "SELECT count(*) FROM users") == 0)
    }
}
