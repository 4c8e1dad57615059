import ArgumentParser

/// `bench`: benchmarks, each against its baseline in the same run.
struct BenchCommand: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "bench",
        abstract: "Measure the cost of capture, merging and propagation, and the time without a host.",
        discussion: """
            Each benchmark runs in turns with its baseline and reports medians. It uses its own files in the folder for \
            temporary files, never a clinic's. The command succeeds even if a target is missed.
            """,
        subcommands: [
            BenchCapture.self, BenchApply.self, BenchSize.self, BenchPropagate.self, BenchEvents.self,
            BenchSessions.self, BenchFailover.self, BenchJoin.self, BenchReconcile.self,
            BenchPrune.self,
        ]
    )
}

/// The options of most benchmarks.
struct BenchOptions: ParsableArguments {
    @OptionGroup var output: OutputFormat
    @Option(help: ArgumentHelp("Rows of a bulk insert or an import.", valueName: "n")) var rows = 200_000
    @Option(help: ArgumentHelp("How often each measurement is repeated.", valueName: "n")) var rounds = 5

    func validate() throws {
        guard (1...1_000_000).contains(self.rows) else { throw ValidationError("--rows is from 1 to 1000000.") }
        guard (1...100).contains(self.rounds) else { throw ValidationError("--rounds is from 1 to 100.") }
    }

    /// Runs a benchmark in files of its own and prints its report.
    func report(_ name: String, _ body: (BenchFiles) throws -> [Measurement]) throws {
        try BenchReport.make(name, asJSON: self.output.isJSON, body)
    }
}

/// `bench capture`.
struct BenchCapture: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "capture",
        abstract: "Measure what capture costs: the time of the program that writes, and the size of the file.",
        discussion: "Inserts into 'patients' with the triggers; the baseline is the same table without them."
    )

    @OptionGroup var options: BenchOptions

    func run() throws {
        let benchmark = CaptureBenchmark(rows: self.options.rows, rounds: self.options.rounds)
        try self.options.report("capture", benchmark.run)
    }
}

/// `bench apply`.
struct BenchApply: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "apply",
        abstract: "Measure how fast a node applies the batches of another node.",
        discussion: """
            Logs and applies batches; the baseline is prepared inserts of the same rows into the same table. Then it applies \
            batches of bills where rows are hidden or renamed and where changes conflict; the baseline is the same batches \
            without any conflict. At last a program renames services that merging has made one row of two; the baseline is a \
            quarter as many services.
            """
    )

    @OptionGroup var options: BenchOptions

    func run() throws {
        let benchmark = ApplyBenchmark(rows: self.options.rows, rounds: self.options.rounds)
        try self.options.report("apply", benchmark.run)
    }
}

/// `bench size`.
struct BenchSize: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "size",
        abstract: "Measure how much larger a file is because it is replicated.",
        discussion: """
            Fills a file with made-up data, as 'seed' does, collects the data and empties the log. The baseline is a file with \
            the same rows, tables and indexes, but without the node's tables. Then it measures each of the node's tables.
            """
    )

    @OptionGroup var output: OutputFormat
    @Option(help: ArgumentHelp("About how many rows all tables have together.", valueName: "n")) var rows = 200_000

    func validate() throws {
        guard (1...10_000_000).contains(self.rows) else { throw ValidationError("--rows is from 1 to 10000000.") }
    }

    func run() throws {
        try BenchReport.make("size", asJSON: self.output.isJSON, SizeBenchmark(rows: self.rows).run)
    }
}

/// `bench reconcile`.
struct BenchReconcile: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "reconcile",
        abstract: "Measure what comparing and repairing the tables of two nodes costs.",
        discussion: """
            Two nodes with the same rows compare their tables: equal ones, then with 10 rows missing on one of them, then with \
            the 100 newest rows missing. Counts the bytes of the messages that find the differences, and apart from them the \
            bytes of the rows.
            """
    )

    @OptionGroup var output: OutputFormat
    @Option(help: ArgumentHelp("Rows of each node.", valueName: "n")) var rows = 100_000

    func validate() throws {
        guard (1_000...1_000_000).contains(self.rows) else {
            throw ValidationError("--rows is from 1000 to 1000000.")
        }
    }

    func run() throws {
        try BenchReport.make("reconcile", asJSON: self.output.isJSON, ReconcileBenchmark(rows: self.rows).run)
    }
}

/// `bench prune`.
struct BenchPrune: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "prune",
        abstract: "Measure how large a clinic's file is after a month.",
        discussion: """
            Programs write for a month of virtual time; the node collects, and prunes its log after 7 days. The baseline is a \
            file without a node in which programs wrote the same. A clinic of 50 000 changes a day: '--changes 50000'.
            """
    )

    @OptionGroup var output: OutputFormat
    @Option(help: ArgumentHelp("Changes of a day.", valueName: "n")) var changes = 5_000
    @Option(help: ArgumentHelp("Days that pass.", valueName: "n")) var days = 30

    func validate() throws {
        guard (100...1_000_000).contains(self.changes) else {
            throw ValidationError("--changes is from 100 to 1000000.")
        }
        guard (1...366).contains(self.days) else { throw ValidationError("--days is from 1 to 366.") }
    }

    func run() throws {
        let benchmark = PruneBenchmark(changes: self.changes, days: self.days)
        try BenchReport.make("prune", asJSON: self.output.isJSON, benchmark.run)
    }
}

/// `bench propagate`.
struct BenchPropagate: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "propagate",
        abstract: "Measure how soon a change is visible on another PC, and what idle nodes use.",
        discussion: """
            Starts a host and two clients as processes of this machine, writes to one client's file and reads the other \
            client's file. The baseline is a writer and a reader of one plain file.
            """
    )

    @OptionGroup var options: BenchOptions
    @Option(help: ArgumentHelp("Seconds of single changes in each round.", valueName: "n")) var seconds = 5
    @Option(help: ArgumentHelp("Seconds for which idle nodes are watched.", valueName: "n")) var idleSeconds = 40

    func validate() throws {
        guard (1...600).contains(self.seconds), (1...600).contains(self.idleSeconds) else {
            throw ValidationError("--seconds and --idle-seconds are from 1 to 600.")
        }
    }

    func run() throws {
        let benchmark = PropagateBenchmark(
            rows: self.options.rows,
            rounds: self.options.rounds,
            secondsPerRound: self.seconds,
            idleSeconds: self.idleSeconds
        )
        try self.options.report("propagate", benchmark.run)
    }
}

/// `bench events`.
struct BenchEvents: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "events",
        abstract: "Measure how soon a program on one PC receives the event of a change on another PC.",
        discussion: """
            Starts a host and two clients as processes of this machine, writes to one client's file 50 times a second, and \
            records when the events arrive at a WebSocket of the other client. The baseline is a bare relay over loopback.
            """
    )

    @OptionGroup var options: BenchOptions
    @Option(help: ArgumentHelp("Seconds of changes in each round.", valueName: "n")) var seconds = 5

    func validate() throws {
        guard (1...600).contains(self.seconds) else { throw ValidationError("--seconds is from 1 to 600.") }
    }

    func run() throws {
        let benchmark = EventsBenchmark(rounds: self.options.rounds, secondsPerRound: self.seconds)
        try self.options.report("events", benchmark.run)
    }
}

/// `bench sessions`.
struct BenchSessions: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "sessions",
        abstract: "Measure how soon a login on one PC ends the user's session on another PC.",
        discussion: """
            Starts a host and two clients as processes of this machine; a user changes PCs by forced logins. The baseline is \
            the check of a password alone, which is slow on purpose.
            """
    )

    @OptionGroup var output: OutputFormat
    @Option(help: ArgumentHelp("How often the user changes PCs.", valueName: "n")) var logins = 60

    func validate() throws {
        guard (2...10_000).contains(self.logins) else { throw ValidationError("--logins is from 2 to 10000.") }
    }

    func run() throws {
        try BenchReport.make("sessions", asJSON: self.output.isJSON, SessionsBenchmark(logins: self.logins).run)
    }
}

/// `bench failover`.
struct BenchFailover: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "failover",
        abstract: "Measure how long a clinic is without a host.",
        discussion: """
            Starts four nodes as processes of this machine, kills or stops the host, and waits until the others have exchanged \
            what they wrote since. The baseline is the same exchange with a host.
            """
    )

    @OptionGroup var output: OutputFormat
    @Option(help: ArgumentHelp("How often the host is killed, and how often stopped.", valueName: "n")) var rounds = 20

    func validate() throws {
        guard (1...1_000).contains(self.rounds) else { throw ValidationError("--rounds is from 1 to 1000.") }
    }

    func run() throws {
        try BenchReport.make("failover", asJSON: self.output.isJSON, FailoverBenchmark(rounds: self.rounds).run)
    }
}

/// `bench join`.
struct BenchJoin: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "join",
        abstract: "Measure how long a new PC takes to get everything from a clinic whose log was emptied.",
        discussion: """
            Starts a host and a new node as processes of this machine. The baseline is a copy of the host's file and a check of \
            the copy by SQLite.
            """
    )

    @OptionGroup var output: OutputFormat
    @Option(help: ArgumentHelp("Rows of the clinic.", valueName: "n")) var rows = 200_000

    func validate() throws {
        guard (1...10_000_000).contains(self.rows) else { throw ValidationError("--rows is from 1 to 10000000.") }
    }

    func run() throws {
        try BenchReport.make("join", asJSON: self.output.isJSON, JoinBenchmark(rows: self.rows).run)
    }
}
