/* Ledger: one durable row for every attempt, whoever made it. An attempt is journaled before its
 * first byte leaves, and again when it has ended; every second or so what has ended goes into the
 * database as one block, with the sums of its days and minutes in the same transaction. What a crash
 * left in the journal becomes rows at the next start: an attempt without an end is a row that says
 * so. One per loop. */
#pragma once

#include "base/id.h"
#include "base/log.h"
#include "llm/response.h"
#include "net/loop.h"

struct ledger;
struct ledger_open; /* an attempt under way */
struct journal;
struct store;
struct metric_registry;

struct ledger_options {
    struct loop *loop;
    struct store *store;
    struct journal *journal; /* NULL: nothing survives a crash but what is in the database */
    struct log *log;
    struct metric_registry *metrics;
    uint64_t flush_ms;        /* [1,000] */
    uint64_t epoch_ms;        /* [60,000] how long the journal is used before a part of it may go */
    size_t waiting_bytes_max; /* [64 MiB] of rows for which the database has no room */
};

enum { LEDGER_TAGS_MAX = 8, LEDGER_GROUPS_MAX = 16 };

/* Who caused it, from where: the same for all attempts of one request. Texts are cut to 128 bytes.
 */
struct ledger_origin {
    struct str request_id;
    struct id user;
    struct id key; /* none: a session */
    const struct id *groups;
    size_t group_count;
    const struct str *tags; /* as in quota.h */
    size_t tag_count;
    struct str door;  /* of policy_doors */
    struct str model; /* as it was asked for */
};

enum ledger_outcome {
    LEDGER_ANSWERED, /* flow_outcome, in its order */
    LEDGER_FAILED,
    LEDGER_CUT,
    LEDGER_CANCELLED,
    LEDGER_LOST,
    LEDGER_DIFFERED,
    LEDGER_CACHED,      /* from the response cache: no attempt at a provider */
    LEDGER_SHARED,      /* joined the answer to an earlier request */
    LEDGER_REFUSED,     /* by a limit, a budget or a scope: no attempt either */
    LEDGER_INTERRUPTED, /* the program ended first */
    LEDGER_OUTCOME_COUNT
};
const char *ledger_outcome_name(enum ledger_outcome outcome);

struct ledger_row {
    int64_t start_ms; /* wall clock */
    struct ledger_origin origin;
    int number;        /* of this request's attempts: 1, 2, ... */
    struct str target; /* "provider/model"; empty: none */
    const char *mode;  /* route_mode_name */
    enum ledger_outcome outcome;
    bool is_streamed;
    bool is_hedge;
    bool is_batch; /* at the batch price */
    bool reached;  /* the provider is known to have seen it: the head of an answer came */
    enum err error_class;
    int http_status; /* 0: no answer */
    struct llm_usage usage;
    int64_t cost_nano; /* -1: no price is known */
    uint64_t first_content_us;
    uint64_t duration_us;
    struct str
        losses; /* of the answer: names of what the caller's form could not carry; or empty */
};

struct ledger *ledger_new(const struct ledger_options *options);
/* Hands what has ended to the store, whose answer nobody hears. Rows of attempts under way stay in
 * the journal; the caller must not use their ledger_open any more. Before journal_close. NULL is
 * allowed. */
void ledger_free(struct ledger *ledger);

/* An attempt begins: from `row` the fields up to is_batch are read and copied. Its record is given
 * to the operating system before what the caller sends in this turn. */
struct ledger_open *ledger_begin(struct ledger *ledger, const struct ledger_row *row);
/* The provider has seen it. */
void ledger_reached(struct ledger *ledger, struct ledger_open *open);
/* It has ended: `row` whole, its first fields as in ledger_begin, but for the groups, which may have
 * changed meanwhile. `open` is gone. */
void ledger_end(struct ledger *ledger, struct ledger_open *open, const struct ledger_row *row);
/* A row without an attempt: CACHED, SHARED, REFUSED. */
void ledger_note(struct ledger *ledger, const struct ledger_row *row);
/* Gives what has ended to the store now; `done` (may be NULL) comes when it is in, or when the
 * database does not take it (then it waits, and stays in the journal). Not in this call. */
void ledger_flush(struct ledger *ledger, void (*done)(void *user), void *user);

/* Puts what the journals hold into the database. Before chat_recover, which removes them. Blocks;
 * idempotent: a block that is in is not counted again. */
MUST_USE enum err ledger_recover(struct store *store, const char *directory, struct log *log,
                                 struct error *error);
