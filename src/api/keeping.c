/* Keeping: between completion.c, which hears the answer, and the records of stored responses.
 *
 * What goes to the database lives in a job of its own, which outlasts the exchange when the client
 * leaves or the database is slow. */
#include "api/keeping.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/clock.h"
#include "base/vec.h"
#include "chat/thread.h"
#include "store/record_kept.h"
#include "wire/sse.h"

enum {
    SAVE_WAIT_MS = 2000,
    HELD_BYTES_MAX = 128 * 1024 * 1024,
    CHAIN_BYTES_MAX = 512 * 1024 * 1024,
    ID_BYTES_MAX = 256,
    DAY_MS = 24 * 3600 * 1000
};

struct keep_job {
    struct store_job job;
    struct keeping *keeping; /* NULL: nobody waits for it */
    struct arena *arena;
    struct log *log;
    struct store_response row; /* to save */
    int64_t bytes_max;         /* of all that its owner has */
    struct id owner;
    struct str id; /* to load */
    bool keeps_row;
    struct id thread; /* likewise */
    struct thread_addition addition;
    struct stored_references references;
    struct stored_chain chain;
    struct stored_chain named; /* answers that items are named of */
};

struct keeping {
    struct api_request *request;
    struct keep_job *job; /* under way */
    struct str previous;  /* empty: none */
    struct id thread;     /* none: it names no conversation */
    bool wants;
    bool is_background;
    bool is_loaded;
    struct stored_references references;
    struct stored_chain chain;
    struct arena *chain_arena; /* NULL: none */
    struct buf resolved;       /* the client's body with what it names; empty: it names nothing */
    struct buf body;           /* with the chain in it */
    struct buf held;
    struct str answer; /* the response object; empty: none was seen */
    struct buf answer_bytes;
    void (*on_loaded)(void *user, enum err code, const struct error *error);
    void (*on_saved)(void *user);
    void *user;
    struct loop_timer timer;
};

static struct loop *loop_of(const struct keeping *keeping)
{
    return keeping->request->api->options.loop;
}

int64_t keeping_setting(const struct api_request *request, const char *name)
{
    const struct api_host *host = request->api->options.host;
    const struct config *config = host->config_acquire(host->user);
    int64_t value = config_get_int(config, name);
    host->config_release(host->user, config);
    return value;
}

int64_t keeping_days_ms(const struct api_request *request)
{
    return keeping_setting(request, "responses.keep_days") * DAY_MS;
}

int64_t keeping_bytes_max(const struct api_request *request)
{
    return keeping_setting(request, "responses.person_mib_max") * 1024 * 1024;
}

/* ---- What the body says ------------------------------------------------------------------------ */

static bool is_there(yyjson_val *value)
{
    return value && !yyjson_is_null(value);
}

static enum err check_members(yyjson_val *body, struct error *error)
{
    yyjson_val *store = json_get(body, "store"), *previous = json_get(body, "previous_response_id");
    yyjson_val *background = json_get(body, "background");
    if (is_there(json_get(body, "conversation")) && !stored_thread_named(body).len)
        return error_set(error, ERR_INVALID, "conversation",
                         "must be an id, or an object with one");
    if (is_there(json_get(body, "conversation")) && is_there(previous))
        return error_set(error, ERR_INVALID, "conversation",
                         "cannot be used together with previous_response_id");
    if (is_there(background) && !yyjson_is_bool(background))
        return error_set(error, ERR_INVALID, "background", "must be true or false");
    if (is_there(store) && !yyjson_is_bool(store))
        return error_set(error, ERR_INVALID, "store", "must be true or false");
    if (is_there(previous) && (!yyjson_is_str(previous) || !yyjson_get_len(previous)))
        return error_set(error, ERR_INVALID, "previous_response_id", "must be an id");
    return ERR_OK;
}

enum err keeping_new(struct api_request *request, yyjson_val *body, struct keeping **ret_keeping,
                     struct error *error)
{
    bool has_owner = !id_is_none(&request->who.user);
    enum err code = check_members(body, error);
    if (code != ERR_OK)
        return code;
    struct str previous = json_get_str(body, "previous_response_id");
    bool is_background = yyjson_is_true(json_get(body, "background"));
    bool wants = has_owner && !yyjson_is_false(json_get(body, "store"));
    if (is_background && (!wants || keeping_days_ms(request) == 0))
        return error_set(error, ERR_INVALID, "background",
                         "what is written in the background has to be kept (store)");
    struct str named = stored_thread_named(body);
    if ((previous.data || named.len) && keeping_days_ms(request) == 0)
        return error_set(error, ERR_INVALID, named.len ? "conversation" : "previous_response_id",
                         "nothing is kept here (responses.keep_days is 0): send the whole "
                         "conversation as input");
    struct id thread = {0};
    if (named.len && (!has_owner || !thread_parse_id(named, &thread)))
        return thread_not_found(named, error);
    struct keeping *keeping = ARENA_NEW(request->arena, struct keeping);
    keeping->request = request;
    keeping->thread = thread;
    keeping->wants = wants;
    keeping->is_background = is_background;
    keeping->previous = arena_str(request->arena, previous);
    if (has_owner)
        keeping->references = stored_references_find(body, request->arena);
    keeping->is_loaded = !previous.len && !keeping->references.count && id_is_none(&thread);
    buf_init(&keeping->resolved, request->api->options.body_bytes_max);
    buf_init(&keeping->body, request->api->options.body_bytes_max);
    buf_init(&keeping->held, HELD_BYTES_MAX);
    buf_init(&keeping->answer_bytes, HELD_BYTES_MAX);
    *ret_keeping = keeping;
    return ERR_OK;
}

void keeping_end(struct keeping *keeping)
{
    if (!keeping)
        return;
    loop_timer_cancel(loop_of(keeping), &keeping->timer);
    if (keeping->job)
        keeping->job->keeping = NULL;
    keeping->job = NULL;
    arena_free(keeping->chain_arena);
    keeping->chain_arena = NULL;
    buf_done(&keeping->resolved);
    buf_done(&keeping->body);
    buf_done(&keeping->held);
    buf_done(&keeping->answer_bytes);
}

/* ---- Jobs -------------------------------------------------------------------------------------- */

static struct keep_job *job_new(struct keeping *keeping, size_t bytes_max)
{
    struct keep_job *job = calloc(1, sizeof *job);
    ASSERT(job);
    job->arena = arena_new(bytes_max);
    job->log = keeping->request->api->options.log;
    job->owner = keeping->request->who.user;
    job->keeping = keeping;
    return job;
}

static void job_free(struct keep_job *job)
{
    arena_free(job->arena);
    free(job);
}

/* ---- Loading ----------------------------------------------------------------------------------- */

bool keeping_must_load(const struct keeping *keeping)
{
    return !keeping->is_loaded;
}

static enum err run_load(struct store_tx *tx, void *user, struct error *error)
{
    struct keep_job *job = user;
    int64_t now_ms = clock_wall_ms();
    bool has_thread = !id_is_none(&job->thread);
    enum err code =
        has_thread
            ? thread_load(tx, job->arena, &job->owner, &job->thread, now_ms, &job->chain, error)
            : stored_chain_load(tx, job->arena, &job->owner, job->id, now_ms, &job->chain, error);
    return code == ERR_OK ? stored_references_load(tx, job->arena, &job->owner, &job->references,
                                                   now_ms, &job->named, error)
                          : code;
}

/* Puts what the client's body names in its place. */
static enum err resolve(struct keeping *keeping, const struct stored_chain *named,
                        struct error *error)
{
    yyjson_val *body;
    struct arena *scratch = loop_scratch_borrow(loop_of(keeping));
    enum err code = json_read(scratch, keeping->request->http->body, &body, error);
    if (code == ERR_OK)
        code = stored_references_resolve(named, scratch, body, &keeping->resolved, error);
    loop_scratch_return(loop_of(keeping), scratch);
    return code;
}

struct id keeping_thread(const struct keeping *keeping)
{
    return keeping->thread;
}

bool keeping_is_background(const struct keeping *keeping)
{
    return keeping->is_background;
}

struct arena *keeping_take_chain(struct keeping *keeping)
{
    struct arena *arena = keeping->chain_arena;
    keeping->chain_arena = NULL;
    return arena;
}

struct str keeping_source(const struct keeping *keeping)
{
    return keeping->resolved.len ? buf_str(&keeping->resolved) : keeping->request->http->body;
}

static void on_load(void *user, enum err code, const struct error *error)
{
    struct keep_job *job = user;
    struct keeping *keeping = job->keeping;
    struct error wrong = error ? *error : (struct error){0};
    if (keeping) {
        keeping->job = NULL;
        keeping->is_loaded = true;
        keeping->chain = job->chain;
        if (code == ERR_OK && job->named.count)
            code = resolve(keeping, &job->named, &wrong);
        keeping->chain_arena = job->arena;
        job->arena = NULL;
        keeping->on_loaded(keeping->user, code, &wrong);
    }
    job_free(job);
}

void keeping_load(struct keeping *keeping,
                  void (*on_loaded)(void *user, enum err code, const struct error *error),
                  void *user)
{
    const struct api_options *options = &keeping->request->api->options;
    uint64_t bytes_max = 2 * options->body_bytes_max; /* what a row has beside its items */
    struct keep_job *job =
        job_new(keeping, bytes_max < CHAIN_BYTES_MAX ? (size_t)bytes_max : CHAIN_BYTES_MAX);
    keeping->on_loaded = on_loaded;
    keeping->user = user;
    keeping->job = job;
    job->id = arena_str(job->arena, keeping->previous);
    job->thread = keeping->thread;
    for (size_t i = 0; i < keeping->references.count; i++)
        *VEC_PUSH(job->arena, job->references.responses, job->references.count,
                  job->references.capacity) =
            arena_str(job->arena, keeping->references.responses[i]);
    job->job = (struct store_job){.run = run_load, .done = on_load, .user = job};
    store_read(options->store, options->loop, &job->job);
}

/* In OpenAI's own words, which programs look for. */
void keeping_fail(struct api_request *request, enum err code, const struct error *error)
{
    const struct dialect *dialect = request->endpoint->dialect;
    struct llm_error missing = {
        .class = ERR_INVALID, .retry_after_ms = -1, .code = "previous_response_not_found"};
    struct buf out;
    if (code != ERR_NOT_FOUND || strcmp(error->field, "conversation") == 0) {
        api_fail(request, code, error);
        return;
    }
    buf_init(&out, 16 * 1024);
    str_copy(str_from_cstr(error->field), missing.field, sizeof missing.field);
    str_copy(str_from_cstr(error->message), missing.message, sizeof missing.message);
    int status = dialect->encode_error(&missing, &out);
    http_respond(request->exchange, status, "application/json", buf_str(&out));
    buf_done(&out);
}

enum err keeping_prepend(struct keeping *keeping, struct arena *arena, yyjson_val *body,
                         struct llm_request *llm, struct error *error)
{
    if (!keeping->chain.count)
        return ERR_OK;
    return stored_chain_prepend(&keeping->chain, arena, body, llm, error);
}

enum err keeping_body(struct keeping *keeping, struct arena *scratch, yyjson_val *body,
                      struct str *ret_body, struct error *error)
{
    *ret_body = keeping_source(keeping);
    if (!keeping->chain.count && !keeping->is_background && id_is_none(&keeping->thread))
        return ERR_OK;
    enum err code = stored_chain_expand(&keeping->chain, scratch, body, &keeping->body, error);
    *ret_body = buf_str(&keeping->body);
    return code;
}

/* ---- The end of a stream ------------------------------------------------------------------------ */

/* Looks through whole frames for the one that has the whole response. */
struct search {
    struct sse_parser parser;
    struct keeping *keeping;
    size_t behind; /* the frame before */
    size_t found;  /* where the last frame begins, or SIZE_MAX */
};

static bool is_last_type(struct str type)
{
    return str_eq(type, STR("response.completed")) || str_eq(type, STR("response.incomplete")) ||
           str_eq(type, STR("response.failed"));
}

static void take_answer(struct keeping *keeping, struct str data)
{
    struct loop *loop = loop_of(keeping);
    struct arena *scratch = loop_scratch_borrow(loop);
    yyjson_val *root;
    if (json_read(scratch, data, &root, NULL) == ERR_OK &&
        is_last_type(json_get_str(root, "type")) && yyjson_is_obj(json_get(root, "response"))) {
        struct json_writer w;
        json_writer_init(&w, &keeping->answer_bytes);
        json_put_val(&w, json_get(root, "response"));
        if (buf_ok(&keeping->answer_bytes))
            keeping->answer = buf_str(&keeping->answer_bytes);
    }
    loop_scratch_return(loop, scratch);
}

static void on_frame(void *user, const struct sse_event *event)
{
    struct search *search = user;
    bool may_be = is_last_type(event->type) || !event->type.len;
    if (search->found == SIZE_MAX && may_be)
        take_answer(search->keeping, event->data);
    if (search->found == SIZE_MAX && search->keeping->answer.len)
        search->found = search->behind;
    search->behind = search->parser.fed;
}

/* Where among the frames the last one begins, or SIZE_MAX. Most pieces of an answer do not even
 * look like it. */
static size_t find_last(struct keeping *keeping, struct str frames)
{
    static const char *const words[] = {"response.completed", "response.incomplete",
                                        "response.failed"};
    struct search search = {.keeping = keeping, .found = SIZE_MAX};
    bool may_be = false;
    for (size_t i = 0; i < sizeof words / sizeof words[0] && !may_be; i++)
        may_be = str_find(frames, str_from_cstr(words[i])) != SIZE_MAX;
    if (!may_be)
        return SIZE_MAX;
    sse_parser_init(&search.parser, HELD_BYTES_MAX, on_frame, &search);
    if (sse_parser_feed(&search.parser, frames) != ERR_OK)
        search.found = SIZE_MAX;
    sse_parser_done(&search.parser);
    return search.found;
}

bool keeping_wants(const struct keeping *keeping)
{
    return keeping && (keeping->wants || !id_is_none(&keeping->thread));
}

struct str keeping_pass(struct keeping *keeping, struct str frames)
{
    size_t at = keeping->answer.len ? 0 : find_last(keeping, frames);
    if (at == SIZE_MAX)
        return frames;
    buf_append(&keeping->held, str_skip(frames, at));
    return str_slice(frames, 0, at);
}

struct str keeping_held(const struct keeping *keeping)
{
    return buf_str(&keeping->held);
}

void keeping_note(struct keeping *keeping, struct str frames)
{
    if (!keeping->answer.len)
        (void)find_last(keeping, frames);
}

void keeping_note_whole(struct keeping *keeping, struct str body)
{
    keeping->answer = body;
}

/* ---- Saving ------------------------------------------------------------------------------------ */

static enum err run_save(struct store_tx *tx, void *user, struct error *error)
{
    struct keep_job *job = user;
    enum err code = job->keeps_row ? store_response_put(tx, &job->row, error) : ERR_OK;
    if (code == ERR_OK)
        code = thread_add_answer(tx, &job->addition, error);
    return code == ERR_OK
               ? store_kept_make_room(tx, KEPT_RESPONSE, &job->row.owner, job->bytes_max, error)
               : code;
}

static void saved(struct keeping *keeping)
{
    loop_timer_cancel(loop_of(keeping), &keeping->timer);
    keeping->job = NULL;
    keeping->on_saved(keeping->user);
}

static void on_save(void *user, enum err code, const struct error *error)
{
    struct keep_job *job = user;
    struct keeping *keeping = job->keeping;
    if (code != ERR_OK)
        log_warning(job->log, "an answer was not kept", LOG_STR("id", job->row.id),
                    LOG_CSTR("error", error_message(error)));
    job_free(job);
    if (keeping)
        saved(keeping);
}

static void on_late(void *user)
{
    struct keeping *keeping = user;
    log_warning(keeping->job->log, "an answer is told before it is kept: the database is slow",
                LOG_STR("id", keeping->job->row.id));
    keeping->job->keeping = NULL;
    saved(keeping);
}

/* Everything in the job's arena. */
static bool make_row(struct keeping *keeping, const struct llm_response *built, int64_t kept_ms,
                     struct keep_job *job)
{
    struct stored_exchange exchange = {.owner = job->owner,
                                       .answer = keeping->answer,
                                       .built = built,
                                       .now_ms = clock_wall_ms(),
                                       .keep_ms = kept_ms};
    bool is_good =
        json_read(job->arena, keeping_source(keeping), &exchange.request, NULL) == ERR_OK &&
        stored_response_make(job->arena, &exchange, &job->row) == ERR_OK;
    if (!is_good || job->row.id.len > ID_BYTES_MAX)
        return false;
    job->keeps_row = keeping->wants;
    return thread_addition_of(job->arena, &job->row, &keeping->thread, kept_ms, job->bytes_max,
                              &job->addition) == ERR_OK;
}

bool keeping_save(struct keeping *keeping, const struct llm_response *built,
                  void (*on_saved)(void *user), void *user)
{
    const struct api_options *options = &keeping->request->api->options;
    int64_t kept_ms = keeping->answer.len ? keeping_days_ms(keeping->request) : 0;
    if (!kept_ms)
        return false;
    struct keep_job *job = job_new(keeping, SIZE_MAX);
    job->bytes_max = keeping_bytes_max(keeping->request);
    if (!make_row(keeping, built, kept_ms, job)) {
        log_warning(job->log, "an answer was not kept: it has no id, or is no response");
        job_free(job);
        return false;
    }
    keeping->job = job;
    keeping->on_saved = on_saved;
    keeping->user = user;
    loop_timer_set(options->loop, &keeping->timer, SAVE_WAIT_MS, on_late, keeping);
    job->job = (struct store_job){.run = run_save, .done = on_save, .user = job};
    store_write(options->store, options->loop, &job->job);
    return true;
}
