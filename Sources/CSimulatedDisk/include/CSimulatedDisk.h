#ifndef CSIMULATEDDISK_H
#define CSIMULATEDDISK_H

#include <stddef.h>
#include <stdint.h>

// A disk in memory, for tests: a directory of files under SQLite, one SQLite VFS for each disk.
//
// Every file keeps what was synced beside the list of what was written since, so that a power cut can leave what a
// real disk might: any part of what was not synced, in any order, torn between sectors of 512 bytes. Creating and
// deleting files is on the disk once the directory was synced, which SQLite does where it needs it. Safe for many
// threads; several disks share nothing.

/// A disk.
typedef struct simdisk simdisk;

/// What is done to a file.
typedef enum simdisk_operation {
    SIMDISK_WRITE,
    SIMDISK_TRUNCATE,
    SIMDISK_SYNC,
    SIMDISK_CREATE,
    SIMDISK_DELETE,
    SIMDISK_SYNC_DIRECTORY,
    // Only judges hear of these.
    SIMDISK_READ,
    SIMDISK_SIZE,
    SIMDISK_LOCK,
    SIMDISK_MAP,
} simdisk_operation;

/// What a power cut leaves of what was not synced.
typedef enum simdisk_loss {
    /// Everything: no power cut, but the end of all processes.
    SIMDISK_LOSE_NOTHING,
    /// Nothing.
    SIMDISK_LOSE_ALL,
    /// The first writes of each file, the last of them in part.
    SIMDISK_LOSE_TAIL,
    /// Some writes of each file, each whole or in part.
    SIMDISK_LOSE_WRITES,
    /// For each sector one of its contents since the sync; for each file one of its lengths.
    SIMDISK_LOSE_SECTORS,
} simdisk_loss;

/// Called before an operation, without any lock held; not set while other threads use the disk.
typedef void (*simdisk_observer)(void *context, simdisk_operation operation, const char *file);

/// A result code of SQLite's, and the number of the system's error behind it (`errno`).
typedef struct {
    int code;
    int systemError;
} simdisk_verdict;

/// Called before an operation, without any lock held: SQLITE_OK lets it happen, another result code makes it fail without
/// any effect. It may take its time, as a slow disk does. Not set while other threads use the disk.
typedef simdisk_verdict (*simdisk_judge)(void *context, simdisk_operation operation, const char *file);

/// Makes an empty disk and registers it with SQLite as a VFS of the name, which must be new. NULL without memory.
simdisk *simdisk_create(const char *name);

/// Ends a disk: nothing can be opened on it any more, and it goes with the last file that is open.
void simdisk_destroy(simdisk *disk);

/// Makes a disk with what `from` would hold after a power cut now, drawn from `seed`. `from` stays as it is.
simdisk *simdisk_after_power_cut(simdisk *from, const char *name, simdisk_loss loss, uint64_t seed);

/// Has `observer` called before each operation; NULL ends it.
void simdisk_observe(simdisk *disk, simdisk_observer observer, void *context);

/// Has `judge` decide about each operation; NULL ends it. A disk after a power cut has no judge.
void simdisk_judge_with(simdisk *disk, simdisk_judge judge, void *context);

/// From now on syncs of files whose name ends with `suffix` do nothing, as on a disk that lies; NULL ends it.
/// An empty suffix means all, "/" the directory.
void simdisk_ignore_syncs(simdisk *disk, const char *suffix);

/// How many writes and truncations of a file a power cut may take; -1 when there is no such file.
int64_t simdisk_unsynced(simdisk *disk, const char *file);

/// Reads from a file without SQLite; returns how many bytes there were, -1 when there is no such file.
int64_t simdisk_read(simdisk *disk, const char *file, void *bytes, size_t count, int64_t offset);

/// Writes to a file without SQLite, making it if need be. Returns an SQLite result code.
int simdisk_write(simdisk *disk, const char *file, const void *bytes, size_t count, int64_t offset);

/// Syncs a file without SQLite. Returns an SQLite result code.
int simdisk_sync(simdisk *disk, const char *file);

/// Syncs the directory without SQLite.
void simdisk_sync_directory(simdisk *disk);

/// Deletes a file without SQLite; nothing happens when there is none.
void simdisk_delete(simdisk *disk, const char *file);

#endif
