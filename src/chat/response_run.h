/* Response run: an answer of the responses door that is written in the background, whoever leaves.
 * It belongs to the loop that it was asked on, with its own call of the router; the hub knows it, so
 * that any loop may listen (its log has the frames of its stream, numbered from 1) or end it. */
#pragma once

#include "chat/chat.h"
#include "route/governor.h"

struct response_run;

/* What is to be asked, and how it is kept. */
struct response_ask {
    struct arena *arena;       /* taken over in any case, with what is in it */
    struct arena *chain_arena; /* likewise; NULL: nothing was gone on from */
    struct id owner;
    struct str body;                   /* what the client asked, JSON; in the arena */
    const struct route_request *route; /* borrowed during the start; what it borrows longer is in
                                          the arena */
    bool is_streamed;                  /* the provider is asked for a stream */
    size_t at_once_max;                /* of one owner's */
    struct str unmapped; /* names of members that only a provider of this form understands */
    struct id thread;    /* the conversation that it adds to; none: to none */
    int64_t keep_ms;
    int64_t bytes_max; /* of all that its owner has */
};

/* What became of the asking: it is kept from now on and goes on, or was refused. */
struct response_accepted {
    enum err code;                 /* ERR_OK, or why it cannot be kept */
    const struct llm_error *error; /* refused before anybody was asked: by a limit, ...; or NULL */
    const struct limiter_view *limits;
    struct str answer;   /* JSON: the response object, queued */
    struct run_log *log; /* borrowed */
};
/* Comes once, later; views are valid during the call. */
typedef void response_accepted_fn(void *user, const struct response_accepted *accepted);

/* The contract of every start: those of route_start, ERR_RATE_LIMITED (at_once_max), ERR_UNAVAILABLE
 * (shutting down). */
MUST_USE enum err response_run_start(struct chat *chat, const struct response_ask *ask,
                                     response_accepted_fn *accepted, void *user,
                                     struct response_run **ret_run, struct error *error);
/* Who asked has left before it was accepted: nothing is heard, and it goes on. */
void response_run_forget(struct response_run *run);

/* For the chat, which owns them. */
struct list *response_run_link(struct response_run *run);
struct response_run *response_run_of_link(struct list *link);
const struct id *response_run_id(const struct response_run *run);
/* Ends it as cancelled; nothing happens when it has ended. */
void response_run_stop(struct response_run *run);
/* For shutting down: ends it as failed, and tries to save it once more at most. */
void response_run_interrupt(struct response_run *run);
/* At once; it must have ended. */
void response_run_free(struct response_run *run);
