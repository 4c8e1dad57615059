import ClinicSyncCore
import GRDB

/// A clinic's morning: patients come, wait, are seen and pay, and a PC loses the network.
///
/// Everything is written by programs, with the statements that clinic programs use, on one PC's file each.
struct DemoMorning {
    /// Between two transactions.
    static let pace = Duration.milliseconds(280)
    /// Without a limit the special events come back after this time.
    static let cycle = Duration.seconds(40)
    /// Patients on their way through the clinic at most.
    static let visitsMax = 6

    /// A patient on the way through the clinic.
    private struct Visit {
        /// The patient's progress.
        enum Stage {
            case registered
            case waiting
            case inConsultation
            case seen
        }

        var patient: String
        var name: String
        var entry = ""
        var number = 0
        var stage = Stage.registered
    }

    private let clinic: DemoClinic
    private let isStopWanted: @Sendable () -> Bool
    private let deadline: ContinuousClock.Instant?
    private let cycle: Duration
    private var dice = SplitMix64(seed: 20_261_121)
    private var visits: [Visit] = []
    private var bills = 0

    init(clinic: DemoClinic, duration: Duration?, isStopWanted: @escaping @Sendable () -> Bool) {
        self.clinic = clinic
        self.isStopWanted = isStopWanted
        self.deadline = duration.map { ContinuousClock.now + $0 }
        self.cycle = min(duration ?? DemoMorning.cycle, DemoMorning.cycle)
    }

    /// Plays until the time is over or the end is wanted.
    mutating func play() async throws {
        try await self.openDoors()
        while !self.isOver {
            let start = ContinuousClock.now
            try await self.work(until: start + self.cycle * 0.15)
            if !self.isOver { try await DemoEvents.sameRow(self.clinic, number: self.dice.next()) }
            try await self.work(until: start + self.cycle * 0.35)
            if !self.isOver { try await DemoEvents.counter(self.clinic) }
            try await self.work(until: start + self.cycle * 0.5)
            if !self.isOver { try await self.absence(until: start + self.cycle * 0.75) }
            try await self.work(until: start + self.cycle)
        }
    }

    private var isOver: Bool {
        if self.isStopWanted() { return true }
        return self.deadline.map { ContinuousClock.now >= $0 } ?? false
    }

    /// Waits for the next transaction's turn; shorter when the end is wanted.
    private func pause() async throws {
        let end = ContinuousClock.now + DemoMorning.pace
        while ContinuousClock.now < end, !self.isStopWanted() { try await Task.sleep(for: .milliseconds(20)) }
    }

    private func openDoors() async throws {
        let probe = DemoProbe("SELECT 2 * (count(*) = \(DemoClinic.patients)) FROM patients")
        try await self.clinic.check(
            probe,
            on: self.clinic.nodes,
            "\(DemoClinic.patients) made-up patients, entered before the others joined, are on all PCs."
        )
    }

    private mutating func work(until end: ContinuousClock.Instant) async throws {
        while !self.isOver, ContinuousClock.now < end {
            try await self.step()
            try await self.pause()
        }
    }

    // MARK: - A patient's way

    /// The PC of a room; with few PCs one serves for several rooms.
    private func room(_ index: Int) -> DemoNode { self.clinic.nodes[min(index, self.clinic.nodes.count - 1)] }

    private mutating func step() async throws {
        let draw = Int(self.dice.next() % 100)
        guard !self.visits.isEmpty, self.visits.count >= DemoMorning.visitsMax || draw >= 35 else {
            return try await self.register()
        }
        let index = Int(self.dice.next() % UInt64(self.visits.count))
        switch self.visits[index].stage {
        case .registered: try await self.enqueue(index)
        case .waiting: try await self.callIn(index)
        case .inConsultation: try await self.enterResult(index)
        case .seen: try await self.bill(index)
        }
    }

    private mutating func register() async throws {
        let name = DemoPeople.name(&self.dice)
        let probe = try await self.clinic.write(
            on: self.room(0),
            "registers \(name)",
            tables: ["patients", "user_activity_log"],
            DemoStatements.register(name)
        )
        self.visits.append(Visit(patient: probe.arguments[0], name: name))
    }

    private mutating func enqueue(_ index: Int) async throws {
        let visit = self.visits[index]
        let probe = try await self.clinic.write(
            on: self.room(0),
            "puts \(visit.name) into the queue",
            tables: ["active_patient_queue", "clinic_services"],
            DemoStatements.enqueue(patient: visit.patient, name: visit.name)
        )
        self.visits[index].entry = probe.arguments[0]
        self.visits[index].stage = .waiting
    }

    private mutating func callIn(_ index: Int) async throws {
        let visit = self.visits[index]
        try await self.clinic.write(
            on: self.room(1),
            "calls \(visit.name) in",
            tables: ["active_patient_queue"],
            DemoStatements.callIn(entry: visit.entry)
        )
        self.visits[index].stage = .inConsultation
    }

    private mutating func enterResult(_ index: Int) async throws {
        let visit = self.visits[index]
        let isLaboratory = self.dice.next() % 2 == 0
        try await self.clinic.write(
            on: self.room(isLaboratory ? 2 : 1),
            "enters a result for \(visit.name)",
            tables: ["medical_records", "active_patient_queue"],
            DemoStatements.enterResult(patient: visit.patient, entry: visit.entry, isLaboratory: isLaboratory)
        )
        self.visits[index].stage = .seen
    }

    private mutating func bill(_ index: Int) async throws {
        let visit = self.visits[index]
        self.bills += 1
        let items = Int(self.dice.next() % 3) + 1
        try await self.clinic.write(
            on: self.clinic.nodes.count > 3 ? self.room(3) : self.room(0),
            "bills \(visit.name): \(items) item\(items == 1 ? "" : "s"), paid",
            tables: ["patient_bills", "bill_items", "payments", "active_patient_queue"],
            DemoStatements.bill(
                number: self.bills,
                patient: visit.patient,
                name: visit.name,
                entry: visit.entry,
                items: items
            )
        )
        self.visits.remove(at: index)
    }

    // MARK: - An absence

    /// Switches the last PC's node off while programs on both sides go on writing, and on again.
    private mutating func absence(until end: ContinuousClock.Instant) async throws {
        guard let away = self.clinic.nodes.last else { return }
        let others = self.clinic.nodes.filter { $0 !== away }
        let draw = self.dice.next()
        let patient = try await DemoEvents.somePatient(self.clinic, number: draw)
        let (allergy, address) = ("Ibuprofen, since \(draw % 40 + 1980)", "\(draw % 400 + 1) Rizal Street, Lipa")
        try await away.stop()
        try self.clinic.note(.offline, "\(away.name) is off the network; programs on both sides go on writing.")
        // Both sides change one patient, each another column.
        var missed = [
            Missed(
                probe: try await self.edit(patient, "notes an allergy of", "allergies", allergy, on: away),
                nodes: others
            )
        ]
        try await self.pause()
        missed.append(
            Missed(
                probe: try await self.edit(patient, "changes the address of", "address", address, on: others[0]),
                nodes: [away]
            )
        )
        repeat {
            try await self.pause()
            let isThere = missed.count % 2 == 0
            let node = isThere ? away : others[missed.count / 2 % others.count]
            let name = DemoPeople.name(&self.dice)
            let probe = try await self.clinic.write(
                on: node,
                "registers \(name)",
                tables: ["patients", "user_activity_log"],
                DemoStatements.register(name)
            )
            missed.append(Missed(probe: probe, nodes: isThere ? others : [away]))
        } while missed.count < 4 || (ContinuousClock.now < end && !self.isOver)
        try await self.comeBack(away, missed: missed)
        try await self.clinic.check(
            DemoProbe(
                "SELECT 2 * count(*) FROM patients WHERE id = ? AND allergies = ? AND address = ?",
                patient.id,
                allergy,
                address
            ),
            on: self.clinic.nodes,
            "\(patient.name) has the allergy and the new address, on all PCs."
        )
    }

    /// A transaction, and the PCs that could not get it.
    private struct Missed {
        var probe: DemoProbe
        var nodes: [DemoNode]
    }

    private func edit(
        _ patient: (id: String, name: String),
        _ what: String,
        _ column: String,
        _ value: String,
        on node: DemoNode
    ) async throws -> DemoProbe {
        try await self.clinic.write(
            on: node,
            "\(what) \(patient.name)",
            tables: ["patient_history", "patients"],
            DemoStatements.edit(patient: patient.id, column: column, value: value)
        )
    }

    private func comeBack(_ away: DemoNode, missed: [Missed]) async throws {
        let start = ContinuousClock.now
        try await away.start()
        var slowest = 0.0
        var isComplete = true
        for transaction in missed {
            for time in try await self.clinic.times(of: transaction.probe, on: transaction.nodes, since: start) {
                if let time { slowest = max(slowest, time) } else { isComplete = false }
            }
        }
        guard isComplete else {
            return try self.clinic.note(
                .failed,
                "\(away.name) is back, but not all that was written meanwhile arrived."
            )
        }
        let took = DemoNumbers.milliseconds(slowest)
        try self.clinic.note(
            .online,
            "\(away.name) is back: \(took) ms later both sides have all \(missed.count) transactions."
        )
    }
}

/// Names of made-up people, short enough for a line.
enum DemoPeople {
    private static let given = [
        "Ana", "Jose", "Rosa", "Juan", "Bea", "Carlo", "Divina", "Efren", "Gloria", "Isidro", "Luz", "Ramon", "Norma",
        "Paolo", "Tess", "Mario",
    ]
    private static let family = [
        "Santos", "Reyes", "Cruz", "Garcia", "Mendoza", "Torres", "Flores", "Ramos", "Rivera", "Aquino", "Salazar",
        "Mercado", "Manalo", "Velasco", "Pascual", "Zamora",
    ]

    /// One of 256 names.
    static func name(_ dice: inout SplitMix64) -> String {
        let draw = dice.next()
        return "\(self.given[Int(draw & 15)]) \(self.family[Int(draw >> 4 & 15)])"
    }
}

/// Numbers as people read them.
package enum DemoNumbers {
    /// Milliseconds with one digit after the point.
    package static func milliseconds(_ value: Double) -> String {
        let tenths = Int((value * 10).rounded())
        return "\(tenths / 10).\(tenths % 10)"
    }
}
