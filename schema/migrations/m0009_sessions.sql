-- The sessions of `user_sessions` whose begin this node has reported to its programs, and whose end it has not reported yet.
-- The columns hold what the event of the end needs when the row is gone. Local to this file: each node reports to its own
-- programs.
CREATE TABLE clinicsync_session (
    id TEXT PRIMARY KEY NOT NULL,
    userId TEXT NOT NULL,
    username TEXT NOT NULL,
    deviceId TEXT NOT NULL,
    deviceName TEXT NOT NULL
);
INSERT INTO clinicsync_session (id, userId, username, deviceId, deviceName)
SELECT id, userId, username, deviceId, coalesce(deviceName, '') FROM user_sessions WHERE isActive <> 0;

-- Sessions that a host granted without a quorum, so that another host may have granted the same user another session
-- (docs/SESSIONS.md). Replicated. `isProvisional` becomes 0 when a host with a quorum confirms the session.
CREATE TABLE clinicsync_provisional (
    session TEXT PRIMARY KEY NOT NULL,
    isProvisional INTEGER NOT NULL DEFAULT 1
);
