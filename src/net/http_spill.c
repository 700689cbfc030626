/* A large request body on its way to a file.
 *
 * Bytes gather in `pending` while the pool writes `writing`; when that is done the two are swapped.
 * So a write is as large as the disk is slow, and the loop never waits for it. */
#include "net/http_spill.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/buf.h"

enum { FULL_BYTES = 256 * 1024 };

struct http_spill {
    struct loop *loop;
    struct loop_work work;
    struct buf pending;
    struct buf writing; /* the pool's while busy */
    char *directory;
    int fd;    /* the pool's while busy; -1: not made yet, or mapped */
    int error; /* the pool's while busy */
    size_t written;
    void *mapping;
    bool busy;
    bool finished;
    bool abandoned; /* freed by its owner while busy */
    void (*on_progress)(void *user);
    void *user;
};

struct http_spill *http_spill_new(struct loop *loop, const char *directory,
                                  void (*on_progress)(void *user), void *user)
{
    struct http_spill *spill = calloc(1, sizeof *spill);
    ASSERT(spill);
    spill->directory = strdup(directory);
    ASSERT(spill->directory);
    spill->loop = loop;
    spill->fd = -1;
    spill->on_progress = on_progress;
    spill->user = user;
    buf_init(&spill->pending, SIZE_MAX / 2); /* bounded by whoever asks http_spill_is_full */
    buf_init(&spill->writing, SIZE_MAX / 2);
    return spill;
}

static void release(struct http_spill *spill)
{
    if (spill->mapping)
        munmap(spill->mapping, spill->written);
    if (spill->fd >= 0)
        close(spill->fd);
    buf_done(&spill->pending);
    buf_done(&spill->writing);
    free(spill->directory);
    free(spill);
}

void http_spill_free(struct http_spill *spill)
{
    if (!spill)
        return;
    if (spill->busy)
        spill->abandoned = true;
    else
        release(spill);
}

/* ---- On a pool thread --------------------------------------------------------------------------
 */

/* A file without a name from the start where the file system can do that. */
static int make_file(const char *directory)
{
    int fd = open(directory, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
    if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL))
        return fd;
    char path[4096];
    int len = snprintf(path, sizeof path, "%s/.body-XXXXXX", directory);
    if (len < 0 || (size_t)len >= sizeof path) {
        errno = ENAMETOOLONG;
        return -1;
    }
    fd = mkostemp(path, O_CLOEXEC);
    if (fd >= 0)
        unlink(path);
    return fd;
}

static int write_all(int fd, struct str data)
{
    while (data.len) {
        ssize_t count = write(fd, data.data, data.len);
        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0)
            return count < 0 ? errno : ENOSPC;
        data = str_skip(data, (size_t)count);
    }
    return 0;
}

static void run_write(void *user)
{
    struct http_spill *spill = user;
    if (spill->fd < 0)
        spill->fd = make_file(spill->directory);
    spill->error = spill->fd < 0 ? errno : write_all(spill->fd, buf_str(&spill->writing));
}

/* ---- On the loop -------------------------------------------------------------------------------
 */

static void on_written(void *user);

static void write_more(struct http_spill *spill)
{
    if (spill->busy || spill->error || !spill->pending.len)
        return;
    buf_swap(&spill->pending, &spill->writing);
    spill->busy = true;
    loop_work_start(spill->loop, &spill->work, run_write, on_written, spill);
}

static void on_written(void *user)
{
    struct http_spill *spill = user;
    spill->busy = false;
    if (spill->abandoned) {
        release(spill);
        return;
    }
    spill->written += spill->writing.len;
    buf_clear(&spill->writing);
    write_more(spill);
    spill->on_progress(spill->user);
}

void http_spill_write(struct http_spill *spill, struct str data)
{
    ASSERT(!spill->finished);
    buf_append(&spill->pending, data);
    write_more(spill);
}

bool http_spill_is_full(const struct http_spill *spill)
{
    return spill->busy && spill->pending.len >= FULL_BYTES;
}

void http_spill_finish(struct http_spill *spill)
{
    spill->finished = true;
}

enum http_spill_state http_spill_state(const struct http_spill *spill)
{
    if (spill->busy)
        return HTTP_SPILL_WRITING;
    if (spill->error)
        return HTTP_SPILL_FAILED;
    return spill->finished && !spill->pending.len ? HTTP_SPILL_DONE : HTTP_SPILL_WRITING;
}

int http_spill_errno(const struct http_spill *spill)
{
    return spill->error;
}

bool http_spill_map(struct http_spill *spill, struct str *ret_body)
{
    ASSERT(http_spill_state(spill) == HTTP_SPILL_DONE && spill->written && !spill->mapping);
    buf_release(&spill->pending);
    buf_release(&spill->writing);
    void *mapping = mmap(NULL, spill->written, PROT_READ, MAP_PRIVATE, spill->fd, 0);
    if (mapping == MAP_FAILED) {
        spill->error = errno;
        return false;
    }
    spill->mapping = mapping;
    close(spill->fd);
    spill->fd = -1;
    *ret_body = STR_FROM(mapping, spill->written);
    return true;
}
