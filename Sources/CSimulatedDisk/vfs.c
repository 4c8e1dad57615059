#include "internal.h"
#include <stdlib.h>
#include <string.h>

// SQLite's side of a disk: a VFS whose files are those of the disk. What is done to them and when is synced is as in
// SQLite's own VFS for Unix; locks and shared memory are those of one process.

/// An open file.
typedef struct handle {
    sqlite3_file base;
    simdisk *disk;
    simdisk_file *file;
    /// NULL for a temporary file.
    const char *name;
    /// Whether the next sync is the first of a journal that was made: it syncs the directory too.
    int syncsDirectory;
    int deletesOnClose;
    int level;
    int isMapped;
    uint16_t shmShared;
    uint16_t shmExclusive;
} handle;

static void lock(handle *handle) { pthread_mutex_lock(&handle->disk->mutex); }
static void unlock(handle *handle) { pthread_mutex_unlock(&handle->disk->mutex); }

// MARK: - Reading and writing

static int file_read(sqlite3_file *base, void *bytes, int count, sqlite3_int64 offset) {
    handle *handle = (struct handle *)base;
    int verdict = simdisk_judged(handle->disk, SIMDISK_READ, handle->name);
    if (verdict) return verdict;
    lock(handle);
    simdisk_content *now = &handle->file->now;
    int64_t there = now->size - offset;
    if (there < 0) there = 0;
    if (there > count) there = count;
    if (there > 0) memcpy(bytes, now->bytes + offset, (size_t)there);
    unlock(handle);
    if (there == count) return SQLITE_OK;
    memset((char *)bytes + there, 0, (size_t)(count - there));
    return SQLITE_IOERR_SHORT_READ;
}

static int file_write(sqlite3_file *base, const void *bytes, int count, sqlite3_int64 offset) {
    handle *handle = (struct handle *)base;
    int verdict = simdisk_judged(handle->disk, SIMDISK_WRITE, handle->name);
    if (verdict) return verdict;
    simdisk_announce(handle->disk, SIMDISK_WRITE, handle->name);
    lock(handle);
    int code = simdisk_locked_write(handle->file, bytes, count, offset);
    unlock(handle);
    return code;
}

static int file_truncate(sqlite3_file *base, sqlite3_int64 size) {
    handle *handle = (struct handle *)base;
    int verdict = simdisk_judged(handle->disk, SIMDISK_TRUNCATE, handle->name);
    if (verdict) return verdict;
    simdisk_announce(handle->disk, SIMDISK_TRUNCATE, handle->name);
    lock(handle);
    int code = simdisk_locked_truncate(handle->file, size);
    unlock(handle);
    return code;
}

static int file_sync(sqlite3_file *base, int flags) {
    (void)flags;
    handle *handle = (struct handle *)base;
    int verdict = simdisk_judged(handle->disk, SIMDISK_SYNC, handle->name);
    if (verdict) return verdict;
    simdisk_announce(handle->disk, SIMDISK_SYNC, handle->name);
    lock(handle);
    int code = simdisk_locked_sync(handle->disk, handle->file, handle->name);
    if (!code && handle->syncsDirectory) {
        simdisk_locked_sync_directory(handle->disk);
        handle->syncsDirectory = 0;
    }
    unlock(handle);
    return code;
}

static int file_size(sqlite3_file *base, sqlite3_int64 *size) {
    handle *handle = (struct handle *)base;
    int verdict = simdisk_judged(handle->disk, SIMDISK_SIZE, handle->name);
    if (verdict) return verdict;
    lock(handle);
    *size = handle->file->now.size;
    unlock(handle);
    return SQLITE_OK;
}

// MARK: - Locks on the database file

static void give_up_locks(handle *handle, int level) {
    simdisk_file *file = handle->file;
    if (handle->level <= level) return;
    if (file->reserving == handle) file->reserving = NULL;
    if (file->pending == handle) file->pending = NULL;
    if (level == SQLITE_LOCK_NONE) file->sharing--;
    handle->level = level;
}

static int file_lock(sqlite3_file *base, int level) {
    handle *handle = (struct handle *)base;
    int verdict = simdisk_judged(handle->disk, SIMDISK_LOCK, handle->name);
    if (verdict) return verdict;
    int code = SQLITE_OK;
    lock(handle);
    simdisk_file *file = handle->file;
    if (handle->level < level) {
        if (level == SQLITE_LOCK_SHARED) {
            if (file->pending) code = SQLITE_BUSY;
            else file->sharing++;
        } else if (file->reserving && file->reserving != handle) {
            code = SQLITE_BUSY;
        } else if (level == SQLITE_LOCK_RESERVED) {
            if (file->pending) code = SQLITE_BUSY;
            else file->reserving = handle;
        } else if (file->pending && file->pending != handle) {
            code = SQLITE_BUSY;
        } else {
            // Nobody new may share the file from now on, whether those that do are gone or not.
            file->pending = handle;
            if (file->sharing > 1) {
                handle->level = SQLITE_LOCK_PENDING;
                code = SQLITE_BUSY;
            }
        }
        if (!code) handle->level = level;
    }
    unlock(handle);
    return code;
}

static int file_unlock(sqlite3_file *base, int level) {
    handle *handle = (struct handle *)base;
    lock(handle);
    give_up_locks(handle, level);
    unlock(handle);
    return SQLITE_OK;
}

static int file_check_reserved(sqlite3_file *base, int *result) {
    handle *handle = (struct handle *)base;
    lock(handle);
    *result = handle->file->reserving || handle->file->pending;
    unlock(handle);
    return SQLITE_OK;
}

// MARK: - Shared memory

static int shm_map(sqlite3_file *base, int region, int size, int extend, void volatile **memory) {
    handle *handle = (struct handle *)base;
    int verdict = simdisk_judged(handle->disk, SIMDISK_MAP, handle->name);
    if (verdict) return verdict;
    int code = SQLITE_OK;
    *memory = NULL;
    lock(handle);
    simdisk_file *file = handle->file;
    if (!handle->isMapped) {
        handle->isMapped = 1;
        file->mappings++;
    }
    if (region >= file->regionCount && extend) {
        unsigned char **regions = realloc(file->regions, (size_t)(region + 1) * sizeof *regions);
        if (regions) file->regions = regions;
        while (regions && file->regionCount <= region) {
            unsigned char *bytes = calloc(1, (size_t)size);
            if (!bytes) break;
            file->regions[file->regionCount++] = bytes;
        }
        if (region >= file->regionCount) code = SQLITE_IOERR_NOMEM;
    }
    if (region < file->regionCount) *memory = file->regions[region];
    unlock(handle);
    return code;
}

static void shm_unlock(handle *handle, uint16_t mask) {
    for (int i = 0; i < SIMDISK_SHM_LOCKS; i++) {
        if (!(mask & 1 << i)) continue;
        if (handle->shmExclusive & 1 << i) handle->file->shmLocks[i] = 0;
        else if (handle->shmShared & 1 << i) handle->file->shmLocks[i]--;
    }
    handle->shmShared &= (uint16_t)~mask;
    handle->shmExclusive &= (uint16_t)~mask;
}

static int shm_lock(sqlite3_file *base, int first, int count, int flags) {
    handle *handle = (struct handle *)base;
    int verdict = flags & SQLITE_SHM_UNLOCK ? SQLITE_OK : simdisk_judged(handle->disk, SIMDISK_LOCK, handle->name);
    if (verdict) return verdict;
    uint16_t mask = (uint16_t)(((1 << count) - 1) << first);
    int code = SQLITE_OK;
    lock(handle);
    if (flags & SQLITE_SHM_UNLOCK) {
        shm_unlock(handle, mask);
    } else {
        int isShared = flags & SQLITE_SHM_SHARED;
        uint16_t held = isShared ? handle->shmShared : handle->shmExclusive;
        for (int i = first; i < first + count; i++) {
            if (held & 1 << i) continue;
            int others = handle->file->shmLocks[i];
            if (isShared ? others < 0 : others != 0) code = SQLITE_BUSY;
        }
        for (int i = first; i < first + count && !code; i++) {
            if (held & 1 << i) continue;
            if (isShared) handle->file->shmLocks[i]++;
            else handle->file->shmLocks[i] = -1;
        }
        if (!code && isShared) handle->shmShared |= mask;
        if (!code && !isShared) handle->shmExclusive |= mask;
    }
    unlock(handle);
    return code;
}

static void shm_barrier(sqlite3_file *base) {
    (void)base;
    atomic_thread_fence(memory_order_seq_cst);
}

static int shm_unmap(sqlite3_file *base, int isDelete) {
    (void)isDelete;
    handle *handle = (struct handle *)base;
    lock(handle);
    simdisk_file *file = handle->file;
    if (handle->isMapped) {
        shm_unlock(handle, UINT16_MAX);
        handle->isMapped = 0;
        // The first that maps it again finds it empty and reads the write-ahead log anew.
        if (--file->mappings == 0) {
            for (int i = 0; i < file->regionCount; i++) free(file->regions[i]);
            file->regionCount = 0;
        }
    }
    unlock(handle);
    return SQLITE_OK;
}

// MARK: - The rest of a file

static int file_close(sqlite3_file *base) {
    handle *handle = (struct handle *)base;
    shm_unmap(base, 0);
    lock(handle);
    give_up_locks(handle, SQLITE_LOCK_NONE);
    if (handle->deletesOnClose && handle->name) simdisk_locked_delete(handle->disk, handle->name);
    simdisk_locked_release(handle->file);
    unlock(handle);
    simdisk_leave(handle->disk);
    return SQLITE_OK;
}

static int file_control(sqlite3_file *base, int operation, void *argument) {
    if (operation != SQLITE_FCNTL_LAST_ERRNO) return SQLITE_NOTFOUND;
    *(int *)argument = ((handle *)base)->disk->systemError;
    return SQLITE_OK;
}

static int file_sector_size(sqlite3_file *base) {
    (void)base;
    // What SQLite's VFS for Unix says of every file.
    return 4096;
}

static int file_characteristics(sqlite3_file *base) {
    (void)base;
    return SQLITE_IOCAP_POWERSAFE_OVERWRITE;
}

static const sqlite3_io_methods methods = {
    .iVersion = 2,
    .xClose = file_close,
    .xRead = file_read,
    .xWrite = file_write,
    .xTruncate = file_truncate,
    .xSync = file_sync,
    .xFileSize = file_size,
    .xLock = file_lock,
    .xUnlock = file_unlock,
    .xCheckReservedLock = file_check_reserved,
    .xFileControl = file_control,
    .xSectorSize = file_sector_size,
    .xDeviceCharacteristics = file_characteristics,
    .xShmMap = shm_map,
    .xShmLock = shm_lock,
    .xShmBarrier = shm_barrier,
    .xShmUnmap = shm_unmap,
};

// MARK: - The directory

static int vfs_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *base, int flags, int *outFlags) {
    simdisk *disk = vfs->pAppData;
    handle *handle = (struct handle *)base;
    memset(handle, 0, sizeof *handle);
    pthread_mutex_lock(&disk->mutex);
    int isThere = name && simdisk_locked_find(disk, name);
    pthread_mutex_unlock(&disk->mutex);
    int verdict = isThere || !(flags & SQLITE_OPEN_CREATE) ? SQLITE_OK : simdisk_judged(disk, SIMDISK_CREATE, name);
    if (verdict) return verdict;
    pthread_mutex_lock(&disk->mutex);
    int code = SQLITE_OK;
    if (!isThere && !(flags & SQLITE_OPEN_CREATE)) {
        code = SQLITE_CANTOPEN;
    } else {
        handle->file = simdisk_locked_make(disk, name);
        if (!handle->file) code = SQLITE_NOMEM;
        else disk->users++;
    }
    pthread_mutex_unlock(&disk->mutex);
    if (code) return code;
    handle->disk = disk;
    handle->name = name;
    handle->deletesOnClose = flags & SQLITE_OPEN_DELETEONCLOSE;
    handle->syncsDirectory =
        flags & SQLITE_OPEN_CREATE
        && flags & (SQLITE_OPEN_MAIN_JOURNAL | SQLITE_OPEN_SUPER_JOURNAL | SQLITE_OPEN_WAL);
    handle->base.pMethods = &methods;
    if (outFlags) *outFlags = flags;
    if (!isThere) simdisk_announce(disk, SIMDISK_CREATE, name);
    return SQLITE_OK;
}

static int vfs_delete(sqlite3_vfs *vfs, const char *name, int syncsDirectory) {
    simdisk *disk = vfs->pAppData;
    int verdict = simdisk_judged(disk, SIMDISK_DELETE, name);
    if (verdict) return verdict;
    simdisk_announce(disk, SIMDISK_DELETE, name);
    pthread_mutex_lock(&disk->mutex);
    int isThere = simdisk_locked_find(disk, name) != NULL;
    simdisk_locked_delete(disk, name);
    if (syncsDirectory) simdisk_locked_sync_directory(disk);
    pthread_mutex_unlock(&disk->mutex);
    return isThere ? SQLITE_OK : SQLITE_IOERR_DELETE_NOENT;
}

static int vfs_access(sqlite3_vfs *vfs, const char *name, int flags, int *result) {
    simdisk *disk = vfs->pAppData;
    pthread_mutex_lock(&disk->mutex);
    simdisk_file *file = simdisk_locked_find(disk, name);
    // As the VFS for Unix: an empty file does not exist for whom only asks that.
    *result = file && (flags != SQLITE_ACCESS_EXISTS || file->now.size > 0);
    pthread_mutex_unlock(&disk->mutex);
    return SQLITE_OK;
}

static int vfs_full_pathname(sqlite3_vfs *vfs, const char *name, int size, char *full) {
    (void)vfs;
    sqlite3_snprintf(size, full, "%s", name);
    return SQLITE_OK;
}

static sqlite3_vfs *system_vfs(void) { return sqlite3_vfs_find(NULL); }

static int vfs_randomness(sqlite3_vfs *vfs, int count, char *bytes) {
    (void)vfs;
    return system_vfs()->xRandomness(system_vfs(), count, bytes);
}

static int vfs_sleep(sqlite3_vfs *vfs, int microseconds) {
    (void)vfs;
    return system_vfs()->xSleep(system_vfs(), microseconds);
}

static int vfs_time(sqlite3_vfs *vfs, double *days) {
    (void)vfs;
    return system_vfs()->xCurrentTime(system_vfs(), days);
}

static int vfs_time_milliseconds(sqlite3_vfs *vfs, sqlite3_int64 *milliseconds) {
    (void)vfs;
    return system_vfs()->xCurrentTimeInt64(system_vfs(), milliseconds);
}

static int vfs_last_error(sqlite3_vfs *vfs, int size, char *text) {
    (void)size, (void)text;
    return ((simdisk *)vfs->pAppData)->systemError;
}

void simdisk_describe_vfs(simdisk *disk, const char *name) {
    disk->vfs = (sqlite3_vfs){
        .iVersion = 2,
        .szOsFile = sizeof(handle),
        .mxPathname = 512,
        .zName = name,
        .pAppData = disk,
        .xOpen = vfs_open,
        .xDelete = vfs_delete,
        .xAccess = vfs_access,
        .xFullPathname = vfs_full_pathname,
        .xRandomness = vfs_randomness,
        .xSleep = vfs_sleep,
        .xCurrentTime = vfs_time,
        .xGetLastError = vfs_last_error,
        .xCurrentTimeInt64 = vfs_time_milliseconds,
    };
}
