import Foundation
import Glibc

/// A D-Bus and an avahi-daemon of the tests' own, on which nothing of the machine's depends.
///
/// libdbus reads the bus's address once in a process, so all tests of one process have one address, whether somebody listens
/// there or not.
final class AvahiDaemons {
    /// A daemon that did not start.
    struct Failure: Error, CustomStringConvertible {
        let description: String
    }

    /// Where the bus is looked for.
    private static let socket = FileManager.default.temporaryDirectory
        .appending(path: "clinicsync-bus-\(getpid())").path(percentEncoded: false)

    private let folder: TemporaryDirectory
    private var bus: Process?
    private var avahi: Process?

    /// Points this process to a bus that does not run yet.
    init() throws {
        setenv("DBUS_SYSTEM_BUS_ADDRESS", "unix:path=" + AvahiDaemons.socket, 1)
        self.folder = try TemporaryDirectory()
    }

    deinit {
        for process in [self.avahi, self.bus].compactMap({ $0 }) where process.isRunning {
            kill(process.processIdentifier, SIGKILL)
            process.waitUntilExit()
        }
        unlink(AvahiDaemons.socket)
    }

    /// Whether this account may give avahi-daemon a network of its own, and what is needed is installed.
    static let canRun: Bool = {
        let script = "command -v avahi-daemon && command -v dbus-daemon && unshare -mn mount -t tmpfs none /run"
        return (try? Program.run("sh", ["-c", script]).status) == 0
    }()

    /// Starts the bus and returns when it can be dialled.
    func startBus() async throws {
        let configuration = self.folder.file("bus.conf")
        let text = """
            <!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
             "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
            <busconfig>
              <type>system</type>
              <listen>unix:path=\(AvahiDaemons.socket)</listen>
              <auth>EXTERNAL</auth>
              <policy context="default">
                <allow user="*"/><allow own="*"/><allow send_type="method_call"/>
                <allow send_destination="*"/><allow receive_sender="*"/>
              </policy>
            </busconfig>
            """
        try Data(text.utf8).write(to: configuration)
        // Prints its address when it listens.
        let arguments = ["--config-file=\(configuration.path())", "--nofork", "--nopidfile", "--print-address=1"]
        self.bus = try await self.start("dbus-daemon", arguments, untilItSays: "unix:path=")
    }

    /// Starts avahi-daemon, in a network in which nobody else is, and returns when it works.
    func startAvahi() async throws {
        let configuration = self.folder.file("avahi.conf")
        let text = "[server]\nhost-name=test\nenable-dbus=yes\n[publish]\npublish-hinfo=no\npublish-workstation=no\n"
        try Data(text.utf8).write(to: configuration)
        let script = """
            mount -t tmpfs tmpfs /run && mkdir -p /run/avahi-daemon \
            && exec avahi-daemon -f '\(configuration.path())' --no-drop-root --no-chroot --no-rlimits
            """
        self.avahi = try await self.start("unshare", ["-mn", "sh", "-c", script], untilItSays: "startup complete")
    }

    /// Ends avahi-daemon at once.
    func killAvahi() {
        guard let avahi = self.avahi else { return }
        kill(avahi.processIdentifier, SIGKILL)
        avahi.waitUntilExit()
        self.avahi = nil
    }

    private func start(_ name: String, _ arguments: [String], untilItSays sign: String) async throws -> Process {
        let process = Process()
        process.executableURL = URL(filePath: "/usr/bin/env")
        process.arguments = [name] + arguments
        process.standardInput = FileHandle.nullDevice
        let pipe = Pipe()
        (process.standardOutput, process.standardError) = (pipe, pipe)
        let (chunks, chunk) = AsyncStream<Data>.makeStream()
        pipe.fileHandleForReading.readabilityHandler = { handle in
            let data = handle.availableData
            if data.isEmpty {
                handle.readabilityHandler = nil
                chunk.finish()
            } else {
                chunk.yield(data)
            }
        }
        try process.run()
        var said = ""
        for await data in chunks {
            said += String(decoding: data, as: UTF8.self)
            if said.contains(sign) { return process }
        }
        throw Failure(description: "\(name) did not start: \(said)")
    }
}
