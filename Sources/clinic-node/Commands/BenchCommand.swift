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
            BenchCapture.self, BenchApply.self, BenchSize.self, BenchPropagate.self, BenchFanout.self,
            BenchEvents.self, BenchSessions.self, BenchFailover.self, BenchJoin.self, BenchReconcile.self,
            BenchPrune.self, BenchGrowth.self, BenchPostgres.self, BenchAll.self, FanoutCrowd.self,
        ]
    )

    /// Refuses a number that an option may not have.
    static func require(_ value: Int, in range: ClosedRange<Int>, _ option: String) throws {
        guard range.contains(value) else {
            throw ValidationError("\(option) is from \(range.lowerBound) to \(range.upperBound).")
        }
    }
}

/// A command that runs one benchmark and prints its report.
protocol BenchSubcommand: ParsableCommand {
    associatedtype Subject: Benchmark

    /// How the report is printed.
    var output: OutputFormat { get }
    /// What is run.
    var benchmark: Subject { get }
}

extension BenchSubcommand {
    func run() throws {
        BenchReport.warnOfDebugBuild()
        let report = try BenchReport(of: self.benchmark)
        if self.output.isJSON { try Output.json(report) } else { try report.write() }
    }
}

/// How much several benchmarks measure.
struct BenchSizeOptions: ParsableArguments {
    @Option(help: ArgumentHelp("Rows of a bulk insert or an import.", valueName: "n")) var rows = 200_000
    @Option(help: ArgumentHelp("How often each measurement is repeated.", valueName: "n")) var rounds = 5

    func validate() throws {
        try BenchCommand.require(self.rows, in: 1...1_000_000, "--rows")
        try BenchCommand.require(self.rounds, in: 1...100, "--rounds")
    }
}

/// `bench capture`.
struct BenchCapture: BenchSubcommand {
    static let configuration = CommandConfiguration(
        commandName: CaptureBenchmark.name,
        abstract: "Measure what capture costs: the time of the program that writes, and the size of the file.",
        discussion: "Inserts into 'patients' with the triggers; the baseline is the same table without them."
    )

    @OptionGroup var output: OutputFormat
    @OptionGroup var size: BenchSizeOptions

    var benchmark: CaptureBenchmark { CaptureBenchmark(rows: self.size.rows, rounds: self.size.rounds) }
}

/// `bench apply`.
struct BenchApply: BenchSubcommand {
    static let configuration = CommandConfiguration(
        commandName: ApplyBenchmark.name,
        abstract: "Measure how fast a node applies the batches of another node.",
        discussion: """
            Logs and applies batches; the baseline is prepared inserts of the same rows into the same table. Then it applies \
            batches of bills where rows are hidden or renamed and where changes conflict; the baseline is the same batches \
            without any conflict. At last a program renames services that merging has made one row of two; the baseline is a \
            quarter as many services.
            """
    )

    @OptionGroup var output: OutputFormat
    @OptionGroup var size: BenchSizeOptions

    var benchmark: ApplyBenchmark { ApplyBenchmark(rows: self.size.rows, rounds: self.size.rounds) }
}

/// `bench size`.
struct BenchSize: BenchSubcommand {
    static let configuration = CommandConfiguration(
        commandName: SizeBenchmark.name,
        abstract: "Measure how much larger a file is because it is replicated.",
        discussion: """
            Fills a file with made-up data, as 'seed' does, collects the data and empties the log. The baseline is a file with \
            the same rows, tables and indexes, but without the node's tables. Then it measures each of the node's tables.
            """
    )

    @OptionGroup var output: OutputFormat
    @Option(help: ArgumentHelp("About how many rows all tables have together.", valueName: "n")) var rows = 200_000

    var benchmark: SizeBenchmark { SizeBenchmark(rows: self.rows) }

    func validate() throws { try BenchCommand.require(self.rows, in: 1...10_000_000, "--rows") }
}

/// `bench reconcile`.
struct BenchReconcile: BenchSubcommand {
    static let configuration = CommandConfiguration(
        commandName: ReconcileBenchmark.name,
        abstract: "Measure what comparing and repairing the tables of two nodes costs.",
        discussion: """
            Two nodes with the same rows compare their tables: equal ones, then with 10 rows missing on one of them, then with \
            the 100 newest rows missing. Counts the bytes of the messages that find the differences, and apart from them the \
            bytes of the rows.
            """
    )

    @OptionGroup var output: OutputFormat
    @Option(help: ArgumentHelp("Rows of each node.", valueName: "n")) var rows = 100_000

    var benchmark: ReconcileBenchmark { ReconcileBenchmark(rows: self.rows) }

    func validate() throws { try BenchCommand.require(self.rows, in: 1_000...1_000_000, "--rows") }
}

/// `bench prune`.
struct BenchPrune: BenchSubcommand {
    static let configuration = CommandConfiguration(
        commandName: PruneBenchmark.name,
        abstract: "Measure how large a clinic's file is after a month.",
        discussion: """
            Programs write for a month of virtual time; the node collects, and prunes its log after 7 days. The baseline is a \
            file without a node in which programs wrote the same. A clinic of 50 000 changes a day: '--changes 50000'.
            """
    )

    @OptionGroup var output: OutputFormat
    @Option(help: ArgumentHelp("Changes of a day.", valueName: "n")) var changes = 5_000
    @Option(help: ArgumentHelp("Days that pass.", valueName: "n")) var days = 30

    var benchmark: PruneBenchmark { PruneBenchmark(changes: self.changes, days: self.days) }

    func validate() throws {
        try BenchCommand.require(self.changes, in: 100...1_000_000, "--changes")
        try BenchCommand.require(self.days, in: 1...366, "--days")
    }
}

/// `bench propagate`.
struct BenchPropagate: BenchSubcommand {
    static let configuration = CommandConfiguration(
        commandName: PropagateBenchmark.name,
        abstract: "Measure how soon a change is visible on another PC, and what idle nodes use.",
        discussion: """
            Starts a host and two clients as processes of this machine, writes to one client's file and reads the other \
            client's file. The baseline is a writer and a reader of one plain file.
            """
    )

    @OptionGroup var output: OutputFormat
    @OptionGroup var size: BenchSizeOptions
    @Option(help: ArgumentHelp("Seconds of single changes in each round.", valueName: "n")) var seconds = 5
    @Option(help: ArgumentHelp("Seconds for which idle nodes are watched.", valueName: "n")) var idleSeconds = 40

    var benchmark: PropagateBenchmark {
        PropagateBenchmark(
            rows: self.size.rows,
            rounds: self.size.rounds,
            secondsPerRound: self.seconds,
            idleSeconds: self.idleSeconds
        )
    }

    func validate() throws {
        try BenchCommand.require(self.seconds, in: 1...600, "--seconds")
        try BenchCommand.require(self.idleSeconds, in: 1...600, "--idle-seconds")
    }
}

/// `bench fanout`.
struct BenchFanout: BenchSubcommand {
    static let configuration = CommandConfiguration(
        commandName: FanoutBenchmark.name,
        abstract: "Measure how soon a change is on all PCs of a large clinic, and what the clinic uses at rest.",
        discussion: """
            Starts clinics of so many nodes on this machine, over mutual TLS, commits on a client five times a second, and \
            watches the files of all other nodes. The baseline is a bare relay to as many receivers and the application of one \
            row to as many files. At last one node is stopped, and the others go on.
            """
    )

    @OptionGroup var output: OutputFormat
    @Option(parsing: .upToNextOption, help: ArgumentHelp("How many nodes; several sizes ascend.", valueName: "n"))
    var nodes = [4, 10, 20, 50]
    @Option(help: ArgumentHelp("Nodes that share a process.", valueName: "n")) var perProcess = 50
    @Option(help: ArgumentHelp("Seconds of commits for each size.", valueName: "n")) var seconds = 20
    @Option(help: ArgumentHelp("Seconds for which idle nodes are watched.", valueName: "n")) var idleSeconds = 20

    var benchmark: FanoutBenchmark {
        FanoutBenchmark(
            sizes: self.nodes,
            nodesPerProcess: self.perProcess,
            seconds: self.seconds,
            idleSeconds: self.idleSeconds
        )
    }

    func validate() throws {
        guard !self.nodes.isEmpty, zip(self.nodes, self.nodes.dropFirst()).allSatisfy(<) else {
            throw ValidationError("--nodes has one size or several ascending ones.")
        }
        for size in self.nodes { try BenchCommand.require(size, in: 3...500, "--nodes") }
        try BenchCommand.require(self.perProcess, in: 1...500, "--per-process")
        try BenchCommand.require(self.seconds, in: 1...600, "--seconds")
        try BenchCommand.require(self.idleSeconds, in: 1...600, "--idle-seconds")
    }
}

/// `bench events`.
struct BenchEvents: BenchSubcommand {
    static let configuration = CommandConfiguration(
        commandName: EventsBenchmark.name,
        abstract: "Measure how soon a program on one PC receives the event of a change on another PC.",
        discussion: """
            Starts a host and two clients as processes of this machine, writes to one client's file 50 times a second, and \
            records when the events arrive at a WebSocket of the other client. The baseline is a bare relay over loopback.
            """
    )

    @OptionGroup var output: OutputFormat
    @OptionGroup var size: BenchSizeOptions
    @Option(help: ArgumentHelp("Seconds of changes in each round.", valueName: "n")) var seconds = 5

    var benchmark: EventsBenchmark { EventsBenchmark(rounds: self.size.rounds, secondsPerRound: self.seconds) }

    func validate() throws { try BenchCommand.require(self.seconds, in: 1...600, "--seconds") }
}

/// `bench sessions`.
struct BenchSessions: BenchSubcommand {
    static let configuration = CommandConfiguration(
        commandName: SessionsBenchmark.name,
        abstract: "Measure how soon a login on one PC ends the user's session on another PC.",
        discussion: """
            Starts a host and two clients as processes of this machine; a user changes PCs by forced logins. The baseline is \
            the check of a password alone, which is slow on purpose.
            """
    )

    @OptionGroup var output: OutputFormat
    @Option(help: ArgumentHelp("How often the user changes PCs.", valueName: "n")) var logins = 60

    var benchmark: SessionsBenchmark { SessionsBenchmark(logins: self.logins) }

    func validate() throws { try BenchCommand.require(self.logins, in: 2...10_000, "--logins") }
}

/// `bench failover`.
struct BenchFailover: BenchSubcommand {
    static let configuration = CommandConfiguration(
        commandName: FailoverBenchmark.name,
        abstract: "Measure how long a clinic is without a host.",
        discussion: """
            Starts four nodes as processes of this machine, kills or stops the host, and waits until the others have exchanged \
            what they wrote since. The baseline is the same exchange with a host.
            """
    )

    @OptionGroup var output: OutputFormat
    @Option(help: ArgumentHelp("How often the host is killed, and how often stopped.", valueName: "n")) var rounds = 20

    var benchmark: FailoverBenchmark { FailoverBenchmark(rounds: self.rounds) }

    func validate() throws { try BenchCommand.require(self.rounds, in: 1...1_000, "--rounds") }
}

/// `bench join`.
struct BenchJoin: BenchSubcommand {
    static let configuration = CommandConfiguration(
        commandName: JoinBenchmark.name,
        abstract: "Measure how long a new PC takes to get everything from a clinic whose log was emptied.",
        discussion: """
            Starts a host and a new node as processes of this machine. The baseline is a copy of the host's file and a check of \
            the copy by SQLite.
            """
    )

    @OptionGroup var output: OutputFormat
    @Option(help: ArgumentHelp("Rows of the clinic.", valueName: "n")) var rows = 200_000

    var benchmark: JoinBenchmark { JoinBenchmark(rows: self.rows) }

    func validate() throws { try BenchCommand.require(self.rows, in: 1...10_000_000, "--rows") }
}

/// `bench growth`.
struct BenchGrowth: BenchSubcommand {
    static let configuration = CommandConfiguration(
        commandName: GrowthBenchmark.name,
        abstract:
            "Measure how costs grow with the rows of a table and of a transaction, and with the programs that write.",
        discussion: """
            Measures tables from 1000 rows, transactions from one row, and one to eight programs that write at once. For each \
            cost it reports the exponent with which the cost grows: 1 is in proportion.
            """
    )

    @OptionGroup var output: OutputFormat
    @OptionGroup var size: BenchSizeOptions

    var benchmark: GrowthBenchmark { GrowthBenchmark(rows: self.size.rows, rounds: self.size.rounds) }
}

/// `bench postgres`.
struct BenchPostgres: BenchSubcommand {
    static let configuration = CommandConfiguration(
        commandName: PostgresBenchmark.name,
        abstract: "Measure an import on the host beside PostgreSQL's logical replication of the same rows.",
        discussion: """
            Starts a host and a client as processes of this machine, and two servers of PostgreSQL in a folder for temporary \
            files. Where PostgreSQL is not installed, it says so and reports nothing.
            """
    )

    @OptionGroup var output: OutputFormat
    @OptionGroup var size: BenchSizeOptions

    var benchmark: PostgresBenchmark { PostgresBenchmark(rows: self.size.rows, rounds: self.size.rounds) }
}

/// `bench all`.
struct BenchAll: ParsableCommand {
    static let configuration = CommandConfiguration(
        commandName: "all",
        abstract: "Run all benchmarks, one after the other.",
        discussion: """
            The options limit how much is measured. With all of it the command takes more than an hour; a look of a minute: \
            '--rows 3000 --nodes 10 --rounds 1 --seconds 1'. A benchmark that fails is reported, and the others are run.
            """
    )

    @OptionGroup var output: OutputFormat
    @Option(help: ArgumentHelp("Rows of the largest table.", valueName: "n")) var rows = 1_000_000
    @Option(help: ArgumentHelp("Nodes of the largest clinic.", valueName: "n")) var nodes = 200
    @Option(help: ArgumentHelp("How often measurements are repeated.", valueName: "n")) var rounds = 5
    @Option(help: ArgumentHelp("Seconds of changes, and of rest, of each part.", valueName: "n")) var seconds = 20

    func validate() throws {
        try BenchCommand.require(self.rows, in: 1...1_000_000, "--rows")
        try BenchCommand.require(self.nodes, in: 3...500, "--nodes")
        try BenchCommand.require(self.rounds, in: 1...100, "--rounds")
        try BenchCommand.require(self.seconds, in: 1...600, "--seconds")
    }

    func run() throws {
        BenchReport.warnOfDebugBuild()
        let suite = BenchSuite(
            BenchSuite.Extent(rows: self.rows, nodes: self.nodes, rounds: self.rounds, seconds: self.seconds)
        )
        if self.output.isJSON { try Output.json(suite) } else { try suite.write() }
        if !suite.failures.isEmpty { throw ExitCode.failure }
    }
}
