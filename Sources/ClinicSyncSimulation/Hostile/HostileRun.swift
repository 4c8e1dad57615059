import ClinicSyncCore
import ClinicSyncModel

/// A run in which one member is hostile.
///
/// It holds a valid certificate and speaks the protocol, so its process is a real node, whose frames are changed on their
/// way out. When it is revoked, the other nodes start again and go on without it.
enum HostileRun {
    /// Carries out the run of a seed, which decides everything random.
    ///
    /// - Throws: What SQLite refuses, when the simulator itself cannot go on.
    static func result(seed: UInt64, isRecording: Bool, templates: DiskTemplates) throws -> SuspectResult {
        var options = SuspectRun.options(seed: seed)
        options.hasTwoTongues = true
        let plan = HostileRun.plan(options)
        let entered = EnteredWorkload()
        entered.isExact = !plan.isForging
        let world = try SimulatedWorld(options, workloads: [entered], isRecording: isRecording, templates: templates)
        // What the member sent back under others' names is no echo.
        world.checkers.removeAll { $0 is EchoChecker }
        // Of a forged batch under its own name a node concludes that its file is an old copy, and begins a new incarnation.
        if plan.isForging { world.checkers.removeAll { $0 is IdentityChecker } }
        world.phase.suspect = Suspect(index: plan.index, isForging: plan.isForging, mutator: FrameMutator(plan))
        let run = SuspectRun(world: world, entered: entered)
        try world.run(until: .milliseconds(Int64(500 + seed % 3 * 700)))
        world.phase.suspect?.isHostile = true
        try world.run(until: options.safety)
        try run.goOnWithoutSuspect()
        return run.result(words: "\(plan)")
    }

    private static func plan(_ options: SimulationOptions) -> HostilePlan {
        var random = SimulationRandom(seed: options.seed ^ 0x0_0710_0026)
        let index = random.below(options.nodes)
        let ids = (0..<options.nodes).map { FrameMutator.bytes(of: SimulatedNode.id($0, options)) }
        // Often only a few kinds, so that the connection lives long enough for them.
        let all = HostilePlan.messageKinds
        let kinds = random.chance(30) ? all : (0..<random.number(in: 1...3)).map { _ in all[random.below(all.count)] }
        return HostilePlan(
            seed: options.seed,
            index: index,
            own: ids[index],
            members: ids,
            permille: [10, 50, 200, 600][random.below(4)],
            kinds: kinds,
            isForging: random.chance(25)
        )
    }
}
