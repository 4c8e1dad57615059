import ClinicSyncModel

/// Pieces of SQL about sessions.
enum SessionSQL {
    /// The milliseconds since 1970 of parameter `index` as the text that programs write.
    static func time(_ index: Int) -> String { "strftime('%Y-%m-%dT%H:%M:%fZ', ?\(index) / 1000.0, 'unixepoch')" }
}

extension SessionRow {
    /// What is told of the session to somebody whose way it is in; texts of programs are cut to what a message may carry.
    var holder: SessionHolder {
        SessionHolder(
            sessionID: SessionRow.cut(self.id),
            deviceID: SessionRow.cut(self.deviceID),
            deviceName: SessionRow.cut(self.deviceName),
            loginTime: SessionRow.cut(self.loginTime),
            lastActivity: SessionRow.cut(self.lastActivity)
        )
    }

    private static func cut(_ text: String) -> String {
        var text = text
        while text.utf8.count > 256 { text.removeLast() }
        return text
    }
}
