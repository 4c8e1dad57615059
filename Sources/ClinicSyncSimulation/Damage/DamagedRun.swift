import ClinicSyncCore
import ClinicSyncModel
import GRDB

/// A run in which the bookkeeping of one node is damaged.
///
/// The others must become equal with the damaged node there, and again when it is revoked.
enum DamagedRun {
    /// Carries out the run of a seed, which decides everything random.
    ///
    /// Odd seeds damage one place; one after the other they try every value in every column. Even seeds damage several.
    ///
    /// - Throws: What SQLite refuses, when the simulator itself cannot go on.
    static func result(seed: UInt64, isRecording: Bool, templates: DiskTemplates) throws -> SuspectResult {
        let options = SuspectRun.options(seed: seed)
        var random = SimulationRandom(seed: seed ^ 0x0_0710_0028)
        let entered = EnteredWorkload()
        entered.isJournalEnough = true
        let world = try SimulatedWorld(options, workloads: [entered], isRecording: isRecording, templates: templates)
        let node = world.nodes[random.below(options.nodes)]
        world.phase.suspect = Suspect(index: node.index)
        world.phase.joiner = DamagedRun.joiner(seed, beside: node, options)
        // What the node lost is sent to it again.
        world.checkers.removeAll { $0 is EchoChecker }
        let run = SuspectRun(world: world, entered: entered)
        try world.run(until: random.duration(.milliseconds(1_200), .milliseconds(2_400)))
        let damages = try DamagedRun.damages(seed, node, &random)
        try DamagedRun.damage(node, damages, isRunning: random.chance(35), in: world)
        try world.run(until: world.now + options.safety / 2)
        for _ in 0..<[0, 0, 0, 1, 2][random.below(5)] where world.violation == nil {
            try run.pass(days: random.number(in: 1...3))
            try world.run(until: world.now + .seconds(1))
        }
        let words = damages.map(\.description).joined(separator: ", ")
        try run.goOnWithSuspect()
        try run.goOnWithoutSuspect()
        return run.result(words: "\(node.name) \(words)")
    }

    /// In a quarter of the runs one of the others joins only after the damage: it gets everything, also from the damaged node.
    private static func joiner(_ seed: UInt64, beside node: SimulatedNode, _ options: SimulationOptions) -> Int? {
        var random = SimulationRandom(seed: seed ^ 0x0_0710_0029)
        return random.chance(25) ? (node.index + 1 + random.below(options.nodes - 1)) % options.nodes : nil
    }

    private static func damages(
        _ seed: UInt64,
        _ node: SimulatedNode,
        _ random: inout SimulationRandom
    ) throws -> [TableDamage] {
        let columns = try node.disk.read { try TableDamage.columns($0) }
        let values = DamagedValue.all
        guard !columns.isEmpty else { return [] }
        func damage(_ number: Int, _ random: inout SimulationRandom) -> TableDamage {
            TableDamage(
                column: columns[number / values.count % columns.count],
                value: values[number % values.count],
                isEverywhere: random.chance(25),
                choice: random.next()
            )
        }
        if seed % 2 == 1 { return [damage(Int(seed / 2 % UInt64(columns.count * values.count)), &random)] }
        return (0..<random.number(in: 1...5)).map { _ in damage(random.below(columns.count * values.count), &random) }
    }

    /// Damages a node's file while the node is stopped, or while it runs.
    private static func damage(
        _ node: SimulatedNode,
        _ damages: [TableDamage],
        isRunning: Bool,
        in world: SimulatedWorld
    ) throws {
        if !isRunning { world.kill(node, for: .milliseconds(100)) }
        for damage in damages {
            var count = 0
            try node.disk.database.writeWithoutTransaction { count = try damage.apply($0) }
            world.note(node.name, "DAMAGE \(damage): \(count) rows")
        }
    }
}
