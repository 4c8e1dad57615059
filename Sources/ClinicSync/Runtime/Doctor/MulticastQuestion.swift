import Foundation
import Glibc

/// Asks all PCs of the LAN by multicast who announces a node, as a one-shot question of RFC 6762, section 5.1.
///
/// avahi-daemon on the other PCs answers to the asking port. Whether its answers arrive shows whether multicast passes.
enum MulticastQuestion {
    private static let group = "224.0.0.251"
    private static let port: UInt16 = 5_353
    private static let service = ["_clinicsync", "_tcp", "local"]
    private static let wait = Duration.milliseconds(1_500)
    private static let answersMax = 1_000

    /// Asks on every interface; blocks for one and a half seconds.
    ///
    /// - Returns: The addresses that answered; `nil` when the question cannot be sent.
    static func answers() -> Set<String>? {
        let descriptor = socket(AF_INET, Int32(truncatingIfNeeded: SOCK_DGRAM.rawValue | SOCK_CLOEXEC.rawValue), 0)
        guard descriptor >= 0 else { return nil }
        defer { close(descriptor) }
        guard self.ask(descriptor) else { return nil }
        var answers: Set<String> = []
        let end = ContinuousClock.now + self.wait
        while answers.count < self.answersMax {
            let left = ContinuousClock.now.duration(to: end)
            guard left > .zero else { break }
            var waiting = pollfd(fd: descriptor, events: Int16(POLLIN), revents: 0)
            guard poll(&waiting, 1, Int32(clamping: left.wholeMilliseconds &+ 1)) > 0 else { continue }
            if let address = self.receive(descriptor) { answers.insert(address) }
        }
        return answers
    }

    /// The question: PTR records of the nodes' service, to be answered to the asking socket.
    static var question: [UInt8] {
        let header: [UInt8] = [0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0]
        var name: [UInt8] = []
        for label in self.service { name += [UInt8(clamping: label.utf8.count)] + Array(label.utf8) }
        // Type PTR, class IN with the bit that wants an answer by unicast.
        return header + name + [0, 0, 12, 0x80, 1]
    }

    private static func ask(_ descriptor: Int32) -> Bool {
        var target = sockaddr_in()
        target.sin_family = sa_family_t(AF_INET)
        target.sin_port = self.port.bigEndian
        guard inet_pton(AF_INET, self.group, &target.sin_addr) == 1 else { return false }
        let question = self.question
        var isSent = false
        for interface in self.interfaces() {
            var address = interface
            setsockopt(descriptor, Int32(IPPROTO_IP), IP_MULTICAST_IF, &address, socklen_t(MemoryLayout<in_addr>.size))
            let sent = withUnsafePointer(to: &target) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    sendto(descriptor, question, question.count, 0, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
                }
            }
            isSent = isSent || sent == question.count
        }
        return isSent
    }

    /// The IPv4 addresses of the interfaces that carry multicast.
    private static func interfaces() -> [in_addr] {
        var list: UnsafeMutablePointer<ifaddrs>?
        guard getifaddrs(&list) == 0 else { return [] }
        defer { freeifaddrs(list) }
        var addresses: [in_addr] = []
        var next = list
        while let entry = next?.pointee {
            next = entry.ifa_next
            let flags = UInt32(truncatingIfNeeded: IFF_UP | IFF_MULTICAST)
            guard let address = entry.ifa_addr, address.pointee.sa_family == sa_family_t(AF_INET),
                entry.ifa_flags & flags == flags
            else { continue }
            addresses.append(address.withMemoryRebound(to: sockaddr_in.self, capacity: 1) { $0.pointee.sin_addr })
        }
        return addresses
    }

    private static func receive(_ descriptor: Int32) -> String? {
        var buffer = [UInt8](repeating: 0, count: 9_000)
        var sender = sockaddr_in()
        var length = socklen_t(MemoryLayout<sockaddr_in>.size)
        let count = withUnsafeMutablePointer(to: &sender) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                recvfrom(descriptor, &buffer, buffer.count, 0, $0, &length)
            }
        }
        // An answer has the bit of a response.
        guard count > 12, buffer[2] & 0x80 != 0 else { return nil }
        var text = [CChar](repeating: 0, count: Int(INET_ADDRSTRLEN))
        guard inet_ntop(AF_INET, &sender.sin_addr, &text, socklen_t(INET_ADDRSTRLEN)) != nil else { return nil }
        return String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    /// Judges the answers.
    ///
    /// - Parameters:
    ///   - answers: who answered; `nil` when the question could not be sent.
    ///   - own: the addresses of this PC.
    ///   - peers: the addresses of the connected peers.
    /// - Returns: One finding, or the result of a test that found nothing.
    static func findings(answers: Set<String>?, own: Set<String>, peers: [String]) -> [Finding] {
        guard let answers else {
            return [Finding(.multicastSilent, "This PC cannot send a question by multicast.")]
        }
        let others = answers.subtracting(own)
        guard others.isEmpty else {
            return [
                Finding(
                    ok: "multicast",
                    "\(others.count) other PC\(others.count == 1 ? " answers" : "s answer") by multicast."
                )
            ]
        }
        // A PC behind a router, and one on loopback, never answers by multicast.
        let expected = peers.filter { !own.contains($0) && !NetworkAddress.isLoopback(host: $0) }
        return expected.isEmpty
            ? [Finding(ok: "multicast", "No other PC is connected that could answer by multicast.")]
            : [
                Finding(
                    .multicastSilent,
                    "No other PC answers by multicast, although \(expected.count) "
                        + (expected.count == 1 ? "is connected." : "are connected.")
                )
            ]
    }
}
