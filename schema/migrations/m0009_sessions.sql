-- The sessions of `user_sessions` that programs of this PC were told of as begun and not yet as ended, with what an event
-- must say when the row is gone. Local: what one PC's programs know is nobody else's business.
CREATE TABLE clinicsync_session (
    id TEXT PRIMARY KEY NOT NULL,
    userId TEXT NOT NULL,
    username TEXT NOT NULL,
    deviceId TEXT NOT NULL,
    deviceName TEXT NOT NULL
);
INSERT INTO clinicsync_session (id, userId, username, deviceId, deviceName)
SELECT id, userId, username, deviceId, coalesce(deviceName, '') FROM user_sessions WHERE isActive <> 0;

-- Sessions that were granted by a host which could not hear most of the clinic's PCs, so that another may have granted the same
-- user another session (docs/SESSIONS.md). Replicated. `isProvisional` goes to 0 when a host that hears them confirms it.
CREATE TABLE clinicsync_provisional (
    session TEXT PRIMARY KEY NOT NULL,
    isProvisional INTEGER NOT NULL DEFAULT 1
);
