/* The journal's writing side: one per loop, all on that loop's thread but for fdatasync.
 *
 *              journal_append, at the end of the turn
 *     pending -----------------------------------------> segment (the operating system has it)
 *                                                            |
 *                              on_interval, in the pool      v
 *                                                         on the disk
 *
 * GOOD -- write fails: enter_trouble --> TROUBLE -- leave_trouble, at the next append or interval
 * --> GOOD
 *
 * In trouble nothing new is accepted, and what was accepted stays pending: a failed write is
 * written again at the same place when there is room. After a failed fdatasync the file is not
 * written any more: the operating system may have dropped what it could not write, so a new segment
 * is begun, and must be synced, before anything is accepted. */
#include "store/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/map.h"
#include "store/file.h"
#include "store/segment.h"

enum { PENDING_BYTES_MAX = 2 * SEGMENT_RECORD_BYTES_MAX, PENDING_BYTES_KEPT = 256 * 1024 };
enum { SEGMENT_BYTES_DEFAULT = 64 * 1024 * 1024, LIST_BYTES_MAX = 64 * 1024 * 1024 };

struct segment {
    struct list link; /* in journal.segments, oldest first */
    struct segment_name name;
    int fd;
    off_t size;       /* what was written whole */
    size_t interests; /* ids with records in it that are not released */
    bool dirty;       /* written since the last sync */
    bool fresh;       /* its name is not synced yet */
};

/* An id that has records in the segments of generation first to last. */
struct interest {
    uint64_t first;
    uint64_t last;
};

struct journal {
    struct loop *loop;
    struct journal_options options;
    char directory[FILE_PATH_BYTES_MAX];
    struct list segments;
    struct segment *current; /* the newest */
    struct map *interests;   /* id to interest */
    struct id noted;         /* whose interest in `current` was noted last: most often the next */
    struct buf pending;      /* belongs behind `current` */
    struct loop_task flush;
    struct loop_timer interval;
    struct loop_work work;
    struct segment *syncing; /* in the pool; NULL: nothing is */
    int sync_reason;         /* errno of the sync that ended, or 0 */
    bool trouble;
    bool segment_wanted; /* before anything is accepted: the sync of `current` failed, or it is full
                          */
    bool closing;
};

/* ---- Segments ----------------------------------------------------------------------------------
 */
static void close_segment(struct segment *segment)
{
    list_remove(&segment->link);
    close(segment->fd);
    free(segment);
}

static void unlink_segment(struct journal *journal, const struct segment *segment)
{
    char path[FILE_PATH_BYTES_MAX];
    if (file_path(journal->directory, segment->name.text, path, NULL) == ERR_OK &&
        unlink(path) != 0)
        log_warning(loop_log(journal->loop), "cannot remove a journal segment",
                    LOG_CSTR("path", path), LOG_CSTR("reason", strerror(errno)));
}

/* Those before the current one that nobody needs. The one in the pool waits for its turn. */
static void remove_unneeded(struct journal *journal)
{
    LIST_EACH (&journal->segments, link) {
        struct segment *segment = LIST_ENTRY(link, struct segment, link);
        if (segment != journal->current && segment != journal->syncing && segment->interests == 0) {
            unlink_segment(journal, segment);
            close_segment(segment);
        }
    }
}

static enum err begin_segment(struct journal *journal, uint64_t generation, struct error *error)
{
    struct segment_name name = segment_name_make((uint64_t)loop_index(journal->loop), generation);
    char path[FILE_PATH_BYTES_MAX];
    enum err code = file_path(journal->directory, name.text, path, error);
    if (code != ERR_OK)
        return code;
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd < 0)
        return error_set(error, ERR_STORAGE, NULL, "cannot make %s: %s", path, strerror(errno));
    struct segment *segment = calloc(1, sizeof *segment);
    ASSERT(segment);
    segment->name = name;
    segment->fd = fd;
    segment->fresh = true;
    list_append(&journal->segments, &segment->link);
    journal->current = segment;
    journal->noted = (struct id){0};
    remove_unneeded(journal);
    return ERR_OK;
}

/* ---- Syncing -----------------------------------------------------------------------------------
 */
static int sync_segment(const struct journal *journal, const struct segment *segment, bool fresh)
{
    int (*sync)(int fd) = journal->options.sync ? journal->options.sync : fdatasync;
    if (sync(segment->fd) != 0)
        return errno ? errno : EIO;
    if (fresh && file_sync_directory(journal->directory, NULL) != ERR_OK)
        return EIO;
    return 0;
}

static void on_interval(void *user);

static void want_interval(struct journal *journal)
{
    if (journal->options.sync_interval_ms && !loop_timer_is_set(&journal->interval) &&
        !journal->closing)
        loop_timer_set(journal->loop, &journal->interval, journal->options.sync_interval_ms,
                       on_interval, journal);
}

static void enter_trouble(struct journal *journal, const char *what, int reason)
{
    if (!journal->trouble)
        log_error(loop_log(journal->loop), "the journal cannot be written", LOG_CSTR("step", what),
                  LOG_CSTR("reason", strerror(reason)));
    journal->trouble = true;
    want_interval(journal);
}

static void run_sync(void *user)
{
    struct journal *journal = user;
    journal->sync_reason = sync_segment(journal, journal->syncing, true);
}

static void free_journal(struct journal *journal);
static void start_sync(struct journal *journal);

static void on_synced(void *user)
{
    struct journal *journal = user;
    struct segment *segment = journal->syncing;
    journal->syncing = NULL;
    if (journal->closing) {
        free_journal(journal);
        return;
    }
    segment->fresh = false;
    if (journal->sync_reason) {
        journal->segment_wanted |= segment == journal->current;
        enter_trouble(journal, "sync", journal->sync_reason);
    }
    remove_unneeded(journal);
    start_sync(journal);
}

static void sync_in_pool(struct journal *journal, struct segment *segment)
{
    segment->dirty = false; /* what is written from now on is dirty again */
    journal->syncing = segment;
    loop_work_start(journal->loop, &journal->work, run_sync, on_synced, journal);
}

/* One segment at a time: older ones at once, the current one at the next interval. */
static void start_sync(struct journal *journal)
{
    LIST_EACH (&journal->segments, link) {
        struct segment *segment = LIST_ENTRY(link, struct segment, link);
        if (!journal->syncing && segment->dirty && segment != journal->current)
            sync_in_pool(journal, segment);
    }
    if (journal->current->dirty)
        want_interval(journal);
}

/* ---- Writing -----------------------------------------------------------------------------------
 */
static bool write_pending(struct journal *journal)
{
    struct segment *segment = journal->current;
    if (journal->pending.len == 0)
        return true;
    segment_check(&journal->pending);
    if (file_write_at(segment->fd, buf_str(&journal->pending), segment->size) != 0) {
        int reason = errno;
        /* What did get there is a torn tail: harmless, but in the way of a full disk. */
        if (ftruncate(segment->fd, segment->size) != 0)
            errno = 0;
        enter_trouble(journal, "write", reason);
        return false;
    }
    segment->size += (off_t)journal->pending.len;
    segment->dirty = true;
    if (journal->pending.capacity > PENDING_BYTES_KEPT)
        buf_release(&journal->pending);
    else
        buf_clear(&journal->pending);
    want_interval(journal);
    return true;
}

/* Whether appending is possible again. */
static bool leave_trouble(struct journal *journal)
{
    if (!write_pending(journal))
        return false;
    if (journal->segment_wanted) {
        struct error error = {0};
        if (begin_segment(journal, journal->current->name.generation + 1, &error) != ERR_OK)
            return false;
        journal->segment_wanted = false;
        int reason = sync_segment(journal, journal->current, true);
        journal->current->fresh = false;
        journal->segment_wanted = reason != 0;
        if (reason)
            return false;
    }
    if (journal->trouble)
        log_warning(loop_log(journal->loop), "the journal is written again",
                    LOG_STR("segment", str_from_cstr(journal->current->name.text)));
    journal->trouble = false;
    return true;
}

static void on_interval(void *user)
{
    struct journal *journal = user;
    if (journal->trouble && !leave_trouble(journal)) {
        want_interval(journal);
        return;
    }
    if (!journal->syncing && journal->current->dirty)
        sync_in_pool(journal, journal->current);
}

static void on_flush(void *user)
{
    struct journal *journal = user;
    if (!journal->trouble)
        write_pending(journal); /* failing is remembered as trouble */
}

/* Room for `size` more bytes behind what is pending, in this segment or a new one. */
static bool make_room(struct journal *journal, size_t size)
{
    uint64_t written = (uint64_t)journal->current->size + journal->pending.len;
    bool full = written && written + size > journal->options.segment_bytes_max;
    if (!full && journal->pending.len + size <= PENDING_BYTES_MAX)
        return true;
    if (!write_pending(journal))
        return false;
    if (!full)
        return true;
    struct error error = {0};
    if (begin_segment(journal, journal->current->name.generation + 1, &error) != ERR_OK) {
        journal->segment_wanted = true;
        enter_trouble(journal, "new segment", errno);
        return false;
    }
    start_sync(journal);
    return true;
}

static void note_interest(struct journal *journal, const struct id *id)
{
    uint64_t generation = journal->current->name.generation;
    if (id_eq(&journal->noted, id))
        return;
    journal->noted = *id;
    struct interest *interest = map_get(journal->interests, id_str(id));
    if (interest && interest->last == generation)
        return;
    uint64_t from = interest ? interest->last + 1 : generation;
    if (!interest) {
        interest = calloc(1, sizeof *interest);
        ASSERT(interest);
        interest->first = generation;
        map_set(journal->interests, id_str(id), interest);
    }
    interest->last = generation;
    LIST_EACH (&journal->segments, link) {
        struct segment *segment = LIST_ENTRY(link, struct segment, link);
        segment->interests += segment->name.generation >= from;
    }
}

enum err journal_append(struct journal *journal, const struct journal_record *record)
{
    ASSERT(record->kind != 0 && !id_is_none(&record->id));
    if (record->payload.len > JOURNAL_PAYLOAD_BYTES_MAX)
        return ERR_TOO_BIG;
    if (journal->trouble && !leave_trouble(journal))
        return ERR_STORAGE;
    if (!make_room(journal, SEGMENT_HEADER_BYTES + record->payload.len))
        return ERR_STORAGE;
    segment_encode(&journal->pending, journal->current->name.generation, record);
    note_interest(journal, &record->id);
    loop_defer_record(journal->loop, &journal->flush, on_flush, journal);
    return ERR_OK;
}

void journal_release(struct journal *journal, const struct id *id)
{
    struct interest *interest = map_remove(journal->interests, id_str(id));
    journal->noted = (struct id){0};
    if (!interest)
        return;
    LIST_EACH (&journal->segments, link) {
        struct segment *segment = LIST_ENTRY(link, struct segment, link);
        if (segment->name.generation >= interest->first &&
            segment->name.generation <= interest->last)
            segment->interests--;
    }
    free(interest);
    remove_unneeded(journal);
}

/* ---- Life --------------------------------------------------------------------------------------
 */
static enum err next_generation(const struct journal *journal, uint64_t *ret, struct error *error)
{
    struct segment_name *names;
    size_t count;
    struct arena *arena = arena_new(LIST_BYTES_MAX);
    enum err code = segment_list(journal->directory, arena, &names, &count, error);
    if (code == ERR_OK)
        *ret = count ? names[count - 1].generation + 1 : 1;
    arena_free(arena);
    return code;
}

static enum err open_first(struct journal *journal, struct error *error)
{
    uint64_t generation;
    enum err code;
    if ((code = file_path(journal->options.directory, "journal", journal->directory, error)) !=
            ERR_OK ||
        (code = file_make_directory(journal->directory, error)) != ERR_OK ||
        (code = file_sync_directory(journal->options.directory, error)) != ERR_OK ||
        (code = next_generation(journal, &generation, error)) != ERR_OK ||
        (code = begin_segment(journal, generation, error)) != ERR_OK)
        return code;
    code = file_sync_directory(journal->directory, error);
    journal->current->fresh = code != ERR_OK;
    return code;
}

enum err journal_open(struct loop *loop, const struct journal_options *options,
                      struct journal **ret_journal, struct error *error)
{
    struct journal *journal = calloc(1, sizeof *journal);
    ASSERT(journal);
    journal->loop = loop;
    journal->options = *options;
    if (!journal->options.segment_bytes_max)
        journal->options.segment_bytes_max = SEGMENT_BYTES_DEFAULT;
    list_init(&journal->segments);
    journal->interests = map_new();
    buf_init(&journal->pending, PENDING_BYTES_MAX);
    enum err code = open_first(journal, error);
    if (code != ERR_OK) {
        free_journal(journal);
        return code;
    }
    *ret_journal = journal;
    return ERR_OK;
}

static void free_journal(struct journal *journal)
{
    LIST_EACH (&journal->segments, link)
        close_segment(LIST_ENTRY(link, struct segment, link));
    size_t position = 0;
    void *interest;
    while ((interest = map_next(journal->interests, &position, NULL)))
        free(interest);
    map_free(journal->interests);
    buf_done(&journal->pending);
    free(journal);
}

void journal_close(struct journal *journal)
{
    if (!journal)
        return;
    loop_task_cancel(&journal->flush);
    loop_timer_cancel(journal->loop, &journal->interval);
    journal->closing = true;
    bool written = write_pending(journal);
    int reason = 0;
    LIST_EACH (&journal->segments, link) {
        struct segment *segment = LIST_ENTRY(link, struct segment, link);
        if (segment->interests == 0)
            unlink_segment(journal, segment); /* still open: the pool may be syncing it */
        else if (segment->dirty && !reason)
            reason = sync_segment(journal, segment, segment->fresh);
    }
    if (!written || reason)
        log_error(loop_log(journal->loop), "the journal was closed with records not on disk",
                  LOG_CSTR("reason", strerror(reason ? reason : ENOSPC)));
    if (!journal->syncing)
        free_journal(journal); /* else when the pool is done with it */
}
