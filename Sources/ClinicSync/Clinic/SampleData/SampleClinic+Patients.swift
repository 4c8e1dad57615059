import ClinicSyncModel

extension SampleClinic {
    /// The data of a patient that visits need.
    private struct Person {
        var id: SQLiteValue
        var name: String
        var isFemale: Bool
        var age: Int
        var isSenior: Bool { self.age >= 60 }
    }

    /// Writes a patient and all related rows.
    func addPatient(_ number: Int) throws {
        var draws = SampleDraws(seed: self.seed, part: UInt64(number))
        let registered = draws.number(-SampleCalendar.past ... -1)
        let person = try self.register(day: registered, draws: &draws)
        if draws.chance(35) { try self.change(person, day: registered, draws: &draws) }
        // Most patients come once, and some come often.
        var visits = draws.chance(85) ? 1 : 0
        while visits > 0, visits < 6, draws.chance(35) { visits += 1 }
        for _ in 0..<visits { try self.visit(person, on: draws.number(registered...0), draws: &draws) }
        if draws.chance(20) { try self.plan(person, draws: &draws) }
    }

    private func register(day: Int, draws: inout SampleDraws) throws -> Person {
        let isFemale = draws.chance(54)
        let first = draws.pick(isFemale ? SampleVocabulary.femaleNames : SampleVocabulary.maleNames)
        let (middle, last) = (draws.pick(SampleVocabulary.surnames), draws.pick(SampleVocabulary.surnames))
        let suffix = isFemale ? nil : draws.chance(8) ? draws.pick(SampleVocabulary.suffixes) : nil
        let name = [first, middle, last, suffix].compactMap(\.self).joined(separator: " ")
        let born = self.calendar.year - draws.number(1...88)
        let age = self.calendar.year - born
        let month = SampleDraws.padded(String(draws.number(1...12)), 2)
        let date = "\(born)-\(month)-\(SampleDraws.padded(String(draws.number(1...28)), 2))"
        let isIll = age > 45 && draws.chance(40)
        let contact = "\(draws.pick(SampleVocabulary.femaleNames)) \(last)"
        let moment = self.calendar.moment(day, draws.number(0...500))
        let mail = first.lowercased().filter { $0.isASCII && $0.isLetter }
        let id = try self.writer.insert(
            .patients,
            [
                .string(name), .string(first), .string(middle), .string(last), suffix.map { .string($0) } ?? .null,
                .string(date), .string(isFemale ? "Female" : "Male"),
                .string(age < 18 ? "Single" : draws.pick(SampleVocabulary.civilStatuses)), .string(draws.telephone()),
                draws.chance(40) ? .string("\(mail).\(draws.number(1...9_999))@example.com") : .null,
                .string(draws.address()), draws.maybe(70, SampleVocabulary.bloodTypes),
                draws.maybe(15, SampleVocabulary.allergies),
                isIll ? .string(draws.pick(SampleVocabulary.medications)) : .null,
                isIll ? .string(draws.pick(SampleVocabulary.pastIllnesses)) : .null, .string(contact),
                .string(draws.telephone()), .string(self.calendar.date(day)), .string(moment), .string(moment),
                .integer(age >= 60 ? 1 : 0),
            ]
        )
        try self.log(self.admins[0], "Registered a patient", of: (id, "patients"), at: moment)
        if draws.chance(25) {
            self.invite(Visitor(patient: id, name: name, gender: isFemale ? "Female" : "Male", age: age))
        }
        return Person(id: id, name: name, isFemale: isFemale, age: age)
    }

    /// A correction of the patient's registration data, as the history keeps it.
    private func change(_ person: Person, day: Int, draws: inout SampleDraws) throws {
        let moment = self.calendar.moment(draws.number(day...0), draws.number(0...500))
        let changes: [(field: String, old: String, new: String)] = [
            ("contactNumber", draws.telephone(), draws.telephone()), ("address", draws.address(), draws.address()),
        ]
        for change in changes.prefix(draws.number(1...2)) {
            try self.writer.insert(
                .patientHistory,
                [
                    person.id, .string(change.field), .string(change.old), .string(change.new), .string(moment),
                    self.admins[0].id, .string("Front desk"),
                ]
            )
        }
    }

    // MARK: - Visits

    /// A past visit or a visit of today, with its result and its bill.
    private func visit(_ person: Person, on day: Int, draws: inout SampleDraws) throws {
        let chosen = self.choose(for: (person.isFemale, person.age), &draws)
        let doctor = draws.pick(self.doctors)
        let start = draws.number(0...96) * 5
        let isServed = draws.chance(92)
        let isPaid = isServed && draws.chance(85)
        self.count(day, isServed: isServed)
        let appointment = try self.writer.insert(
            .appointments,
            [
                person.id, .string(self.calendar.date(day)), .string(SampleClinic.clock(start)), doctor.id,
                .string(self.services[chosen[0]].name), .integer(Int64(draws.number(2...6) * 5)),
                .string(isServed ? "Completed" : "Cancelled"),
                isServed ? .string(self.calendar.moment(day, start + 10)) : .null,
                isServed ? .string(self.calendar.moment(day, start + 35)) : .null, self.json(chosen),
                .double(self.price(chosen)), .string(isPaid ? "Paid" : "Pending"),
                isServed ? .null : .string(self.calendar.moment(day, start)),
                isServed ? .null : .string(draws.pick(SampleVocabulary.cancellationReasons)),
                .integer(draws.chance(50) ? 1 : 0), .string(self.calendar.moment(day, start)),
                .string(self.calendar.moment(day, start + 35)),
            ]
        )
        guard isServed else { return }
        let moment = self.calendar.moment(day, start + 35)
        try self.addRecord(of: person, appointment, chosen, doctor, at: (day, moment), draws: &draws)
        try self.addBill(of: person, chosen, isPaid: isPaid, at: (day, moment), draws: &draws)
    }

    /// An appointment in the next two weeks.
    private func plan(_ person: Person, draws: inout SampleDraws) throws {
        let chosen = self.choose(for: (person.isFemale, person.age), &draws)
        let made = self.calendar.moment(0, draws.number(0...60))
        try self.writer.insert(
            .appointments,
            [
                person.id, .string(self.calendar.date(draws.number(1...SampleCalendar.future))),
                .string(SampleClinic.clock(draws.number(0...96) * 5)), draws.pick(self.doctors).id,
                .string(self.services[chosen[0]].name), .integer(30),
                .string(draws.pick(["Scheduled", "Confirmed", "Pending"])), .null, .null, self.json(chosen),
                .double(self.price(chosen)), .string("Pending"), .null, .null, .integer(0), .string(made),
                .string(made),
            ]
        )
    }

    private func addRecord(
        of person: Person,
        _ appointment: SQLiteValue,
        _ chosen: [Int],
        _ doctor: Member,
        at time: (day: Int, moment: String),
        draws: inout SampleDraws
    ) throws {
        let service = self.services[chosen[0]]
        let finding = draws.pick(SampleVocabulary.findings)
        let isLaboratory = service.isLaboratory
        let id = try self.writer.insert(
            .medicalRecords,
            [
                person.id, appointment, service.id, self.json(chosen),
                .string(isLaboratory ? "laboratory" : "consultation"), .string(self.calendar.date(time.day)),
                isLaboratory ? .null : .string(finding.diagnosis), isLaboratory ? .null : .string(finding.treatment),
                isLaboratory ? .null : .string(finding.prescription),
                isLaboratory ? .string(SampleClinic.results(&draws)) : .null,
                draws.chance(20) ? .string("Advised to return in two weeks") : .null, doctor.id, .string(time.moment),
                .string(time.moment),
            ]
        )
        let author = isLaboratory ? draws.pick(self.technicians) : doctor
        try self.log(author, "Entered a result", of: (id, "medical_records"), at: time.moment)
    }

    private func addBill(
        of person: Person,
        _ chosen: [Int],
        isPaid: Bool,
        at time: (day: Int, moment: String),
        draws: inout SampleDraws
    ) throws {
        let number = self.nextNumber()
        let subtotal = self.price(chosen)
        // By law, senior citizens pay a fifth less.
        let discount = person.isSenior ? subtotal * 0.2 : 0
        let total = subtotal - discount
        let isPartial = isPaid && draws.chance(7)
        let bill = try self.writer.insert(
            .bills,
            [
                person.id, .string("INV-\(number)"), .string(time.moment),
                .string(self.calendar.date(min(time.day + 7, SampleCalendar.future))), .double(subtotal),
                .double(discount), .double(0), .double(total),
                .string(isPartial ? "PartiallyPaid" : isPaid ? "Paid" : "Unpaid"),
                person.isSenior ? .string("Senior citizen discount") : .null, self.admins[0].id,
            ]
        )
        for index in chosen {
            let service = self.services[index]
            try self.writer.insert(
                .billItems,
                [bill, service.id, .string(service.name), .integer(1), .double(service.price), .double(service.price)]
            )
        }
        guard isPaid else { return }
        let payment = try self.writer.insert(
            .payments,
            [
                bill, person.id, .string(person.name), .string("INV-\(number)"), .string("OR-\(number)"),
                .string(time.moment), .double(isPartial ? total / 2 : total), .double(total),
                .string(draws.pick(SampleVocabulary.paymentMethods)), self.admins[0].id, .null,
            ]
        )
        try self.log(self.admins[0], "Received a payment", of: (payment, "payments"), at: time.moment)
    }

    /// Converts minutes after opening to a time of day.
    private static func clock(_ minutes: Int) -> String {
        let hour = SampleDraws.padded(String(8 + minutes / 60), 2)
        return "\(hour):\(SampleDraws.padded(String(minutes % 60), 2))"
    }

    private static func results(_ draws: inout SampleDraws) -> String {
        """
        {"hemoglobin":{"value":\(draws.number(95...170)),"unit":"g/L"},\
        "leukocytes":{"value":\(draws.number(4...13)),"unit":"10^9/L"},\
        "platelets":{"value":\(draws.number(150...420)),"unit":"10^9/L"}}
        """
    }
}
