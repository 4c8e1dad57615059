#ifndef CSIMULATEDDISK_INTERNAL_H
#define CSIMULATEDDISK_INTERNAL_H

#include "CSimulatedDisk.h"
#include <pthread.h>
#include <sqlite3.h>
#include <stdatomic.h>

// Parts of disk.c (files and power cuts) that vfs.c (SQLite's side) uses. Functions named simdisk_locked_… are
// called with the disk's mutex held.

#define SIMDISK_SHM_LOCKS 8

/// A write (`bytes`) or a truncation (`bytes` NULL) that was not synced.
typedef struct simdisk_change {
    unsigned char *bytes;
    int64_t offset;
    int64_t count;
    /// How long the file was after it.
    int64_t size;
} simdisk_change;

typedef struct simdisk_content {
    unsigned char *bytes;
    int64_t size;
    int64_t capacity;
} simdisk_content;

/// A file, whatever its name is now.
typedef struct simdisk_file {
    /// Names and open handles.
    int references;
    simdisk_content now;
    simdisk_content synced;
    simdisk_change *changes;
    int changeCount;
    int changeCapacity;

    // SQLite's locks on a database file: how many handles share it, and which wants or has more.
    int sharing;
    void *reserving;
    void *pending;

    // The shared memory of a database in WAL mode.
    unsigned char **regions;
    int regionCount;
    int mappings;
    /// For each lock how many share it; -1 when one has it alone.
    int shmLocks[SIMDISK_SHM_LOCKS];
} simdisk_file;

typedef struct simdisk_entry {
    struct simdisk_entry *next;
    char *name;
    simdisk_file *now;
    /// What the name meant when the directory was synced, and each meaning since; NULL where it was deleted.
    simdisk_file **history;
    int historyCount;
} simdisk_entry;

struct simdisk {
    sqlite3_vfs vfs;
    pthread_mutex_t mutex;
    /// Open handles, and one more until the disk is destroyed.
    int users;
    simdisk_entry *entries;
    char *ignored;
    simdisk_observer observer;
    void *context;
    simdisk_judge judge;
    void *judgeContext;
    int systemError;
};

/// Gives up one use of the disk, which goes with its last. Called without the mutex.
void simdisk_leave(simdisk *disk);
void simdisk_announce(simdisk *disk, simdisk_operation operation, const char *name);
/// SQLITE_OK when the operation may happen.
int simdisk_judged(simdisk *disk, simdisk_operation operation, const char *name);
simdisk_file *simdisk_locked_find(simdisk *disk, const char *name);
/// The file of the name, made if need be; without a name a file of its own. It has one more reference. NULL without memory.
simdisk_file *simdisk_locked_make(simdisk *disk, const char *name);
void simdisk_locked_release(simdisk_file *file);
int simdisk_locked_write(simdisk_file *file, const void *bytes, int64_t count, int64_t offset);
int simdisk_locked_truncate(simdisk_file *file, int64_t size);
int simdisk_locked_sync(simdisk *disk, simdisk_file *file, const char *name);
void simdisk_locked_sync_directory(simdisk *disk);
void simdisk_locked_delete(simdisk *disk, const char *name);

/// The methods of the VFS of `disk`.
void simdisk_describe_vfs(simdisk *disk, const char *name);

#endif
