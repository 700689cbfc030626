/* Hub: the table of runs and the list of watchers. */
#include "chat/hub.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/map.h"

enum { PENDING_MAX = 16 };

struct hub {
    pthread_mutex_t lock;
    struct map *runs;     /* id -> struct hub_run, malloc'ed */
    struct list watchers; /* of everybody: a handful per person on line */
};

struct watcher {
    struct list link;
    struct hub *hub;
    struct loop *loop;
    struct loop_task task;
    struct id owner;
    void (*on_changed)(void *user, const struct id *conversation);
    void *user;
    struct id pending[PENDING_MAX]; /* conversations that changed since the last delivery */
    size_t pending_count;
    bool waking;     /* a task is under way: it frees a dead watcher */
    bool delivering; /* callbacks are under way: what called them does */
    bool dead;
};

struct hub *hub_new(void)
{
    struct hub *hub = calloc(1, sizeof *hub);
    ASSERT(hub);
    pthread_mutex_init(&hub->lock, NULL);
    hub->runs = map_new();
    list_init(&hub->watchers);
    return hub;
}

void hub_free(struct hub *hub)
{
    if (!hub)
        return;
    size_t position = 0;
    for (struct hub_run *run; (run = map_next(hub->runs, &position, NULL));) {
        run_log_unref(run->log);
        free(run);
    }
    map_free(hub->runs);
    pthread_mutex_destroy(&hub->lock);
    free(hub);
}

static void add_locked(struct hub *hub, const struct hub_run *run)
{
    struct hub_run *copy = malloc(sizeof *copy);
    ASSERT(copy);
    *copy = *run;
    run_log_ref(copy->log);
    void *before = map_set(hub->runs, id_str(&run->id), copy);
    ASSERT(!before);
}

void hub_add_run(struct hub *hub, const struct hub_run *run)
{
    pthread_mutex_lock(&hub->lock);
    add_locked(hub, run);
    pthread_mutex_unlock(&hub->lock);
}

static size_t count_responses_locked(struct hub *hub, const struct id *owner)
{
    size_t position = 0, count = 0;
    for (const struct hub_run *run; (run = map_next(hub->runs, &position, NULL));)
        count += run->is_response && id_eq(&run->owner, owner) && !run_log_is_closed(run->log);
    return count;
}

enum err hub_add_response(struct hub *hub, const struct hub_run *run, size_t at_once_max)
{
    pthread_mutex_lock(&hub->lock);
    bool has_room = count_responses_locked(hub, &run->owner) < at_once_max;
    if (has_room)
        add_locked(hub, run);
    pthread_mutex_unlock(&hub->lock);
    return has_room ? ERR_OK : ERR_RATE_LIMITED;
}

void hub_remove_run(struct hub *hub, const struct id *id)
{
    pthread_mutex_lock(&hub->lock);
    struct hub_run *run = map_remove(hub->runs, id_str(id));
    pthread_mutex_unlock(&hub->lock);
    if (run)
        run_log_unref(run->log);
    free(run);
}

static enum err find(struct hub *hub, const struct id *id, bool is_response,
                     struct hub_run *ret_run)
{
    pthread_mutex_lock(&hub->lock);
    const struct hub_run *run = map_get(hub->runs, id_str(id));
    if (run && run->is_response != is_response)
        run = NULL;
    if (run) {
        *ret_run = *run;
        run_log_ref(run->log);
    }
    pthread_mutex_unlock(&hub->lock);
    return run ? ERR_OK : ERR_NOT_FOUND;
}

enum err hub_find_run(struct hub *hub, const struct id *id, struct hub_run *ret_run)
{
    return find(hub, id, false, ret_run);
}

enum err hub_find_response(struct hub *hub, const struct id *id, struct hub_run *ret_run)
{
    return find(hub, id, true, ret_run);
}

size_t hub_run_count(struct hub *hub)
{
    pthread_mutex_lock(&hub->lock);
    size_t count = map_count(hub->runs);
    pthread_mutex_unlock(&hub->lock);
    return count;
}

struct watcher *hub_watch(struct hub *hub, struct loop *loop, const struct id *owner,
                          void (*on_changed)(void *user, const struct id *conversation), void *user)
{
    struct watcher *watcher = calloc(1, sizeof *watcher);
    ASSERT(watcher);
    watcher->hub = hub;
    watcher->loop = loop;
    watcher->owner = *owner;
    watcher->on_changed = on_changed;
    watcher->user = user;
    pthread_mutex_lock(&hub->lock);
    list_append(&hub->watchers, &watcher->link);
    pthread_mutex_unlock(&hub->lock);
    return watcher;
}

void hub_unwatch(struct watcher *watcher)
{
    pthread_mutex_lock(&watcher->hub->lock);
    list_remove(&watcher->link);
    watcher->dead = true;
    bool in_use = watcher->waking || watcher->delivering;
    pthread_mutex_unlock(&watcher->hub->lock);
    if (!in_use)
        free(watcher);
}

/* Takes what is pending; the watcher may be woken again from here on. */
static size_t begin_delivery(struct watcher *watcher, struct id changed[PENDING_MAX])
{
    pthread_mutex_lock(&watcher->hub->lock);
    size_t count = watcher->pending_count;
    for (size_t i = 0; i < count; i++)
        changed[i] = watcher->pending[i];
    watcher->pending_count = 0;
    watcher->waking = false;
    watcher->delivering = true;
    pthread_mutex_unlock(&watcher->hub->lock);
    return count;
}

static void end_delivery(struct watcher *watcher)
{
    pthread_mutex_lock(&watcher->hub->lock);
    watcher->delivering = false;
    bool over = watcher->dead && !watcher->waking;
    pthread_mutex_unlock(&watcher->hub->lock);
    if (over)
        free(watcher);
}

/* On the watcher's loop, where it dies too: in any of the callbacks, perhaps. */
static void deliver(void *user)
{
    struct watcher *watcher = user;
    struct id changed[PENDING_MAX];
    size_t count = begin_delivery(watcher, changed);
    for (size_t i = 0; i < count && !watcher->dead; i++)
        watcher->on_changed(watcher->user, &changed[i]);
    end_delivery(watcher);
}

static void note_locked(struct watcher *watcher, const struct id *conversation)
{
    for (size_t i = 0; i < watcher->pending_count; i++)
        if (id_eq(&watcher->pending[i], conversation))
            return;
    if (watcher->pending_count < PENDING_MAX) /* over it the page is told of enough already */
        watcher->pending[watcher->pending_count++] = *conversation;
    if (!watcher->waking)
        watcher->waking = loop_post(watcher->loop, &watcher->task, deliver, watcher);
}

void hub_publish(struct hub *hub, const struct id *owner, const struct id *conversation,
                 const struct watcher *except)
{
    pthread_mutex_lock(&hub->lock);
    LIST_EACH (&hub->watchers, link) {
        struct watcher *watcher = LIST_ENTRY(link, struct watcher, link);
        if (watcher != except && id_eq(&watcher->owner, owner))
            note_locked(watcher, conversation);
    }
    pthread_mutex_unlock(&hub->lock);
}
