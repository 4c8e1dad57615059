import ClinicSyncModel
import GRDB

/// The clinic of the made-up rows: its staff, its services, and the rows written so far.
final class SampleClinic {
    /// A member of the staff.
    struct Member {
        var id: SQLiteValue
        var username: String
        var fullName: String
        var device: Int
    }

    /// A service of the clinic.
    struct Service {
        var id: SQLiteValue
        var name: String
        var price: Double
        var isLaboratory: Bool
    }

    /// A patient who comes today.
    struct Visitor {
        var patient: SQLiteValue
        var name: String
        var gender: String
        var age: Int
    }

    /// The counts of one day.
    struct Day {
        var served = 0
        var removed = 0
    }

    /// The largest number of entries in today's queue.
    static let queueMax = 24

    let seed: UInt64
    let writer: SampleWriter
    let calendar: SampleCalendar
    /// A random part of unique numbers, so that two runs never make the same number.
    let tag: String
    private(set) var doctors: [Member] = []
    private(set) var technicians: [Member] = []
    private(set) var admins: [Member] = []
    let services: [Service]
    private(set) var visitors: [Visitor] = []
    private var selections: [Int]
    private var days: [Int: Day] = [:]
    private(set) var lastInvoice = 0

    /// Reads the services and creates the staff.
    init(seed: UInt64, patients: Int, writer: SampleWriter, db: Database) throws {
        self.seed = seed
        self.writer = writer
        self.calendar = try SampleCalendar(db)
        self.tag = try String.fetchOne(db, sql: "SELECT hex(randomblob(3))") ?? ""
        self.services = try SampleClinic.services(db)
        self.selections = self.services.map { _ in 0 }
        let draws = SampleDraws(seed: seed, part: .max)
        // The clinic has one doctor for every 2 000 patients, but never a hundred doctors.
        try self.hire(doctors: min(3 + patients / 2_000, 12), draws: draws)
    }

    private static func services(_ db: Database) throws -> [Service] {
        var services: [Service] = []
        let rows = try Row.fetchAll(
            db,
            sql: "SELECT id, serviceName, defaultPrice, category FROM clinic_services ORDER BY id"
        )
        for row in rows {
            let price: Double =
                switch (row[2] as DatabaseValue).storage {
                case .double(let number): number
                case .int64(let number): Double(number)
                case .null, .string, .blob: 300
                }
            services.append(
                Service(
                    id: SQLiteValue(row[0] as DatabaseValue),
                    name: String.fromDatabaseValue(row[1]) ?? "",
                    price: price,
                    isLaboratory: String.fromDatabaseValue(row[3]) == "Laboratory"
                )
            )
        }
        // A clinic may have deleted all services for everybody. Bills then name such a service without a reference.
        if !services.contains(where: { !SampleClinic.isForSome($0) }) {
            services.append(Service(id: .null, name: "Consultation", price: 500, isLaboratory: false))
        }
        return services
    }

    /// Returns whether only some patients take the service.
    private static func isForSome(_ service: Service) -> Bool {
        service.name.hasPrefix("Prenatal") || service.name.hasPrefix("Pediatric")
    }

    // MARK: - Staff

    private func hire(doctors: Int, draws: SampleDraws) throws {
        var draws = draws
        self.admins = [try self.hire("admin", device: 0, draws: &draws)]
        for number in 0..<doctors {
            self.doctors.append(try self.hire("doctor", device: 1 + number % 2, draws: &draws))
        }
        for _ in 0..<2 { self.technicians.append(try self.hire("medtech", device: 3, draws: &draws)) }
    }

    private func hire(_ role: String, device: Int, draws: inout SampleDraws) throws -> Member {
        let isFemale = draws.chance(55)
        let given = draws.pick(isFemale ? SampleVocabulary.femaleNames : SampleVocabulary.maleNames)
        let surname = draws.pick(SampleVocabulary.surnames)
        let fullName = (role == "doctor" ? "Dr. " : "") + "\(given) \(surname)"
        let number = self.doctors.count + self.technicians.count
        let short = surname.lowercased().filter { $0.isASCII && $0.isLetter }
        let username = "\(given.lowercased().prefix(1))\(short)\(number).\(self.tag.lowercased())"
        let since = self.calendar.moment(-SampleCalendar.past, 0)
        var values: [SQLiteValue] = [
            // The hash of an unknown value, so that nobody can log in as a made-up person.
            .string(username), .string("sha256:" + draws.hash()), .string(role), .string(fullName),
            .string("\(username)@example.com"), .string(draws.telephone()),
        ]
        for question in SampleVocabulary.securityQuestions {
            values += [.string(question), .string("sha256:" + draws.hash())]
        }
        values += [
            .string(role == "doctor" ? #"["Mon","Wed","Fri"]"# : #"["Mon","Tue","Wed","Thu","Fri","Sat"]"#),
            .string("08:00"), .string("17:00"), .string(since), .string(since),
        ]
        let id = try self.writer.insert(.users, values)
        let member = Member(id: id, username: username, fullName: fullName, device: device)
        try self.addSessions(of: member, draws: &draws)
        return member
    }

    /// Adds yesterday's ended session and today's session.
    private func addSessions(of member: Member, draws: inout SampleDraws) throws {
        for day in [-1, 0] {
            let login = draws.number(0...20)
            let end = self.calendar.moment(day, 470)
            let hasEnded = day < 0
            try self.writer.insert(
                .sessions,
                [
                    member.id, .string(member.username), .string("sample-\(self.tag.lowercased())-\(member.device)"),
                    .string(SampleVocabulary.devices[member.device]), .string(self.calendar.moment(day, login)),
                    .string(hasEnded ? end : self.calendar.moment(day, login + 5)),
                    .string(self.calendar.moment(day, login + 480)), hasEnded ? .string(end) : .null,
                    hasEnded ? .string("logout") : .null, .string("192.0.2.\(10 + member.device)"),
                    .integer(hasEnded ? 0 : 1), .string(draws.hash()),
                ]
            )
            try self.log(member, "Logged in", at: self.calendar.moment(day, login))
        }
    }

    // MARK: - What patients' visits leave behind

    /// Adds an entry to the activity log.
    func log(_ member: Member, _ action: String, of record: (id: SQLiteValue, table: String)? = nil, at time: String)
        throws
    {
        try self.writer.insert(
            .activity,
            [
                member.id, .string(action), record?.id ?? .null, record.map { .string($0.table) } ?? .null,
                .string(time),
                .string(SampleVocabulary.devices[member.device]),
            ]
        )
    }

    /// Chooses services for a patient of this sex and age, usually one service.
    func choose(for person: (isFemale: Bool, age: Int), _ draws: inout SampleDraws) -> [Int] {
        let offered = self.services.indices.filter { index in
            let name = self.services[index].name
            if name.hasPrefix("Prenatal") { return person.isFemale && (16...45).contains(person.age) }
            return !name.hasPrefix("Pediatric") || person.age < 18
        }
        var chosen = [draws.pick(offered)]
        while chosen.count < min(4, offered.count), draws.chance(35) {
            let next = draws.pick(offered)
            if !chosen.contains(next) { chosen.append(next) }
        }
        for index in chosen { self.selections[index] += 1 }
        return chosen
    }

    /// Returns the names of services as JSON.
    ///
    /// The names contain no characters that JSON escapes.
    func json(_ chosen: [Int]) -> SQLiteValue {
        .string("[" + chosen.map { "\"\(self.services[$0].name)\"" }.joined(separator: ",") + "]")
    }

    /// Returns the total price of services.
    func price(_ chosen: [Int]) -> Double { chosen.reduce(0) { $0 + self.services[$1].price } }

    /// Returns the next number of an invoice and its receipt.
    func nextNumber() -> String {
        self.lastInvoice += 1
        return "\(self.tag)-\(SampleDraws.padded(String(self.lastInvoice), 6))"
    }

    /// Counts a visit for its day's report.
    func count(_ day: Int, isServed: Bool) {
        if isServed { self.days[day, default: Day()].served += 1 } else { self.days[day, default: Day()].removed += 1 }
    }

    /// Adds a patient to today's queue.
    func invite(_ visitor: Visitor) {
        if self.visitors.count < SampleClinic.queueMax { self.visitors.append(visitor) }
    }

    // MARK: - What days leave behind

    /// Writes today's queue, the reports of recent days, and the services' counters.
    func addDays() throws {
        var draws = SampleDraws(seed: self.seed, part: .max - 1)
        for (index, visitor) in self.visitors.enumerated() {
            try self.enqueue(visitor, number: index + 1, draws: &draws)
        }
        for day in -7...(-1) { try self.report(day, draws: &draws) }
        for (index, service) in self.services.enumerated() where self.selections[index] > 0 {
            try self.writer.count(self.selections[index], of: service.id)
        }
    }

    private func enqueue(_ visitor: Visitor, number: Int, draws: inout SampleDraws) throws {
        let chosen = self.choose(for: (visitor.gender == "Female", visitor.age), &draws)
        let doctor = draws.pick(self.doctors)
        let arrival = number * 11
        // The first third is done, one or two patients are with a doctor, and the others wait.
        let share = number * 3 / max(self.visitors.count, 1)
        let status =
            share == 0
            ? "served" : number * 3 / self.visitors.count == 1 && number % 4 == 0 ? "in_consultation" : "waiting"
        try self.writer.insert(
            .queue,
            [
                visitor.patient, .string(visitor.name), .string(self.calendar.moment(0, arrival)),
                .integer(Int64(number)),
                .string(visitor.gender), .integer(Int64(visitor.age)), .string(draws.pick(SampleVocabulary.purposes)),
                self.json(chosen), .double(self.price(chosen)), .string(status),
                .string(status == "served" ? "Paid" : "Pending"), .string(self.calendar.moment(0, arrival)),
                self.admins[0].id, status == "served" ? .string(self.calendar.moment(0, arrival + 40)) : .null,
                status == "waiting" ? .null : .string(self.calendar.moment(0, arrival + 25)), doctor.id,
                .string(doctor.fullName), .integer(draws.chance(60) ? 1 : 0),
            ]
        )
    }

    private func report(_ day: Int, draws: inout SampleDraws) throws {
        let counted = self.days[day] ?? Day()
        let total = counted.served + counted.removed
        try self.writer.insert(
            .reports,
            [
                .string(self.calendar.date(day)), .integer(Int64(total)), .integer(Int64(counted.served)),
                .integer(Int64(counted.removed)), .string(String(draws.number(12...45))),
                .string("\(draws.number(9...11)):00"),
                .string("{\"served\":\(counted.served),\"removed\":\(counted.removed)}"),
                .string(self.calendar.moment(day, 545)), self.admins[0].id,
            ]
        )
    }
}
