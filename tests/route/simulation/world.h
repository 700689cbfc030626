/* World: what the parts of the simulation share: one day, its targets, its requests, and time.
 *
 *   plan.c    draws a day from its seed
 *   world.c   time passes: who is next
 *   answer.c  what a provider says in an attempt, and when
 *   words.c   its text
 *   caller.c  what a caller hears, and whether it is right
 *   shadow.c  what must hold at the targets, kept apart from the cells' own counts */
#pragma once

#include "base/heap.h"
#include "simulation.h"

enum {
    WORLD_TARGETS_MAX = 5,
    WORLD_PHASES_MAX = 4,
    WORLD_TEXT_MAX = 1024,
    WORLD_TOOLS_MAX = 512, /* bytes of tool calls written out */
    WORLD_NUMBERS_MAX = 64 /* attempts of one request */
};
#define WORLD_SECOND 1000000u

/* What can go wrong in an attempt; the table in answer.c says what each looks like. */
enum fault {
    FAULT_NONE,
    FAULT_SLOW,
    FAULT_RATE_LIMITED,
    FAULT_RATE_LIMITED_HINT,
    FAULT_SERVER,
    FAULT_OVERLOADED,
    FAULT_OVERLOADED_HINT,
    FAULT_AUTHENTICATION,
    FAULT_PERMISSION,
    FAULT_QUOTA,
    FAULT_NO_MODEL,
    FAULT_REFUSED,
    FAULT_RESET,
    FAULT_REUSED,
    FAULT_SILENT,
    FAULT_NO_HEADERS,
    FAULT_CUT,
    FAULT_STALL,
    FAULT_BREAK,
    FAULT_CONTEXT,
    FAULT_FILTERED,
    FAULT_INVALID,
    FAULT_REJECTS_PREFILL,
    FAULT_NO_START,
    FAULT_EMPTY,
    FAULT_COUNT
};
const char *fault_name(enum fault fault);

enum world_node_kind { NODE_ARRIVAL, NODE_ATTEMPT, NODE_TIMER, NODE_WAKE, NODE_CALLER };

/* Something that will happen. */
struct world_node {
    struct heap_node heap;
    enum world_node_kind kind;
    void *owner;
};

/* A time when a target has a trouble. */
struct world_phase {
    uint64_t from_us;
    uint64_t until_us;
    enum fault fault;
    int percent; /* of the calls that have it */
};

/* What a target's breaker must be, from the ledger alone. */
struct shadow_breaker {
    int failures_in_row;
    bool is_open;
    uint64_t open_until_us; /* at least */
};

struct world_target {
    struct target target;
    struct simulation *world;
    int index;
    char id[24];
    /* What it is like. */
    uint64_t first_us;
    uint64_t gap_us;
    int fault_percent; /* of calls that go wrong in fair weather */
    bool is_sampled;   /* its answers differ from those of others */
    bool obeys_prefill;
    bool tells_limits;
    bool passes_through;
    int repeats_percent; /* of continued answers that repeat something first */
    int no_usage_percent;
    struct world_phase phases[WORLD_PHASES_MAX];
    int phase_count;
    /* What it has seen. */
    int calls;
    uint64_t probes;         /* begun so far */
    uint64_t probe_until_us; /* of the newest; 0: it is over */
    uint64_t attempts;
    uint64_t not_before_us;
    uint64_t benched_until_us;
    double pace_level;
    uint64_t pace_us;
    struct shadow_breaker breaker;
};

/* The stages of an attempt; answer.c has the diagram. */
enum answer_stage { STAGE_HEAD, STAGE_TEXT, STAGE_TOOLS, STAGE_FINISH, STAGE_FAIL, STAGE_END };

struct world_attempt {
    struct world_request *request;
    int slot;
    bool is_active;
    struct world_target *target;
    enum route_mode mode;
    int number;
    uint64_t start_us;
    bool is_probe;  /* as the cell said when it began */
    uint64_t since; /* how many probes its target had seen then, itself included */
    bool is_raw;
    bool had_content;
    enum fault fault;
    enum err failed; /* the class that it failed with */
    enum answer_stage stage;
    struct world_node node;
    /* The answer as the caller would have it in the end, and which part of it this attempt says. */
    size_t text_bytes;
    size_t from;
    size_t said;     /* up to where it was said */
    size_t fails_at; /* likewise; SIZE_MAX: not in the text */
    size_t piece;    /* bytes of one piece */
    int tool_count;
    int tools_said;
    size_t tools_bytes;
    char text[WORLD_TEXT_MAX];
    char tools[WORLD_TOOLS_MAX];
};

enum request_state { REQUEST_ALIVE, REQUEST_CANCELLED, REQUEST_ENDED };

struct world_request {
    struct world_request *next_free;
    struct simulation *world;
    struct arena *arena;
    /* All from here to `attempts` is zeroed for a new request. */
    int id;
    enum request_state state;
    bool flow_is_dead; /* it has given END, whatever became of that */
    struct flow *flow;
    struct flow_ops ops;
    struct llm_needs needs;
    uint64_t arrival_us;
    uint64_t deadline_us;
    /* What it is like. */
    bool is_streamed;
    bool can_rewind;
    bool takes_raw;
    int cancels_at; /* from within a callback: the event of that number; 0: not */
    bool has_tools;
    bool reasons;
    enum fault own_fault; /* that every target answers */
    int words;
    /* What was begun. */
    int delivering; /* slot whose event is being told to the flow; -1: none */
    bool is_beginning;
    int started;
    int started_at[WORLD_TARGETS_MAX];
    int reused_at[WORLD_TARGETS_MAX]; /* of them, those that met a dead kept connection */
    int recoveries;
    int failures;
    uint32_t tried;           /* targets, as bits */
    uint32_t left;            /* those of them that it may not ask again */
    bool is_final;            /* what a target answered holds at every one */
    uint64_t started_numbers; /* attempts, as bits */
    uint64_t rows;
    enum route_mode last_mode; /* of the newest row that answered */
    struct world_node timer;
    struct world_node wake;
    struct world_node caller;
    /* What was heard. */
    int heard;
    bool had_start;
    bool had_content;
    bool had_finish;
    bool had_error;
    bool had_usage;
    enum err error;
    size_t text_bytes;
    size_t raw_bytes;
    size_t tools_bytes;
    struct world_attempt attempts[FLOW_SLOTS];
    char text[WORLD_TEXT_MAX];
    char raw[WORLD_TEXT_MAX + 16]; /* as a door writes it that passes bytes through */
    char tools[WORLD_TOOLS_MAX];
};

/* A day's plan. */
struct world_day {
    struct route_plan plan;
    struct route_policy policy;
    struct route_live live;
    struct route_group groups[2];
    const struct target *members[WORLD_TARGETS_MAX];
    uint32_t weights[WORLD_TARGETS_MAX];
    uint32_t ranks[WORLD_TARGETS_MAX];
    struct world_target targets[WORLD_TARGETS_MAX];
    int target_count;
    int requests;
    uint64_t gap_us; /* between requests, on average */
    int cancel_percent;
    int rewind_percent;
    int raw_percent;
    int tools_percent;
    int own_fault_percent;
    int whole_percent; /* of callers that do not stream */
    int late_us;       /* how late timers may be */
};

struct simulation {
    const struct simulation_options *options;
    struct simulation_result *result;
    struct simulation_totals totals;
    struct world_day day;
    struct cells *cells;
    struct heap heap;
    uint64_t now_us;
    int turns_now; /* at this time */
    struct random plan_random;
    struct random world_random;
    struct random flow_random;
    struct world_node arrival;
    int arrived;
    int in_burst;
    struct world_request *free;
    struct world_request **all;
    size_t all_count;
    size_t all_capacity;
    size_t live_count;
    struct world_request *dying; /* whose end came in this event */
    uint32_t dirty;              /* targets whose calls changed in this event, as bits */
};

/* ---- world.c --------------------------------------------------------------------------------- */
void world_at(struct simulation *world, struct world_node *node, uint64_t at_us);
void world_not(struct simulation *world, struct world_node *node);
bool world_chance(struct simulation *world, int percent);
/* From `least` to `most`, both included. */
uint64_t world_between(struct random *random, uint64_t least, uint64_t most);
/* An invariant is broken; the first one counts, and ends the day. */
void world_broken(struct simulation *world, enum invariant invariant, int request,
                  const char *format, ...) __attribute__((format(printf, 4, 5)));
/* Something happened: goes into the hash, and as a line into the trace. */
void world_note(struct world_request *request, const char *what, int64_t a, int64_t b);
void world_cancel(struct world_request *request);
extern const struct flow_ops world_ops;

/* ---- plan.c ---------------------------------------------------------------------------------- */
void plan_day(struct simulation *world);
void plan_print(const struct simulation *world, FILE *file);
void plan_request(struct simulation *world, struct world_request *request,
                  struct flow_request *ret_request);

/* ---- answer.c -------------------------------------------------------------------------------- */
/* flow_ops.start and .cancel. */
enum err answer_start(void *user, struct flow_start *start, struct llm_error *ret_error);
void answer_cancel(void *user, int slot, struct llm_usage *ret_usage);
void answer_step(struct world_attempt *attempt);

/* ---- words.c --------------------------------------------------------------------------------- */
/* The text of the attempt, and from where on it says it: behind `shown` when it continues that. */
void words_write(struct world_attempt *attempt, struct str shown);

/* ---- caller.c -------------------------------------------------------------------------------- */
/* flow_ops.event, .raw, .rewind. */
void caller_event(void *user, const struct llm_event *event);
void caller_raw(void *user, struct str content_type, struct str bytes);
void caller_rewind(void *user, size_t text_bytes);
/* Appends a tool event in the form in which tool calls are compared. */
size_t caller_write_tool(char *text, size_t at, const struct llm_event *event);

/* ---- shadow.c -------------------------------------------------------------------------------- */
/* A place was granted, whether an attempt begins there or not. */
void shadow_granted(struct world_attempt *attempt);
/* An attempt begins. */
void shadow_start(struct world_attempt *attempt, const struct flow_start *start);
void shadow_content(struct world_attempt *attempt);
/* It is over for the provider. */
void shadow_end(struct world_attempt *attempt);
/* flow_ops.ledger. */
void shadow_ledger(void *user, const struct flow_row *row);
/* A request was refused at once, or failed: was there somebody who could have answered? */
void shadow_refused(struct world_request *request, const struct llm_error *error);
void shadow_failed(struct world_request *request);
/* After each event, and at the day's end. */
void shadow_check(struct simulation *world);
void shadow_day_end(struct simulation *world);
