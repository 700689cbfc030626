/* The inside of a hand, for batch_hand*.c. */
#pragma once

#include "chat/batch_hand.h"
#include "chat/batch_hand_form.h"
#include "chat/batch_translate.h"
#include "route/relay.h"

enum { HAND_STATUS_BYTES_MAX = 1024 * 1024, HAND_STORAGE_RETRY_MS = 5000 };
enum { HAND_LINE_ARENA_BYTES_MAX = 1024 * 1024 * 1024, HAND_LINE_BYTES_MAX = 128 * 1024 * 1024 };
#define HAND_RESULTS_BYTES_MAX ((size_t)1024 * 1024 * 1024)

/* What came of a line, to be stored. In the hand's arena. */
struct hand_row {
    struct batch_line *line;
    bool is_failure;
    bool is_used; /* the provider did it: a row of the ledger */
    struct str result;
    struct str model; /* as it was asked for */
    struct target target;
    struct llm_usage usage;
    int64_t cost_nano;
};

struct batch_hand {
    struct batch_run *run;
    struct arena *arena;
    struct arena *scratch; /* of the newest answer */
    struct policy *policy; /* of the maker, when it was asked last; NULL: it has none any more */
    bool is_stopping;
    bool wants_cancel;
    bool has_tried;     /* to tell the provider */
    bool has_cancelled; /* it was told */
    bool is_busy;       /* pool or job is under way */
    int failures;       /* in a row that pass */
    struct loop_timer timer;
    void (*next)(struct batch_hand *hand); /* when it fires */
    struct loop_work pool;
    struct store_job job;
    enum err code; /* of the pool */
    struct error error;
    /* What is handed on. */
    struct str provider;          /* its name */
    const struct hand_form *form; /* that it speaks; NULL: not known yet */
    struct str model;             /* of the first line, as the provider names it */
    struct str boundary;
    struct buf content;
    struct str file; /* uploaded */
    /* The exchange with the provider. */
    struct relay *relay;
    enum http_method method;
    struct str path;
    struct str body;
    struct str type;
    const struct provider_kind *kind; /* who answered */
    int status;
    struct buf answer;
    void (*answered)(struct batch_hand *hand, const struct llm_error *error);
    struct hand_status told; /* how far it is, by the answer; in scratch */
    bool is_told;            /* it is that protocol */
    /* Its end. */
    struct hand_status end; /* copied into the arena */
    int file_index;         /* of the results that come now */
    struct buf results;
    bool is_refused; /* every line gets the same failure: `refusal` */
    struct llm_error refusal;
    struct hand_row *rows;
    size_t row_count;
    size_t row_capacity;
    size_t saved;
    size_t saving; /* end of those that are being stored */
};

/* ---- batch_hand_pool.c: on a thread of the pool ------------------------------------------------- */
/* Whether all lines go to one provider that has batches: its name and form, and what it is given; or
 * code and error. */
void hand_pool_choose(void *user);
/* The one target of that name. */
MUST_USE enum err hand_find_target(const struct catalog *catalog, struct arena *arena,
                                   struct str model, const struct target **ret,
                                   struct error *error);
/* ---- batch_hand_results.c: on a thread of the pool ----------------------------------------------- */
/* Results to rows; and rows for what the provider was not asked, or gave none for. */
void hand_pool_read(void *user);

/* ---- batch_hand_ask.c ------------------------------------------------------------------------- */
static inline const struct batch_options *hand_options(const struct batch_hand *hand)
{
    return &hand->run->queue->options;
}

static inline bool hand_is_made(const struct batch_hand *hand)
{
    return hand->run->batch.provider_batch.len > 0;
}

void hand_later(struct batch_hand *hand, uint64_t delay_ms, void (*next)(struct batch_hand *hand));
/* After a failure that passes: each time later. retry_after_ms: the provider's hint, or -1. */
void hand_again(struct batch_hand *hand, int64_t retry_after_ms,
                void (*next)(struct batch_hand *hand));
bool hand_passes(const struct llm_error *error);
/* Pool or job is back: false when nothing more may be begun. */
bool hand_is_back(struct batch_hand *hand);
void hand_log_storage(struct batch_hand *hand, const struct error *error);
void hand_start_job(struct batch_hand *hand,
                    enum err (*run)(struct store_tx *tx, void *user, struct error *error),
                    void (*done)(void *user, enum err code, const struct error *error));
/* Stores what is known of the batch. */
void hand_note(struct batch_hand *hand,
               void (*done)(void *user, enum err code, const struct error *error));
/* The end: as a whole, or (Anthropic's cannot fail as a whole) each line with that message. */
void hand_refuse(struct batch_hand *hand, enum err code, const char *message);
void hand_refuse_by(struct batch_hand *hand, const struct llm_error *error);

struct hand_ask {
    enum http_method method;
    struct str path; /* lives in the hand's arena */
    struct str body; /* lives until the answer */
    struct str type;
    bool is_makers; /* it counts for whoever made the batch; else it is Parley's own */
    bool is_retried;
    size_t answer_bytes_max;
    void (*answered)(struct batch_hand *hand, const struct llm_error *error);
};
/* `answered` comes once: with NULL, a 2xx answer is in hand->answer; perhaps in this call, for what
 * could not be asked. */
void hand_ask(struct batch_hand *hand, const struct hand_ask *ask);
/* The answer as JSON, in hand->scratch, or NULL. */
yyjson_val *hand_read_answer(struct batch_hand *hand);

/* ---- batch_hand_end.c ------------------------------------------------------------------------- */
/* Until it is asked after, or cancelled, the next time. */
void hand_rest(struct batch_hand *hand);
/* Asks how far it is. */
void hand_poll(struct batch_hand *hand);
/* What came goes into rows, and is stored: the end. */
void hand_read_results(struct batch_hand *hand);
