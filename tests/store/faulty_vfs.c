/* The VFS of the power-cut tests; see the header. Opening, locks and shared memory go straight to
 * the system's VFS. */
#include "faulty_vfs.h"

#include <fcntl.h>
#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/random.h"

enum { FILES_MAX = 8, PATH_BYTES = 512, SECTOR = 512 };

/* One write, or (data NULL) a change of length, not synced yet. */
struct change {
    struct change *next;
    int64_t offset; /* of the write, or the new length */
    size_t size;
    unsigned char *data;
};

struct image {
    unsigned char *data;
    size_t size;
};

/* One path, whatever number of connections have it open. */
struct shadow {
    char path[PATH_BYTES];
    bool on_disk; /* its name is synced */
    bool exists;  /* in the cache */
    struct image disk;
    struct change *first, *last;
};

struct faulty_vfs {
    sqlite3_vfs base; /* first: SQLite hands it back */
    sqlite3_vfs *real;
    pthread_mutex_t lock; /* guards everything below */
    struct random random;
    enum faulty_kind kind;
    uint64_t calls; /* until the fault */
    bool happened;
    bool dead; /* power is cut */
    bool ignore_syncs;
    struct shadow files[FILES_MAX];
};

struct faulty_file {
    sqlite3_file base; /* first: SQLite hands it back */
    struct faulty_vfs *vfs;
    struct shadow *shadow; /* NULL: a temporary file, passed through */
    sqlite3_file *real;    /* behind this struct */
};

/* ---- Images ------------------------------------------------------------------------------------
 */
static void image_resize(struct image *image, size_t size)
{
    if (size > image->size || size == 0) {
        image->data = realloc(image->data, size ? size : 1);
        ASSERT(image->data);
    }
    if (size > image->size)
        memset(image->data + image->size, 0, size - image->size);
    image->size = size;
}

static void image_write(struct image *image, int64_t offset, const unsigned char *data, size_t size)
{
    if (size == 0)
        return;
    if ((size_t)offset + size > image->size)
        image_resize(image, (size_t)offset + size);
    memcpy(image->data + offset, data, size);
}

static void apply(struct image *image, const struct change *change)
{
    if (!change->data)
        image_resize(image, (size_t)change->offset);
    else
        image_write(image, change->offset, change->data, change->size);
}

/* What the disk has of a write that was under way: some of its sectors. */
static void apply_torn(struct random *random, struct image *image, const struct change *change)
{
    for (size_t at = 0; at < change->size;) {
        size_t left = SECTOR - (size_t)(change->offset + (int64_t)at) % SECTOR;
        size_t size = left < change->size - at ? left : change->size - at;
        if (random_below(random, 2))
            image_write(image, change->offset + (int64_t)at, change->data + at, size);
        at += size;
    }
}

static void free_change(struct change *change)
{
    free(change->data);
    free(change);
}

/* Empties the list of changes; each is applied whole when `durable`, else left to chance. */
static void settle(struct faulty_vfs *vfs, struct shadow *shadow, bool durable)
{
    uint64_t mood = random_below(&vfs->random, 4); /* all lost, all kept, or each by itself */
    struct change *change;
    while ((change = shadow->first)) {
        shadow->first = change->next;
        uint64_t fate = mood == 0 ? 0 : mood == 1 ? 1 : random_below(&vfs->random, 3);
        if (durable || fate == 1)
            apply(&shadow->disk, change);
        else if (fate == 2 && change->data)
            apply_torn(&vfs->random, &shadow->disk, change);
        free_change(change);
    }
    shadow->last = NULL;
}

static void add_change(struct shadow *shadow, int64_t offset, const void *data, size_t size)
{
    struct change *change = calloc(1, sizeof *change);
    ASSERT(change);
    change->offset = offset;
    change->size = size;
    if (data) {
        change->data = malloc(size ? size : 1);
        ASSERT(change->data);
        memcpy(change->data, data, size);
    }
    if (shadow->last)
        shadow->last->next = change;
    else
        shadow->first = change;
    shadow->last = change;
}

static struct shadow *shadow_of(struct faulty_vfs *vfs, const char *path)
{
    struct shadow *free_one = NULL;
    for (int i = 0; i < FILES_MAX; i++) {
        if (strcmp(vfs->files[i].path, path) == 0)
            return &vfs->files[i];
        if (!vfs->files[i].path[0] && !free_one)
            free_one = &vfs->files[i];
    }
    ASSERT(free_one && strlen(path) < PATH_BYTES);
    snprintf(free_one->path, PATH_BYTES, "%s", path);
    return free_one;
}

/* ---- Faults ------------------------------------------------------------------------------------
 */
enum call { CALL_WRITE, CALL_GROW, CALL_TRUNCATE, CALL_SYNC, CALL_DELETE };

static bool is_due(struct faulty_vfs *vfs, enum call call)
{
    if (vfs->kind == FAULTY_NONE || (vfs->happened && vfs->kind != FAULTY_FULL))
        return false;
    if (vfs->calls > 1) {
        vfs->calls--;
        return false;
    }
    switch (vfs->kind) {
    case FAULTY_FULL:
        return call == CALL_GROW;
    case FAULTY_WRITE:
        return call == CALL_WRITE || call == CALL_GROW;
    case FAULTY_SYNC:
        return call == CALL_SYNC;
    default:
        return true;
    }
}

static void cut_power(struct faulty_vfs *vfs)
{
    vfs->dead = true;
    for (int i = 0; i < FILES_MAX; i++)
        settle(vfs, &vfs->files[i], false);
}

/* The result that the call must have, or SQLITE_OK to go on. `cut`: the power goes in this call. */
static int fault(struct faulty_vfs *vfs, enum call call, bool *ret_cut)
{
    *ret_cut = false;
    if (vfs->dead)
        return SQLITE_IOERR;
    if (!is_due(vfs, call))
        return SQLITE_OK;
    vfs->happened = true;
    switch (vfs->kind) {
    case FAULTY_FULL:
        return SQLITE_FULL;
    case FAULTY_WRITE:
        return SQLITE_IOERR_WRITE;
    case FAULTY_SYNC:
        return SQLITE_IOERR_FSYNC;
    default:
        *ret_cut = true;
        return SQLITE_IOERR;
    }
}

/* ---- Methods of a file -------------------------------------------------------------------------
 */
#define FILE_OF(handle) ((struct faulty_file *)(void *)(handle))
#define REAL(handle)    (FILE_OF(handle)->real)

static int file_close(sqlite3_file *handle)
{
    return REAL(handle)->pMethods ? REAL(handle)->pMethods->xClose(REAL(handle)) : SQLITE_OK;
}

static int file_read(sqlite3_file *handle, void *data, int size, sqlite3_int64 offset)
{
    struct faulty_vfs *vfs = FILE_OF(handle)->vfs;
    pthread_mutex_lock(&vfs->lock);
    bool dead = vfs->dead;
    pthread_mutex_unlock(&vfs->lock);
    return dead ? SQLITE_IOERR_READ
                : REAL(handle)->pMethods->xRead(REAL(handle), data, size, offset);
}

static int file_write(sqlite3_file *handle, const void *data, int size, sqlite3_int64 offset)
{
    struct faulty_file *file = FILE_OF(handle);
    if (!file->shadow)
        return file->real->pMethods->xWrite(file->real, data, size, offset);
    bool cut;
    sqlite3_int64 length = 0;
    pthread_mutex_lock(&file->vfs->lock);
    file->real->pMethods->xFileSize(file->real, &length);
    enum call call = offset + size > length ? CALL_GROW : CALL_WRITE;
    int result = fault(file->vfs, call, &cut);
    if (result == SQLITE_OK || cut)
        add_change(file->shadow, offset, data, (size_t)size);
    if (cut)
        cut_power(file->vfs);
    if (result == SQLITE_OK)
        result = file->real->pMethods->xWrite(file->real, data, size, offset);
    pthread_mutex_unlock(&file->vfs->lock);
    return result;
}

static int file_truncate(sqlite3_file *handle, sqlite3_int64 size)
{
    struct faulty_file *file = FILE_OF(handle);
    if (!file->shadow)
        return file->real->pMethods->xTruncate(file->real, size);
    bool cut;
    pthread_mutex_lock(&file->vfs->lock);
    int result = fault(file->vfs, CALL_TRUNCATE, &cut);
    if (result == SQLITE_OK || cut)
        add_change(file->shadow, size, NULL, 0);
    if (cut)
        cut_power(file->vfs);
    if (result == SQLITE_OK)
        result = file->real->pMethods->xTruncate(file->real, size);
    pthread_mutex_unlock(&file->vfs->lock);
    return result;
}

/* What was deleted stays deleted. */
static void sync_directory(struct faulty_vfs *vfs)
{
    for (int i = 0; i < FILES_MAX; i++) {
        if (vfs->files[i].exists)
            continue;
        vfs->files[i].on_disk = false;
        image_resize(&vfs->files[i].disk, 0);
    }
}

static int file_sync(sqlite3_file *handle, int flags)
{
    (void)flags;
    struct faulty_file *file = FILE_OF(handle);
    if (!file->shadow)
        return SQLITE_OK;
    bool cut;
    pthread_mutex_lock(&file->vfs->lock);
    int result = fault(file->vfs, CALL_SYNC, &cut);
    if (cut) {
        cut_power(file->vfs); /* in the middle of it: what was to be synced is left to chance */
    } else if (result == SQLITE_IOERR_FSYNC) {
        settle(file->vfs, file->shadow, false); /* the system calls the pages clean all the same */
    } else if (result == SQLITE_OK && !file->vfs->ignore_syncs) {
        settle(file->vfs, file->shadow, true);
        if (!file->shadow->on_disk)
            sync_directory(file->vfs); /* SQLite does after the first sync of a new file */
        file->shadow->on_disk = true;
    }
    pthread_mutex_unlock(&file->vfs->lock);
    return result;
}

static int file_size(sqlite3_file *handle, sqlite3_int64 *ret_size)
{
    return REAL(handle)->pMethods->xFileSize(REAL(handle), ret_size);
}

static int file_lock(sqlite3_file *handle, int kind)
{
    return REAL(handle)->pMethods->xLock(REAL(handle), kind);
}

static int file_unlock(sqlite3_file *handle, int kind)
{
    return REAL(handle)->pMethods->xUnlock(REAL(handle), kind);
}

static int file_check_lock(sqlite3_file *handle, int *ret)
{
    return REAL(handle)->pMethods->xCheckReservedLock(REAL(handle), ret);
}

static int file_control(sqlite3_file *handle, int operation, void *argument)
{
    /* The size hint makes files longer without a write: the shadow would not know. */
    if (operation == SQLITE_FCNTL_SIZE_HINT || operation == SQLITE_FCNTL_CHUNK_SIZE)
        return SQLITE_OK;
    return REAL(handle)->pMethods->xFileControl(REAL(handle), operation, argument);
}

static int file_sector_size(sqlite3_file *handle)
{
    (void)handle;
    return SECTOR;
}

static int file_characteristics(sqlite3_file *handle)
{
    (void)handle;
    return SQLITE_IOCAP_POWERSAFE_OVERWRITE; /* as SQLite takes every disk to be by default */
}

static int file_shm_map(sqlite3_file *handle, int page, int size, int extend,
                        void volatile **ret_memory)
{
    return REAL(handle)->pMethods->xShmMap(REAL(handle), page, size, extend, ret_memory);
}

static int file_shm_lock(sqlite3_file *handle, int offset, int count, int flags)
{
    return REAL(handle)->pMethods->xShmLock(REAL(handle), offset, count, flags);
}

static void file_shm_barrier(sqlite3_file *handle)
{
    REAL(handle)->pMethods->xShmBarrier(REAL(handle));
}

static int file_shm_unmap(sqlite3_file *handle, int remove)
{
    return REAL(handle)->pMethods->xShmUnmap(REAL(handle), remove);
}

static const sqlite3_io_methods file_methods = {
    2, /* no memory mapping of the database itself */
    file_close,
    file_read,
    file_write,
    file_truncate,
    file_sync,
    file_size,
    file_lock,
    file_unlock,
    file_check_lock,
    file_control,
    file_sector_size,
    file_characteristics,
    file_shm_map,
    file_shm_lock,
    file_shm_barrier,
    file_shm_unmap,
    NULL,
    NULL,
};

/* ---- Methods of the file system ----------------------------------------------------------------
 */
static int vfs_open(sqlite3_vfs *base, const char *path, sqlite3_file *handle, int flags,
                    int *ret_flags)
{
    struct faulty_vfs *vfs = (struct faulty_vfs *)(void *)base;
    struct faulty_file *file = FILE_OF(handle);
    memset(file, 0, sizeof *file);
    file->vfs = vfs;
    file->real = (sqlite3_file *)(void *)(file + 1);
    pthread_mutex_lock(&vfs->lock);
    int result = vfs->dead ? SQLITE_CANTOPEN
                           : vfs->real->xOpen(vfs->real, path, file->real, flags, ret_flags);
    if (result == SQLITE_OK && path &&
        flags & (SQLITE_OPEN_MAIN_DB | SQLITE_OPEN_WAL | SQLITE_OPEN_MAIN_JOURNAL)) {
        file->shadow = shadow_of(vfs, path);
        if (!file->shadow->exists) { /* made anew: nothing of an older one is in it */
            file->shadow->on_disk = false;
            image_resize(&file->shadow->disk, 0);
        }
        file->shadow->exists = true;
    }
    if (result == SQLITE_OK)
        file->base.pMethods = &file_methods;
    pthread_mutex_unlock(&vfs->lock);
    return result;
}

static int vfs_delete(sqlite3_vfs *base, const char *path, int durable)
{
    struct faulty_vfs *vfs = (struct faulty_vfs *)(void *)base;
    bool cut;
    pthread_mutex_lock(&vfs->lock);
    int result = fault(vfs, CALL_DELETE, &cut);
    if (cut)
        cut_power(vfs);
    if (result == SQLITE_OK) {
        struct shadow *shadow = shadow_of(vfs, path);
        shadow->exists = false;
        settle(vfs, shadow, false);
        if (durable || random_below(&vfs->random, 2)) {
            shadow->on_disk = false;
            image_resize(&shadow->disk, 0);
        }
        result = vfs->real->xDelete(vfs->real, path, 0);
    }
    pthread_mutex_unlock(&vfs->lock);
    return result;
}

static int vfs_access(sqlite3_vfs *base, const char *path, int flags, int *ret)
{
    struct faulty_vfs *vfs = (struct faulty_vfs *)(void *)base;
    return vfs->real->xAccess(vfs->real, path, flags, ret);
}

static int vfs_full_path(sqlite3_vfs *base, const char *path, int size, char *ret)
{
    struct faulty_vfs *vfs = (struct faulty_vfs *)(void *)base;
    return vfs->real->xFullPathname(vfs->real, path, size, ret);
}

/* ---- For the tests -----------------------------------------------------------------------------
 */
struct faulty_vfs *faulty_new(const char *name, uint64_t seed)
{
    struct faulty_vfs *vfs = calloc(1, sizeof *vfs);
    ASSERT(vfs);
    pthread_mutex_init(&vfs->lock, NULL);
    random_init(&vfs->random, seed);
    vfs->real = sqlite3_vfs_find(NULL);
    vfs->base = *vfs->real; /* what is not named below is the real one's: it needs no file */
    vfs->base.iVersion = 2;
    vfs->base.szOsFile = (int)sizeof(struct faulty_file) + vfs->real->szOsFile;
    vfs->base.pNext = NULL;
    vfs->base.zName = name;
    vfs->base.xOpen = vfs_open;
    vfs->base.xDelete = vfs_delete;
    vfs->base.xAccess = vfs_access;
    vfs->base.xFullPathname = vfs_full_path;
    ASSERT(sqlite3_vfs_register(&vfs->base, 0) == SQLITE_OK);
    return vfs;
}

void faulty_free(struct faulty_vfs *vfs)
{
    sqlite3_vfs_unregister(&vfs->base);
    for (int i = 0; i < FILES_MAX; i++) {
        settle(vfs, &vfs->files[i], true);
        free(vfs->files[i].disk.data);
    }
    pthread_mutex_destroy(&vfs->lock);
    free(vfs);
}

void faulty_arm(struct faulty_vfs *vfs, enum faulty_kind kind, uint64_t calls)
{
    pthread_mutex_lock(&vfs->lock);
    vfs->kind = kind;
    vfs->calls = calls;
    vfs->happened = false;
    pthread_mutex_unlock(&vfs->lock);
}

void faulty_repair(struct faulty_vfs *vfs)
{
    pthread_mutex_lock(&vfs->lock);
    vfs->kind = FAULTY_NONE;
    pthread_mutex_unlock(&vfs->lock);
}

bool faulty_happened(struct faulty_vfs *vfs)
{
    pthread_mutex_lock(&vfs->lock);
    bool happened = vfs->happened;
    pthread_mutex_unlock(&vfs->lock);
    return happened;
}

void faulty_ignore_syncs(struct faulty_vfs *vfs)
{
    pthread_mutex_lock(&vfs->lock);
    vfs->ignore_syncs = true;
    pthread_mutex_unlock(&vfs->lock);
}

void faulty_power_on(struct faulty_vfs *vfs)
{
    pthread_mutex_lock(&vfs->lock);
    if (!vfs->dead)
        cut_power(vfs);
    for (int i = 0; i < FILES_MAX; i++) {
        struct shadow *shadow = &vfs->files[i];
        if (!shadow->path[0])
            continue;
        char shared[PATH_BYTES + 8];
        snprintf(shared, sizeof shared, "%s-shm", shadow->path);
        unlink(shared); /* memory: gone with the power */
        unlink(shadow->path);
        shadow->exists = shadow->on_disk;
        if (!shadow->on_disk)
            continue;
        int fd = open(shadow->path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
        ASSERT(fd >= 0);
        size_t size = shadow->disk.size;
        ASSERT(size == 0 || write(fd, shadow->disk.data, size) == (ssize_t)size);
        close(fd);
    }
    vfs->dead = vfs->happened = vfs->ignore_syncs = false;
    vfs->kind = FAULTY_NONE;
    pthread_mutex_unlock(&vfs->lock);
}
