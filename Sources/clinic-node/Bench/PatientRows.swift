import ClinicSyncModel

/// Rows of twelve columns for `patients`, made before the clock starts.
///
/// All texts lie one after the other in one buffer, so that inserting them costs a program nothing but SQLite.
struct PatientRows {
    /// Inserts one row.
    static let insertSQL = """
        INSERT INTO patients (id, fullName, firstName, lastName, birthDate, gender, civilStatus, contactNumber, address,
        bloodType, createdAt, updatedAt) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12)
        """
    private static let columns = 12
    private static let firstNames = ["Ana", "Benito", "Carmela", "Diego", "Elena", "Fidel", "Gloria", "Hernán"]
    private static let lastNames = ["Reyes", "Santos", "Cruz", "Bautista", "Ocampo", "García", "Mendoza", "Torres"]

    /// How many rows there are.
    let count: Int
    private var bytes: [UInt8] = []
    private var ends: [Int] = []

    /// Makes `count` rows whose keys ascend, as those of the tables' DEFAULT do; `batch` keeps keys of several apart.
    init(count: Int, batch: Int) {
        self.count = count
        var state = UInt64(batch &+ 1) &* 0x9e37_79b9_7f4a_7c15
        func next() -> UInt64 {
            // xorshift64*; any evenly spread numbers would do.
            state ^= state >> 12
            state ^= state << 25
            state ^= state >> 27
            return state &* 0x2545_f491_4f6c_dd1d
        }
        for row in 0..<count {
            let first = Self.firstNames[Int(next() % 8)]
            let last = Self.lastNames[Int(next() % 8)] + "-\(next() % 10_000)"
            let time = 0x19f_0000_0000 + UInt64(batch) << 32 + UInt64(row)
            self.add(
                time.padded(to: 12, radix: 16) + next().padded(to: 16, radix: 16)
                    + (next() & 0xffff).padded(to: 4, radix: 16)
            )
            self.add("\(first) \(last)")
            self.add(first)
            self.add(last)
            self.add("\(1930 + next() % 90)-0\(1 + next() % 9)-1\(next() % 10)")
            self.add(next() & 1 == 0 ? "Female" : "Male")
            self.add("Single")
            self.add("09\(100_000_000 + next() % 900_000_000)")
            self.add("\(1 + next() % 400) Rizal Street, Barangay \(1 + next() % 90)")
            self.add("O+")
            self.add("2026-11-21T08:00:00.000Z")
            self.add("2026-11-21T08:00:00.000Z")
        }
    }

    /// The key of a row.
    func key(_ row: Int) -> [UInt8] { Array(self.bytes[self.range(row, 0)]) }

    /// The texts of a row, in the order of the statement's parameters.
    func row(_ row: Int) -> [String] {
        (0..<Self.columns).map { String(decoding: self.bytes[self.range(row, $0)], as: UTF8.self) }
    }

    /// Executes `statement`, prepared from ``insertSQL``, for every row of `rows`.
    func insert(_ rows: Range<Int>, with statement: ProgramStatement) throws {
        try self.bytes.withUnsafeBytes { bytes in
            for row in rows {
                for column in 0..<Self.columns {
                    let text = UnsafeRawBufferPointer(rebasing: bytes[self.range(row, column)])
                    statement.bind(Int32(column + 1), text: text)
                }
                try statement.run()
            }
        }
    }

    private func range(_ row: Int, _ column: Int) -> Range<Int> {
        let index = row * Self.columns + column
        return (index == 0 ? 0 : self.ends[index - 1])..<self.ends[index]
    }

    private mutating func add(_ text: String) {
        self.bytes.append(contentsOf: text.utf8)
        self.ends.append(self.bytes.count)
    }
}
