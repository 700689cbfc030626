/* Shadow: what the limiter's simulation knows by itself of every subject: who was let in when, what
 * was charged in which period, who is under way. It shares no code with the limiter. */
#pragma once

#include "route/limiter.h"

enum invariant {
    INVARIANT_NONE,
    INVARIANT_BOUND,    /* in no time more is let in than burst + rate x time */
    INVARIANT_CALENDAR, /* nobody is let in beyond what a period allows */
    INVARIANT_STREAMS,  /* exactly so many at once, and refused only then */
    INVARIANT_COUNTS,   /* what was used is counted exactly, where it ended */
    INVARIANT_WHOLE,    /* a refused ask changes nothing, a granted one only its subjects */
    INVARIANT_WAIT,     /* who comes back when told gets in, and not before */
    INVARIANT_STARVED,  /* while others end, everybody gets in within a stated number of tries */
    INVARIANT_HELD,     /* in the end nothing is held */
    INVARIANT_COUNT
};
const char *invariant_name(enum invariant invariant);

enum { SHADOW_LOG = 512, SHADOW_RATES = 128, SHADOW_TEXT = 200 };

/* One that was let in: what it counts as, which settling can only make less. */
struct shadow_entry {
    uint64_t at_us;
    int64_t amount;
    uint64_t number; /* of the lease */
};

/* One limit per minute: who was let in while there was one, and the rates since. */
struct shadow_minute {
    struct shadow_entry entries[SHADOW_LOG];
    size_t count;
    struct {
        uint64_t from_us;
        int64_t per_minute;
    } rates[SHADOW_RATES];
    size_t rate_count;
    int64_t capacity; /* 0: no limit */
};

struct shadow_period {
    int64_t index;
    int64_t requests;
    int64_t tokens;
    int64_t cost_nano;
};

struct shadow {
    struct limiter_subject subject;
    bool is_known; /* the limiter has counted something of it, or was told of it alone */
    bool has_quota;
    struct quota quota; /* in force */
    struct shadow_minute requests;
    struct shadow_minute tokens;
    struct shadow_period periods[QUOTA_PERIODS];
    int64_t streams;
    int64_t held_tokens;
    int64_t held_nano;
};

void shadow_init(struct shadow *shadow, struct limiter_subject subject);
/* What is in force from `at_us`, the last use of the limiter, on; NULL: nothing. */
void shadow_set(struct shadow *shadow, const struct quota *quota, uint64_t at_us);
void shadow_turn(struct shadow *shadow, int64_t wall_ms);
/* It was let in; then what must hold: INVARIANT_NONE, or what does not, with *text saying why. */
enum invariant shadow_grant(struct shadow *shadow, const struct limiter_ask *ask, uint64_t number,
                            char text[SHADOW_TEXT]);
/* It was refused for this subject: whether with reason. */
enum invariant shadow_refuse(const struct shadow *shadow, const struct limiter_ask *ask,
                             const struct limiter_refusal *refusal, char text[SHADOW_TEXT]);
void shadow_settle(struct shadow *shadow, uint64_t number, int64_t held_tokens, int64_t held_nano,
                   int64_t tokens, int64_t cost_nano);
