import ClinicSync
import Glibc
import ServiceLifecycle

/// Tells systemd how the node is, as `sd_notify` does; without systemd nothing happens.
struct ServiceManagerNotice: Sendable {
    private let environment: [String: String]

    /// Reads where systemd listens.
    init(environment: [String: String]) { self.environment = environment }

    /// Says that the node serves.
    func sendReady() { self.send("READY=1\n", flags: 0) }

    /// Says that the node works.
    ///
    /// When nobody reads, the sign is dropped: a system that hangs must not hold up the node.
    func sendAlive() { self.send("WATCHDOG=1\n", flags: Int32(MSG_DONTWAIT)) }

    /// How often systemd wants to hear ``sendAlive()``; `nil` when it does not watch this process.
    var watchdogInterval: Duration? {
        guard let text = self.environment["WATCHDOG_USEC"], let microseconds = Int64(text), microseconds > 0 else {
            return nil
        }
        if let process = self.environment["WATCHDOG_PID"], process != String(getpid()) { return nil }
        return .microseconds(microseconds)
    }

    /// Sends one line to the socket that `NOTIFY_SOCKET` names.
    private func send(_ line: String, flags: Int32) {
        guard let path = self.environment["NOTIFY_SOCKET"], path.hasPrefix("/") || path.hasPrefix("@") else { return }
        var bytes = Array(path.utf8)
        // An abstract socket's name begins with NUL, which the variable shows as "@".
        if bytes[0] == UInt8(ascii: "@") { bytes[0] = 0 }
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        guard bytes.count < MemoryLayout.size(ofValue: address.sun_path) else { return }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
        let descriptor = socket(AF_UNIX, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { return }
        defer { close(descriptor) }
        let length = socklen_t(MemoryLayout<sa_family_t>.size + bytes.count)
        let message = Array(line.utf8)
        // If this fails systemd stops the service after its own time-out and says so; no program can do more.
        _ = withUnsafePointer(to: &address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                sendto(descriptor, message, message.count, Int32(MSG_NOSIGNAL) | flags, $0, length)
            }
        }
    }
}

/// Tells systemd's watchdog that the node works, as long as the node's loop takes its turns.
///
/// systemd restarts a node that hangs. Without a watchdog the service does nothing.
struct WatchdogService: Service {
    /// The node.
    let node: ClinicNode
    /// How systemd is told.
    let notice: ServiceManagerNotice

    /// Sends signs of life until a graceful shutdown.
    func run() async throws {
        guard let interval = self.notice.watchdogInterval else {
            return try await gracefulShutdown()
        }
        do {
            try await cancelWhenGracefulShutdown {
                while true {
                    await self.node.answer()
                    self.notice.sendAlive()
                    // Three signs in each interval: two may be late.
                    try await Task.sleep(for: interval / 3)
                }
            }
        } catch is CancellationError {
            // The node stops.
        }
    }
}
