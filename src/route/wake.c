/* Wake: a counted ticket between a cell, which fires it on any thread, and a call, which may be gone
 * when the message arrives. */
#include "route/wake.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "base/assert.h"

struct wake {
    struct loop_task task;
    struct loop *loop;
    void (*run)(void *user); /* on the loop's thread only; NULL: nobody waits any more */
    void *user;
    _Atomic int references;
    _Atomic bool is_posted;
};

struct wake *wake_new(struct loop *loop, void (*run)(void *user), void *user)
{
    struct wake *wake = calloc(1, sizeof *wake);
    ASSERT(wake);
    wake->loop = loop;
    wake->run = run;
    wake->user = user;
    wake->references = 1;
    return wake;
}

static void unref(struct wake *wake)
{
    if (atomic_fetch_sub(&wake->references, 1) == 1)
        free(wake);
}

void wake_free(struct wake *wake)
{
    if (!wake)
        return;
    wake->run = NULL;
    unref(wake);
}

static void arrive(void *user)
{
    struct wake *wake = user;
    atomic_store(&wake->is_posted, false);
    if (wake->run)
        wake->run(wake->user);
    unref(wake);
}

void wake_fire(void *user)
{
    struct wake *wake = user;
    if (atomic_exchange(&wake->is_posted, true))
        return;
    atomic_fetch_add(&wake->references, 1);
    if (!loop_post(wake->loop, &wake->task, arrive, wake))
        unref(wake);
}
