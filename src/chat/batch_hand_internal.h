/* The inside of a hand, for batch_hand.c and batch_hand_pool.c. */
#pragma once

#include "chat/batch_hand.h"
#include "chat/batch_hand_form.h"
#include "route/relay.h"

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
    bool has_cancelled; /* the provider was told */
    bool is_busy;       /* pool or job is under way */
    int failures;       /* in a row that pass */
    struct loop_timer timer;
    void (*next)(struct batch_hand *hand); /* when it fires */
    struct loop_work pool;
    struct store_job job;
    enum err code; /* of the pool */
    struct error error;
    /* What is handed on. */
    struct str provider; /* its name */
    struct str model;    /* of the first line, as the provider names it */
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

/* ---- batch_hand_pool.c: on a thread of the pool, fill code and error ---------------------------- */
/* Whether all lines go to one provider that has batches: its name, and what it is given. */
void hand_pool_choose(void *user);
/* Results to rows; and rows for what the provider was not asked, or gave none for. */
void hand_pool_read(void *user);
