/* The journal's reading side: after a crash, before any journal is opened. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "store/file.h"
#include "store/segment.h"

enum { READ_BYTES = 256 * 1024, LIST_BYTES_MAX = 64 * 1024 * 1024 };

struct replay {
    enum err (*on_record)(void *user, const struct journal_record *record);
    void *user;
    struct journal_replay_result result;
    struct error *error;
};

/* Moves what is left of the window to its beginning and reads more behind it. *ret_got is 0 at the
 * end of the file. */
static enum err refill(int fd, struct buf *window, size_t used, off_t *offset, size_t *ret_got,
                       struct error *error)
{
    buf_consume(window, used);
    char *room = buf_reserve(window, READ_BYTES);
    ssize_t got = room ? file_read_at(fd, room, READ_BYTES, *offset) : -1;
    if (got < 0)
        return error_set(error, ERR_STORAGE, NULL, "cannot read the journal: %s", strerror(errno));
    buf_commit(window, (size_t)got);
    *offset += got;
    *ret_got = (size_t)got;
    return ERR_OK;
}

static enum err replay_file(struct replay *replay, int fd, uint64_t generation, struct buf *window)
{
    off_t offset = 0;
    size_t at = 0, size, got = 0;
    struct journal_record record;
    enum err code = ERR_OK;
    while (code == ERR_OK) {
        struct str rest = str_skip(buf_str(window), at);
        enum segment_decoded decoded = segment_decode(rest, generation, &record, &size);
        if (decoded == SEGMENT_RECORD) {
            replay->result.records++;
            at += size;
            code = replay->on_record(replay->user, &record);
            continue;
        }
        if (decoded == SEGMENT_MORE) {
            code = refill(fd, window, at, &offset, &got, replay->error);
            at = 0;
            if (code != ERR_OK || got)
                continue;
        }
        replay->result.damaged += rest.len > 0; /* nothing left over: it ended well */
        break;
    }
    return code;
}

static enum err replay_segment(struct replay *replay, const char *directory,
                               const struct segment_name *name)
{
    char path[FILE_PATH_BYTES_MAX];
    enum err code = file_path(directory, name->text, path, replay->error);
    if (code != ERR_OK)
        return code;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return error_set(replay->error, ERR_STORAGE, NULL, "cannot open %s: %s", path,
                         strerror(errno));
    struct buf window;
    buf_init(&window, SEGMENT_RECORD_BYTES_MAX + (size_t)READ_BYTES);
    replay->result.segments++;
    code = replay_file(replay, fd, name->generation, &window);
    buf_done(&window);
    close(fd);
    return code;
}

/* Calls `each` with every segment in order, until one fails. */
static enum err each_segment(const char *directory,
                             enum err (*each)(void *user, const char *folder,
                                              const struct segment_name *name),
                             void *user, struct error *error)
{
    char folder[FILE_PATH_BYTES_MAX];
    struct segment_name *names;
    size_t count;
    struct arena *arena = arena_new(LIST_BYTES_MAX);
    enum err code = file_path(directory, "journal", folder, error);
    if (code == ERR_OK)
        code = segment_list(folder, arena, &names, &count, error);
    for (size_t i = 0; code == ERR_OK && i < count; i++)
        code = each(user, folder, &names[i]);
    arena_free(arena);
    return code;
}

static enum err replay_each(void *user, const char *folder, const struct segment_name *name)
{
    return replay_segment(user, folder, name);
}

enum err journal_replay(const char *directory,
                        enum err (*on_record)(void *user, const struct journal_record *record),
                        void *user, struct journal_replay_result *ret_result, struct error *error)
{
    struct replay replay = {.on_record = on_record, .user = user, .error = error};
    enum err code = each_segment(directory, replay_each, &replay, error);
    if (code == ERR_OK)
        *ret_result = replay.result;
    return code;
}

struct removal {
    struct error *error;
    bool any;
};

static enum err remove_each(void *user, const char *folder, const struct segment_name *name)
{
    struct removal *removal = user;
    char path[FILE_PATH_BYTES_MAX];
    enum err code = file_path(folder, name->text, path, removal->error);
    if (code != ERR_OK)
        return code;
    removal->any = true;
    if (unlink(path) == 0 || errno == ENOENT)
        return ERR_OK;
    return error_set(removal->error, ERR_STORAGE, NULL, "cannot remove %s: %s", path,
                     strerror(errno));
}

enum err journal_remove_all(const char *directory, struct error *error)
{
    struct removal removal = {.error = error};
    char folder[FILE_PATH_BYTES_MAX];
    enum err code = file_path(directory, "journal", folder, error);
    if (code == ERR_OK)
        code = each_segment(directory, remove_each, &removal, error);
    return code == ERR_OK && removal.any ? file_sync_directory(folder, error) : code;
}
