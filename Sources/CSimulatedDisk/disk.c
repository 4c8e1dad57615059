#include "internal.h"
#include <stdlib.h>
#include <string.h>

#define SECTOR 512

// MARK: - Contents

static int reserve(simdisk_content *content, int64_t size) {
    if (size <= content->capacity) return SQLITE_OK;
    int64_t capacity = content->capacity < 4096 ? 4096 : content->capacity;
    while (capacity < size) capacity *= 2;
    unsigned char *bytes = realloc(content->bytes, (size_t)capacity);
    if (!bytes) return SQLITE_NOMEM;
    content->bytes = bytes;
    content->capacity = capacity;
    return SQLITE_OK;
}

/// Sets the length; what is new is zero.
static int resize(simdisk_content *content, int64_t size) {
    if (reserve(content, size)) return SQLITE_NOMEM;
    if (size > content->size) memset(content->bytes + content->size, 0, (size_t)(size - content->size));
    content->size = size;
    return SQLITE_OK;
}

static int put(simdisk_content *content, const void *bytes, int64_t count, int64_t offset) {
    if (offset + count > content->size && resize(content, offset + count)) return SQLITE_NOMEM;
    if (count) memcpy(content->bytes + offset, bytes, (size_t)count);
    return SQLITE_OK;
}

static int copy(simdisk_content *to, const simdisk_content *from) {
    to->size = 0;
    return put(to, from->bytes, from->size, 0);
}

// MARK: - Files

static void forget_changes(simdisk_file *file) {
    for (int i = 0; i < file->changeCount; i++) free(file->changes[i].bytes);
    file->changeCount = 0;
}

void simdisk_locked_release(simdisk_file *file) {
    if (!file || --file->references > 0) return;
    forget_changes(file);
    for (int i = 0; i < file->regionCount; i++) free(file->regions[i]);
    free(file->regions);
    free(file->changes);
    free(file->now.bytes);
    free(file->synced.bytes);
    free(file);
}

static simdisk_change *add_change(simdisk_file *file) {
    if (file->changeCount == file->changeCapacity) {
        int capacity = file->changeCapacity ? file->changeCapacity * 2 : 16;
        simdisk_change *changes = realloc(file->changes, (size_t)capacity * sizeof *changes);
        if (!changes) return NULL;
        file->changes = changes;
        file->changeCapacity = capacity;
    }
    simdisk_change *change = &file->changes[file->changeCount];
    memset(change, 0, sizeof *change);
    return change;
}

int simdisk_locked_write(simdisk_file *file, const void *bytes, int64_t count, int64_t offset) {
    simdisk_change *change = add_change(file);
    unsigned char *kept = malloc(count ? (size_t)count : 1);
    if (!change || !kept || put(&file->now, bytes, count, offset)) {
        free(kept);
        return SQLITE_IOERR_NOMEM;
    }
    memcpy(kept, bytes, (size_t)count);
    *change = (simdisk_change){.bytes = kept, .offset = offset, .count = count, .size = file->now.size};
    file->changeCount++;
    return SQLITE_OK;
}

int simdisk_locked_truncate(simdisk_file *file, int64_t size) {
    simdisk_change *change = add_change(file);
    if (!change || resize(&file->now, size)) return SQLITE_IOERR_NOMEM;
    *change = (simdisk_change){.offset = size, .size = size};
    file->changeCount++;
    return SQLITE_OK;
}

// MARK: - The directory

static simdisk_entry *entry(simdisk *disk, const char *name) {
    for (simdisk_entry *entry = disk->entries; entry; entry = entry->next)
        if (!strcmp(entry->name, name)) return entry;
    return NULL;
}

simdisk_file *simdisk_locked_find(simdisk *disk, const char *name) {
    simdisk_entry *found = entry(disk, name);
    return found ? found->now : NULL;
}

/// Gives the name another meaning, which a power cut may take.
static int rename_to(simdisk_entry *entry, simdisk_file *file) {
    simdisk_file **history =
        realloc(entry->history, (size_t)(entry->historyCount + 1) * sizeof(simdisk_file *));
    if (!history) return SQLITE_NOMEM;
    entry->history = history;
    entry->history[entry->historyCount++] = file;
    entry->now = file;
    if (file) file->references++;
    return SQLITE_OK;
}

static simdisk_entry *add_entry(simdisk *disk, const char *name) {
    simdisk_entry *added = calloc(1, sizeof *added);
    if (!added) return NULL;
    added->name = strdup(name);
    if (!added->name || rename_to(added, NULL)) {
        free(added->name);
        free(added);
        return NULL;
    }
    added->next = disk->entries;
    disk->entries = added;
    return added;
}

simdisk_file *simdisk_locked_make(simdisk *disk, const char *name) {
    simdisk_file *file = name ? simdisk_locked_find(disk, name) : NULL;
    if (!file) {
        file = calloc(1, sizeof *file);
        if (!file) return NULL;
        simdisk_entry *named = name ? entry(disk, name) : NULL;
        if (name && !named) named = add_entry(disk, name);
        if (name && (!named || rename_to(named, file))) {
            free(file);
            return NULL;
        }
    }
    file->references++;
    return file;
}

void simdisk_locked_delete(simdisk *disk, const char *name) {
    simdisk_entry *found = entry(disk, name);
    // Without memory the file stays: a test then fails for another reason.
    if (found && found->now) rename_to(found, NULL);
}

static int ignores(simdisk *disk, const char *name) {
    if (!disk->ignored || !name) return 0;
    size_t length = strlen(name), suffix = strlen(disk->ignored);
    return suffix <= length && !strcmp(name + length - suffix, disk->ignored);
}

int simdisk_locked_sync(simdisk *disk, simdisk_file *file, const char *name) {
    if (ignores(disk, name)) return SQLITE_OK;
    for (int i = 0; i < file->changeCount; i++) {
        simdisk_change *change = &file->changes[i];
        int code = change->bytes ? put(&file->synced, change->bytes, change->count, change->offset)
                                 : resize(&file->synced, change->size);
        if (code) return SQLITE_IOERR_NOMEM;
    }
    forget_changes(file);
    return SQLITE_OK;
}

void simdisk_locked_sync_directory(simdisk *disk) {
    if (ignores(disk, "/")) return;
    for (simdisk_entry *entry = disk->entries; entry; entry = entry->next) {
        if (entry->historyCount < 2) continue;
        for (int i = 0; i < entry->historyCount - 1; i++) simdisk_locked_release(entry->history[i]);
        entry->history[0] = entry->now;
        entry->historyCount = 1;
    }
}

// MARK: - Power cuts

/// Vigna's splitmix64: small, and the same everywhere.
static uint64_t draw(uint64_t *state) {
    uint64_t z = (*state += 0x9E3779B97F4A7C15);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
    return z ^ (z >> 31);
}

static int draw_below(uint64_t *state, int bound) { return (int)(draw(state) % (uint64_t)bound); }

/// Applies what of a change lies in the sectors that are kept. A truncation is kept whole or not at all.
static int apply_in_part(simdisk_content *content, const simdisk_change *change, uint64_t *seed) {
    if (!change->bytes) return draw_below(seed, 2) ? resize(content, change->size) : SQLITE_OK;
    int64_t at = change->offset, end = change->offset + change->count;
    while (at < end) {
        int64_t next = (at / SECTOR + 1) * SECTOR;
        if (next > end) next = end;
        if (draw_below(seed, 2) && put(content, change->bytes + (at - change->offset), next - at, at))
            return SQLITE_NOMEM;
        at = next;
    }
    return SQLITE_OK;
}

static int apply(simdisk_content *content, const simdisk_change *change) {
    return change->bytes ? put(content, change->bytes, change->count, change->offset)
                         : resize(content, change->size);
}

/// Each sector gets one of the contents that it had since the sync, and the file one of its lengths.
static int mix_sectors(simdisk_content *content, const simdisk_file *file, uint64_t *seed) {
    int64_t sectors = (content->size + SECTOR - 1) / SECTOR, length = content->size;
    for (int i = 0; i < file->changeCount; i++) {
        int64_t needed = (file->changes[i].size + SECTOR - 1) / SECTOR;
        if (needed > sectors) sectors = needed;
    }
    int sizeAfter = draw_below(seed, file->changeCount + 1);
    if (sizeAfter) length = file->changes[sizeAfter - 1].size;
    int *kept = malloc((size_t)(sectors ? sectors : 1) * sizeof *kept);
    if (!kept) return SQLITE_NOMEM;
    for (int64_t s = 0; s < sectors; s++) kept[s] = draw_below(seed, file->changeCount + 1);
    int code = resize(content, sectors * SECTOR);
    for (int i = 0; i < file->changeCount && !code; i++) {
        const simdisk_change *change = &file->changes[i];
        int64_t at = change->offset, end = change->bytes ? at + change->count : sectors * SECTOR;
        while (at < end) {
            int64_t next = (at / SECTOR + 1) * SECTOR;
            if (next > end) next = end;
            if (kept[at / SECTOR] > i) {
                if (change->bytes) memcpy(content->bytes + at, change->bytes + (at - change->offset), (size_t)(next - at));
                else memset(content->bytes + at, 0, (size_t)(next - at));
            }
            at = next;
        }
    }
    free(kept);
    return code ? code : resize(content, length);
}

static int content_after(simdisk_content *content, const simdisk_file *file, simdisk_loss loss, uint64_t *seed) {
    if (loss == SIMDISK_LOSE_NOTHING) return copy(content, &file->now);
    if (copy(content, &file->synced)) return SQLITE_NOMEM;
    if (loss == SIMDISK_LOSE_ALL || file->changeCount == 0) return SQLITE_OK;
    if (loss == SIMDISK_LOSE_SECTORS) return mix_sectors(content, file, seed);
    int first = loss == SIMDISK_LOSE_TAIL ? draw_below(seed, file->changeCount + 1) : file->changeCount;
    for (int i = 0; i < file->changeCount; i++) {
        int code = SQLITE_OK;
        if (loss == SIMDISK_LOSE_TAIL) {
            if (i < first) code = apply(content, &file->changes[i]);
            else if (i == first) code = apply_in_part(content, &file->changes[i], seed);
        } else {
            int fate = draw_below(seed, 4);
            if (fate < 2) code = apply(content, &file->changes[i]);
            else if (fate == 2) code = apply_in_part(content, &file->changes[i], seed);
        }
        if (code) return code;
    }
    return SQLITE_OK;
}

simdisk *simdisk_after_power_cut(simdisk *from, const char *name, simdisk_loss loss, uint64_t seed) {
    simdisk *to = simdisk_create(name);
    if (!to) return NULL;
    int code = SQLITE_OK;
    pthread_mutex_lock(&from->mutex);
    for (simdisk_entry *entry = from->entries; entry && !code; entry = entry->next) {
        simdisk_file *file = entry->now;
        if (loss == SIMDISK_LOSE_ALL) file = entry->history[0];
        else if (loss != SIMDISK_LOSE_NOTHING) file = entry->history[draw_below(&seed, entry->historyCount)];
        if (!file) continue;
        simdisk_file *copied = simdisk_locked_make(to, entry->name);
        code = copied ? content_after(&copied->now, file, loss, &seed) : SQLITE_NOMEM;
        if (!code) code = copy(&copied->synced, &copied->now);
        simdisk_locked_release(copied);
    }
    pthread_mutex_unlock(&from->mutex);
    simdisk_locked_sync_directory(to);
    if (code) {
        simdisk_destroy(to);
        return NULL;
    }
    return to;
}

// MARK: - Disks

simdisk *simdisk_create(const char *name) {
    simdisk *disk = calloc(1, sizeof *disk);
    char *copied = strdup(name);
    if (!disk || !copied || sqlite3_initialize()) {
        free(disk);
        free(copied);
        return NULL;
    }
    pthread_mutex_init(&disk->mutex, NULL);
    disk->users = 1;
    simdisk_describe_vfs(disk, copied);
    sqlite3_vfs_register(&disk->vfs, 0);
    return disk;
}

void simdisk_destroy(simdisk *disk) {
    sqlite3_vfs_unregister(&disk->vfs);
    simdisk_observe(disk, NULL, NULL);
    simdisk_judge_with(disk, NULL, NULL);
    simdisk_leave(disk);
}

void simdisk_leave(simdisk *disk) {
    pthread_mutex_lock(&disk->mutex);
    int users = --disk->users;
    pthread_mutex_unlock(&disk->mutex);
    if (users > 0) return;
    while (disk->entries) {
        simdisk_entry *entry = disk->entries;
        disk->entries = entry->next;
        for (int i = 0; i < entry->historyCount; i++) simdisk_locked_release(entry->history[i]);
        free(entry->history);
        free(entry->name);
        free(entry);
    }
    pthread_mutex_destroy(&disk->mutex);
    free((char *)disk->vfs.zName);
    free(disk->ignored);
    free(disk);
}

void simdisk_announce(simdisk *disk, simdisk_operation operation, const char *name) {
    if (disk->observer && name) disk->observer(disk->context, operation, name);
}

void simdisk_observe(simdisk *disk, simdisk_observer observer, void *context) {
    disk->observer = observer;
    disk->context = context;
}

int simdisk_judged(simdisk *disk, simdisk_operation operation, const char *name) {
    if (!disk->judge) return SQLITE_OK;
    simdisk_verdict verdict = disk->judge(disk->judgeContext, operation, name ? name : "");
    // As `errno`: what succeeds leaves it as it is.
    if (verdict.code != SQLITE_OK) disk->systemError = verdict.systemError;
    return verdict.code;
}

void simdisk_judge_with(simdisk *disk, simdisk_judge judge, void *context) {
    disk->judge = judge;
    disk->judgeContext = context;
}

void simdisk_ignore_syncs(simdisk *disk, const char *suffix) {
    pthread_mutex_lock(&disk->mutex);
    free(disk->ignored);
    disk->ignored = suffix ? strdup(suffix) : NULL;
    pthread_mutex_unlock(&disk->mutex);
}

int64_t simdisk_unsynced(simdisk *disk, const char *name) {
    pthread_mutex_lock(&disk->mutex);
    simdisk_file *file = simdisk_locked_find(disk, name);
    int64_t count = file ? file->changeCount : -1;
    pthread_mutex_unlock(&disk->mutex);
    return count;
}

int64_t simdisk_read(simdisk *disk, const char *name, void *bytes, size_t count, int64_t offset) {
    pthread_mutex_lock(&disk->mutex);
    simdisk_file *file = simdisk_locked_find(disk, name);
    int64_t length = file ? 0 : -1;
    if (file && offset < file->now.size) {
        length = file->now.size - offset;
        if (length > (int64_t)count) length = (int64_t)count;
        memcpy(bytes, file->now.bytes + offset, (size_t)length);
    }
    pthread_mutex_unlock(&disk->mutex);
    return length;
}

int simdisk_write(simdisk *disk, const char *name, const void *bytes, size_t count, int64_t offset) {
    simdisk_announce(disk, SIMDISK_WRITE, name);
    pthread_mutex_lock(&disk->mutex);
    simdisk_file *file = simdisk_locked_make(disk, name);
    int code = file ? simdisk_locked_write(file, bytes, (int64_t)count, offset) : SQLITE_IOERR_NOMEM;
    simdisk_locked_release(file);
    pthread_mutex_unlock(&disk->mutex);
    return code;
}

int simdisk_sync(simdisk *disk, const char *name) {
    simdisk_announce(disk, SIMDISK_SYNC, name);
    pthread_mutex_lock(&disk->mutex);
    simdisk_file *file = simdisk_locked_find(disk, name);
    int code = file ? simdisk_locked_sync(disk, file, name) : SQLITE_CANTOPEN;
    pthread_mutex_unlock(&disk->mutex);
    return code;
}

void simdisk_sync_directory(simdisk *disk) {
    simdisk_announce(disk, SIMDISK_SYNC_DIRECTORY, "/");
    pthread_mutex_lock(&disk->mutex);
    simdisk_locked_sync_directory(disk);
    pthread_mutex_unlock(&disk->mutex);
}

void simdisk_delete(simdisk *disk, const char *name) {
    simdisk_announce(disk, SIMDISK_DELETE, name);
    pthread_mutex_lock(&disk->mutex);
    simdisk_locked_delete(disk, name);
    pthread_mutex_unlock(&disk->mutex);
}
