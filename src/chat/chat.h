/* Chat: conversations and the answers being written in them. One per loop; what all loops share is
 * in the hub and the store. Owners are checked here by the store's keys, roles by authorise() at
 * the doors. */
#pragma once

#include "account/account.h"
#include "chat/content.h"
#include "chat/hub.h"
#include "route/router.h"
#include "store/journal.h"
#include "store/records.h"

struct chat_options {
    struct loop *loop;
    struct account *account; /* NULL: nobody is limited */
    struct router *router;
    struct registry *registry;
    struct store *store;
    struct journal *journal;
    struct hub *hub;
    struct log *log;
    struct metric_registry *metrics;
};

struct chat *chat_new(const struct chat_options *options);
/* After chat_drain has said done. */
void chat_free(struct chat *chat);
/* For shutting down: runs go on for `limit_ms`, the rest is interrupted and saved as it stands.
 * `on_done` comes when every run is in the database, or, after `limit_ms`, has been tried: what
 * storage refuses then stays in the journal for chat_recover. New ones are refused from now on. */
void chat_drain(struct chat *chat, uint64_t limit_ms, void (*on_done)(void *user), void *user);

/* ---- Asking for an answer -------------------------------------------------------------------- */
enum chat_ask_kind {
    CHAT_SEND,    /* a new message of the person's, and its answer */
    CHAT_ANSWER,  /* another answer to `message`, a person's */
    CHAT_CONTINUE /* go on with `message`, an answer that did not end well */
};

/* Copied by chat_ask, except parts: views that must live in `arena`. */
struct chat_ask {
    enum chat_ask_kind kind;
    struct id owner;
    struct principal who;   /* who asks: whose limits count */
    struct str address;     /* of theirs; may be empty */
    struct id conversation; /* SEND: none makes a new one */
    struct id message;      /* ANSWER, CONTINUE */
    struct id parent;       /* SEND: none for the first */
    struct llm_part *parts; /* SEND: from content_parse */
    size_t part_count;
    struct str model;    /* empty: the conversation's, else the default */
    struct arena *arena; /* taken over: freed with the run, also when it fails */
    struct str request_id;
    const struct watcher *asker; /* does not hear of its own change; may be NULL */
};

/* What was stored and begun. */
struct chat_accepted {
    struct store_conversation conversation;
    struct store_message user_message; /* SEND: the new one; else its id is none */
    struct store_message message;      /* the answer, streaming */
    struct id run;
};

/* `done` comes once, after the commit (or the refusal), never before chat_ask returns. Views are
 * valid during the call. */
typedef void chat_ask_done_fn(void *user, enum err code, const struct error *error,
                              const struct chat_accepted *accepted);
void chat_ask(struct chat *chat, const struct chat_ask *request, chat_ask_done_fn *done,
              void *user);

/* ---- Runs: any loop, any listener of the same owner ------------------------------------------ */
/* Asks for the run to stop; what there is of the answer is kept. ERR_NOT_FOUND when it is not this
 * owner's or ended a while ago; one that has just ended stays as it is. */
MUST_USE enum err chat_stop(struct chat *chat, const struct id *owner, const struct id *run);

/* The same for an answer of the responses door in the background: it is cancelled. */
MUST_USE enum err chat_stop_response(struct chat *chat, const struct id *owner,
                                     const struct id *response);

/* ---- In our protocol's form ------------------------------------------------------------------ */
void chat_write_conversation(struct json_writer *w, const struct store_conversation *conversation);
void chat_write_message(struct json_writer *w, const struct store_message *message);
/* The object of an `accepted` answer, without its `type` and `id`. */
void chat_write_accepted(struct json_writer *w, const struct chat_accepted *accepted);

/* ---- After a crash --------------------------------------------------------------------------- */
/* Puts what the journals hold of unsaved answers into their messages and removes the journals.
 * Those that had not ended are marked interrupted, the others get the end they had. Idempotent.
 * Blocks; at start-up before any journal is opened. */
MUST_USE enum err chat_recover(struct store *store, const char *directory, struct log *log,
                               struct error *error);
