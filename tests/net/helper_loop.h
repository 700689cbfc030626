/* For tests of the net floor: a loop turned by hand, and a recorder of what a stream says. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
/* cmocka wants the four above */
#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/buf.h"
#include "base/clock.h"
#include "net/loop.h"
#include "net/stream.h"

struct helper_nudge {
    struct loop *loop;
    struct loop_timer timer;
};

/* Sets itself again: when it fires before the wait, it still bounds the wait. */
static inline void helper_nudge(void *user)
{
    struct helper_nudge *nudge = user;
    loop_timer_set(nudge->loop, &nudge->timer, 1, helper_nudge, nudge);
}

/* One turn that waits a millisecond at most. */
static inline void helper_turn(struct loop *loop)
{
    struct helper_nudge nudge = {.loop = loop};
    helper_nudge(&nudge);
    loop_run_once(loop);
    loop_timer_cancel(loop, &nudge.timer);
}

/* Turns the loop until `condition` holds; a test that waits in vain fails after ten seconds. */
#define TURN_UNTIL(loop, condition)                                                                \
    do {                                                                                           \
        uint64_t turn_deadline = clock_monotonic_ms() + 10000;                                     \
        while (!(condition)) {                                                                     \
            helper_turn(loop);                                                                     \
            assert_true(clock_monotonic_ms() < turn_deadline);                                     \
        }                                                                                          \
    } while (0)

/* What a stream said. */
struct heard {
    struct stream *stream;
    struct buf data;
    int opens, datas, ends, drains, closes;
    enum err code;
    char detail[160];
};

static inline void heard_open(void *user)
{
    struct heard *heard = user;
    heard->opens++;
}

static inline void heard_data(void *user, char *data, size_t len)
{
    struct heard *heard = user;
    heard->datas++;
    buf_append(&heard->data, STR_FROM(data, len));
}

static inline void heard_end(void *user)
{
    struct heard *heard = user;
    heard->ends++;
}

static inline void heard_drain(void *user)
{
    struct heard *heard = user;
    heard->drains++;
}

static inline void heard_close(void *user, enum err code, const char *detail)
{
    struct heard *heard = user;
    heard->closes++;
    heard->code = code;
    assert_non_null(detail);
    str_copy(str_from_cstr(detail), heard->detail, sizeof heard->detail);
}

static const struct stream_events heard_events = {heard_open, heard_data, heard_end, heard_drain,
                                                  heard_close};

static inline void heard_init(struct heard *heard)
{
    *heard = (struct heard){0};
    buf_init(&heard->data, 64 * 1024 * 1024);
}

static inline void helper_close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static inline void helper_nonblock(int fd)
{
    assert_return_code(fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK), errno);
}
