/* Follower: one caller of a shared answer, in its own loop: where it stands in the chain of blocks,
 * and what it is told. See coalesce.c for the whole. */
#include <stdlib.h>

#include "route/coalesce_internal.h"

/* ---- References and messages ----------------------------------------------------------------- */

static void follower_unref(struct follower *follower)
{
    if (atomic_fetch_sub(&follower->references, 1) != 1)
        return;
    block_unref(follower->place);
    facts_unref(follower->facts);
    share_unref(follower->share);
    free(follower);
}

static void follower_run(void *user);

void follower_wake(struct follower *follower)
{
    if (atomic_exchange(&follower->is_posted, true))
        return;
    atomic_fetch_add(&follower->references, 1);
    if (!loop_post(follower->loop, &follower->task, follower_run, follower))
        follower_unref(follower);
}

void follower_forget(struct follower *follower)
{
    if (!list_is_linked(&follower->link))
        return;
    list_remove(&follower->link);
    follower->share->follower_count--;
}

/* ---- A follower, on its own loop ------------------------------------------------------------- */

static void tell(struct follower *follower, const struct block *block)
{
    if (block->has_bytes) {
        follower->on_raw(follower->user, block->content_type, block->bytes);
        return;
    }
    if (block->event.kind == LLM_EVENT_USAGE)
        follower->usage = block->event.usage;
    follower->on_event(follower->user, &block->event);
}

static void tell_cut(struct follower *follower)
{
    static const struct llm_error error = {.class = ERR_TOO_BIG,
                                           .retry_after_ms = -1,
                                           .message = "the answer, which several requests share, "
                                                      "was read too slowly here"};
    follower->on_event(follower->user,
                       &(struct llm_event){.kind = LLM_EVENT_ERROR, .error = &error});
    if (!follower->is_gone)
        follower->on_event(follower->user, &(struct llm_event){.kind = LLM_EVENT_END});
}

static void step(struct follower *follower, struct block *next)
{
    struct block *before = follower->place;
    struct facts *facts = follower->facts;
    follower->place = block_ref(next);
    follower->facts = facts_ref(next->facts);
    atomic_store(&follower->told_bytes, next->end_bytes);
    facts_unref(facts);
    block_unref(before);
}

/* The next block, if it is to be told now. */
static struct block *next_block(struct follower *follower)
{
    if (follower->is_gone || atomic_load(&follower->is_paused))
        return NULL;
    return atomic_load(&follower->place->next);
}

static void follower_run(void *user)
{
    struct follower *follower = user;
    struct block *next;
    atomic_store(&follower->is_posted, false);
    if (atomic_load(&follower->is_cut) && !follower->is_gone)
        tell_cut(follower);
    while ((next = next_block(follower))) {
        step(follower, next);
        tell(follower, next);
    }
    if (!follower->is_gone && atomic_load(&follower->share->is_paused))
        share_call_home(follower->share);
    follower_unref(follower);
}

void follower_listen(struct follower *follower,
                     void (*on_event)(void *user, const struct llm_event *event),
                     void (*on_raw)(void *user, struct str content_type, struct str bytes),
                     void *user)
{
    follower->on_event = on_event;
    follower->on_raw = on_raw;
    follower->user = user;
    if (follower->has_joined)
        follower_wake(follower);
}

void follower_leave(struct follower *follower)
{
    struct share *share = follower->share;
    struct block *log = NULL;
    follower->is_gone = true;
    pthread_mutex_lock(&share->coalescer->lock);
    follower_forget(follower);
    bool is_last = list_is_empty(&share->followers);
    if (is_last)
        log = share_close_log(share);
    pthread_mutex_unlock(&share->coalescer->lock);
    block_unref(log);
    if (is_last || atomic_load(&share->is_paused))
        share_call_home(share);
    follower_unref(follower);
}

static void set_paused(struct follower *follower, bool is_paused)
{
    if (atomic_exchange(&follower->is_paused, is_paused) == is_paused)
        return;
    if (!is_paused)
        follower_wake(follower);
    share_call_home(follower->share);
}

void follower_pause(struct follower *follower)
{
    set_paused(follower, true);
}

void follower_resume(struct follower *follower)
{
    set_paused(follower, false);
}

bool follower_has_joined(const struct follower *follower)
{
    return follower->has_joined;
}

const struct facts *follower_facts(const struct follower *follower)
{
    return follower->facts;
}

struct llm_usage follower_usage(const struct follower *follower)
{
    return follower->usage;
}
