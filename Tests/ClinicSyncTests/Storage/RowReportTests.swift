import ClinicSyncCore
import ClinicSyncModel
import GRDB
import Testing

@testable import ClinicSyncStorage

@Suite("Who wrote what")
struct RowReportTests {
    private func clinic() throws -> (a: TestStore, b: TestStore) {
        let (a, b) = (try TestStore(1), try TestStore(2))
        try a.sql("INSERT INTO patients(id, fullName) VALUES('p1', 'Ana'), ('p/1', 'Bea'), ('p1/fullName', 'Cleo')")
        try converge([a, b])
        return (a, b)
    }

    @Test("each field names who wrote it, when, in which transaction, and what it beat")
    func fields() throws {
        let (a, b) = try self.clinic()
        try a.sql("UPDATE patients SET address = 'Earlier' WHERE id = 'p/1'")
        b.now += 10
        try b.sql("UPDATE patients SET address = 'Later' WHERE id = 'p/1'")
        try converge([a, b])
        for store in [a, b] {
            let report = try store.reader.report("patients/p/1")
            #expect(report.state == .shown && report.key == .string("p/1") && report.deletion == nil)
            let address = try #require(report.columns.first { $0.name == "address" })
            #expect(address.value == .string("Later"))
            #expect(address.version?.origin == b.origin && address.version?.sequence == 1)
            #expect(address.beaten.map(\.other.value) == [.string("Earlier")])
            #expect(address.beaten.map(\.other.node) == [a.origin.node])
            let name = try #require(report.columns.first { $0.name == "fullName" })
            #expect(name.value == .string("Bea") && name.version?.origin == a.origin && name.beaten.isEmpty)
            #expect(!report.columns.contains { $0.name == "id" })
            #expect(try store.reader.report("patients/p/1/address").columns == [address])
        }
    }

    @Test("keys with slashes are found before columns, and columns where there is no such key")
    func slashes() throws {
        let (a, _) = try self.clinic()
        #expect(try a.reader.report("patients/p1/fullName").key == .string("p1/fullName"))
        let column = try a.reader.report("patients/p1/address")
        #expect(column.key == .string("p1") && column.column == "address" && column.columns.count == 1)
        let twice = try a.reader.report("patients/p1/fullName/fullName")
        #expect(twice.key == .string("p1/fullName") && twice.columns.map(\.value) == [.string("Cleo")])
        try a.sql("INSERT INTO patients(id, fullName) VALUES(x'00ff', 'Dora')")
        try a.collect()
        #expect(try a.reader.report("patients/x'00ff'/fullName").columns.map(\.value) == [.string("Dora")])
        // Not one of these is the text form of a BLOB.
        for text in ["x'\u{E9}'", "x'+1'", "x'0'", "x'", "x''x"] {
            #expect(try a.reader.report("patients/\(text)").state == .unknown)
        }
    }

    @Test("a deleted row tells who deleted it and what it was last, an unknown one that it is unknown")
    func deleted() throws {
        let (a, b) = try self.clinic()
        b.now += 500
        try b.sql("DELETE FROM patients WHERE id = 'p/1'")
        try converge([a, b])
        let report = try a.reader.report("patients/p/1/fullName")
        #expect(report.state == .deleted && report.deletion?.origin == b.origin)
        #expect(report.columns.map(\.value) == [.string("Bea")])
        let unknown = try a.reader.report("patients/never/fullName")
        #expect(unknown.state == .unknown && unknown.key == .string("never") && unknown.column == "fullName")
        #expect(unknown.columns.isEmpty)
        #expect(
            try a.reader.report("clinic_services/service-urinalysis").columns.allSatisfy { $0.version?.sequence == 0 }
        )
    }

    @Test("what a program has just written has no author yet, and paths that name nothing are refused")
    func edges() throws {
        let (a, _) = try self.clinic()
        try a.sql("INSERT INTO patients(id, fullName) VALUES('p9', 'New')")
        let report = try a.reader.report("patients/p9/fullName")
        #expect(report.state == .shown && report.columns.map(\.value) == [.string("New")])
        #expect(report.columns.map(\.version) == [nil])
        for path in ["", "patients", "patients/", "/p1"] {
            #expect(throws: MalformedPath()) { try a.reader.report(path) }
        }
        #expect(throws: UnknownTable(name: "clinicsync_node")) { try a.reader.report("clinicsync_node/n1") }
        #expect(throws: UnknownTable(name: "nothing")) { try a.reader.report("nothing/p1") }
    }
}
