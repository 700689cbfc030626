/* Bytes on their way out: a capped buf of which the kernel has taken the first `sent`. */
#pragma once

#include "base/buf.h"

struct outbox {
    struct buf bytes;
    size_t sent;
};

static inline size_t outbox_pending(const struct outbox *box)
{
    return box->bytes.len - box->sent;
}

/* Twice the cap of what may wait: the part already sent is cut off when it is the larger one, so
 * that every byte is moved at most once. */
static inline void outbox_init(struct outbox *box, size_t pending_bytes_max)
{
    buf_init(&box->bytes, 2 * pending_bytes_max);
    box->sent = 0;
}

static inline void outbox_release(struct outbox *box)
{
    buf_release(&box->bytes);
    box->sent = 0;
}

/* The kernel took `count` bytes; memory is given back when none is left. */
static inline void outbox_take(struct outbox *box, size_t count)
{
    box->sent += count;
    if (outbox_pending(box) == 0) {
        outbox_release(box);
    } else if (box->sent >= outbox_pending(box)) {
        buf_consume(&box->bytes, box->sent);
        box->sent = 0;
    }
}
