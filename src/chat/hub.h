/* Hub: what the chats of all loops share: which runs there are, and who wants to know that a
 * person's conversations changed. Guarded by one lock that is held for look-ups only. */
#pragma once

#include "base/err.h"
#include "base/id.h"
#include "chat/run_log.h"

struct chat;
struct hub;
struct watcher;

struct hub *hub_new(void);
void hub_free(struct hub *hub);

/* A running or recently ended answer, as others see it. */
struct hub_run {
    struct id id;
    struct id owner;
    struct id conversation;
    struct id message;
    struct loop *loop;   /* its home loop, which outlives every thread that may ask */
    struct chat *home;   /* of that loop: to be touched on it only, while the hub knows the run */
    struct run_log *log; /* finding one: a reference is the caller's */
    bool is_response;    /* of the responses door, in the background: its own functions find it */
};

/* Adds one (the hub takes a reference to its log). */
void hub_add_run(struct hub *hub, const struct hub_run *run);
/* The same for an answer in the background. ERR_RATE_LIMITED: `at_once_max` of its owner's have not
 * ended yet. */
MUST_USE enum err hub_add_response(struct hub *hub, const struct hub_run *run, size_t at_once_max);
void hub_remove_run(struct hub *hub, const struct id *id);
/* ERR_NOT_FOUND: never was, or ended a while ago. Any thread. */
MUST_USE enum err hub_find_run(struct hub *hub, const struct id *id, struct hub_run *ret_run);
MUST_USE enum err hub_find_response(struct hub *hub, const struct id *id, struct hub_run *ret_run);
size_t hub_run_count(struct hub *hub);

/* Calls on_changed(user, conversation) on `loop` whenever hub_publish names this owner, except for
 * what `watcher` itself published. On its loop; hub_unwatch: nothing is heard after it returns. */
struct watcher *hub_watch(struct hub *hub, struct loop *loop, const struct id *owner,
                          void (*on_changed)(void *user, const struct id *conversation),
                          void *user);
void hub_unwatch(struct watcher *watcher);
/* `except` may be NULL. Any thread. */
void hub_publish(struct hub *hub, const struct id *owner, const struct id *conversation,
                 const struct watcher *except);
