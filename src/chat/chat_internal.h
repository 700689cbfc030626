/* The inside of struct chat, for chat.c, ask.c and run.c. */
#pragma once

#include "chat/run.h"

enum { RUN_LINGER_MS = 30 * 1000, CHAT_RUNS_MAX = 10000 };

struct chat {
    struct chat_options options;
    struct list runs; /* struct run, by their link */
    size_t run_count;
    struct list responses; /* struct response_run, by their link */
    size_t unsaved_count;  /* runs, responses and asks that are not in the database yet */
    struct metric *metric_active;
    bool draining;
    bool interrupting; /* the time for draining is over: what still begins is interrupted too */
    struct loop_timer drain_timer;
    struct loop_task drain_task;
    void (*on_drained)(void *user);
    void *drain_user;
};

/* An ask or a run began, or its end is in the database. */
void chat_note_unsaved(struct chat *chat);
void chat_note_saved(struct chat *chat);
/* The link of a run in its chat's list, and its id. */
struct list *run_link(struct run *run);
struct run *run_of_link(struct list *link);
const struct id *run_id(const struct run *run);
