/* Wake: lets a cell tell somebody on a loop that it is worth asking again. It outlives who waits,
 * since a wake may be on its way when the wait ends. Inside route only. */
#pragma once

#include "net/loop.h"

struct wake;

/* `run(user)` is called on the loop's thread after wake_fire, once for all that come before it has
 * run. */
struct wake *wake_new(struct loop *loop, void (*run)(void *user), void *user);
/* Nothing is called any more. Loop's thread; NULL is allowed. */
void wake_free(struct wake *wake);
/* Any thread, and under a lock: only posts. `user`: the struct wake, as cell_waiter.wake has it. */
void wake_fire(void *user);
