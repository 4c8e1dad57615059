import ClinicSync
import Foundation
import Glibc

/// A text as a QR picture at the terminal, made by the program `qrencode`.
enum QRPicture {
    /// Shows the picture at standard error; without a terminal there, or without the program, nothing happens.
    static func show(_ text: String) {
        guard isatty(STDERR_FILENO) == 1 else { return }
        let process = Process()
        process.executableURL = URL(fileURLWithPath: "/usr/bin/qrencode")
        // The text is no argument: other accounts of this PC can read arguments.
        process.arguments = ["-t", "ANSIUTF8", "-m", "1", "-o", "-"]
        let input = Pipe()
        process.standardInput = input
        process.standardOutput = FileHandle.standardError
        process.standardError = FileHandle.nullDevice
        do {
            try process.run()
            try input.fileHandleForWriting.write(contentsOf: Data(text.utf8))
            try input.fileHandleForWriting.close()
        } catch {
            // A picture is a convenience; the code stands above.
            return
        }
        process.waitUntilExit()
    }
}
