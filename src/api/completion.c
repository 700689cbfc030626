/* Completion: a call of a model through a door that speaks a provider's dialect, stateless, straight
 * to the router.
 *
 *   completion_start --route_start--> WAITING --first event or bytes--> STREAMING --END--> ended
 *                                       |                                  |
 *                                       |  ERROR: status and body          |  ERROR: a frame
 *                                       \--END (not streamed): the whole answer
 *
 * Bytes that pass through are forwarded as they are; when another provider has to go on with the
 * answer, its events follow them in the same form. The client's leaving cancels the call at once. A
 * slow client pauses it.
 *
 * A form that keeps answers has two more states: before the call, while the earlier answer is loaded
 * that the request goes on from (LOADING), and after END, while the answer is saved and its last frame
 * held back (SAVING); see keeping.h. */
#include <stdlib.h>
#include <string.h>

#include "api/background.h"
#include "api/cache_control.h"
#include "api/chain.h"
#include "api/completion.h"
#include "api/completion_head.h"
#include "api/keeping.h"
#include "api/origin.h"
#include "llm/foreign.h"
#include "llm/passthrough.h"

enum { ANSWER_BYTES_MAX = 64 * 1024 * 1024 };

struct completion {
    struct api_request *request;
    const struct completion_form *form;
    struct route_call *call; /* NULL while loading; dead once END was heard */
    struct keeping *keeping; /* NULL: of a form that keeps nothing */
    struct str body;         /* the request's, or with the conversation before it */
    struct dialect_encoder *encoder;
    struct llm_builder *builder; /* of a whole answer, when it is not passed through */
    struct loop_task flush_task;
    struct buf out;           /* frames of this turn; or the raw bytes of a whole answer */
    const char *content_type; /* of raw bytes */
    struct str unmapped;      /* names of members that only a provider of this form understands */
    struct str id;            /* of the answer that passes through, in case another one goes on */
    struct str model;
    bool is_streamed;
    bool wants_usage;
    bool has_raw;             /* bytes came */
    bool begun;               /* the response's head is out */
    bool failed;              /* ERROR was heard: error */
    bool ended;               /* END was heard */
    bool ends_raw;            /* the answer's last bytes are a provider's */
    bool is_handed;           /* it is written in the background: the exchange is another's */
    struct llm_error *error;  /* in the exchange's arena; NULL: none came */
    struct llm_losses losses; /* of the answer: what this form cannot carry */
};

/* ---- The head -------------------------------------------------------------------------------- */

static void write_head(struct completion *completion)
{
    completion_write_head(completion->request, completion->call, completion->unmapped,
                          completion->failed);
}

static void begin_stream(struct completion *completion, const char *content_type)
{
    if (completion->begun)
        return;
    completion->begun = true;
    write_head(completion);
    http_respond_header(completion->request->exchange, "x-accel-buffering", STR("no"));
    http_respond_begin(completion->request->exchange, 200, content_type);
}

/* ---- The body -------------------------------------------------------------------------------- */

static void heed_back_pressure(struct completion *completion)
{
    if (!completion->ended &&
        http_respond_pending_bytes(completion->request->exchange) > STREAM_HIGH_BYTES)
        route_pause(completion->call);
}

static void on_drain(void *user)
{
    struct completion *completion = user;
    if (completion->call && !completion->ended)
        route_resume(completion->call);
}

/* Whole frames on their way out; an answer that is kept holds its last one back. */
static void write_frames(struct completion *completion, struct str frames)
{
    if (keeping_wants(completion->keeping))
        frames = keeping_pass(completion->keeping, frames);
    http_respond_write(completion->request->exchange, frames);
}

static void flush(struct completion *completion)
{
    loop_task_cancel(&completion->flush_task);
    if (completion->out.len)
        write_frames(completion, buf_str(&completion->out));
    buf_release(&completion->out);
    heed_back_pressure(completion);
}

static void flush_later(void *user)
{
    flush(user);
}

/* Gives back what is not in the exchange's arena. */
static void let_go(struct completion *completion)
{
    loop_task_cancel(&completion->flush_task);
    buf_done(&completion->out);
    keeping_end(completion->keeping);
}

/* Ends the exchange, and with its arena the completion. */
static void end_stream(void *user)
{
    struct completion *completion = user;
    if (completion->keeping)
        http_respond_write(completion->request->exchange, keeping_held(completion->keeping));
    let_go(completion);
    http_respond_end(completion->request->exchange);
}

static void on_abort(void *user)
{
    struct completion *completion = user;
    struct http_exchange *exchange = completion->request->exchange;
    if (completion->call && !completion->ended)
        route_cancel(completion->call, NULL);
    let_go(completion);
    http_respond_break(exchange); /* whether or not it has begun */
}

/* Tells the encoder what the provider's own bytes have said. */
static void follow(struct completion *completion, const struct llm_event *event)
{
    struct buf said;
    buf_init(&said, ANSWER_BYTES_MAX);
    completion->form->dialect->encode_event(completion->encoder, event, &said, NULL);
    buf_done(&said);
}

/* A stream that is passed through needs none, unless it fails or another provider goes on. Then its
 * beginning has been said in the provider's own bytes. */
static struct dialect_encoder *encoder_of(struct completion *completion)
{
    struct arena *arena = completion->request->arena;
    if (completion->encoder)
        return completion->encoder;
    completion->encoder = completion->form->dialect->encoder_new(
        arena, loop_wall_ms(completion->request->api->options.loop), completion->wants_usage);
    if (completion->has_raw && !completion->form->follows_raw)
        follow(completion, &(struct llm_event){.kind = LLM_EVENT_START,
                                               .id = completion->id,
                                               .model = completion->model});
    return completion->encoder;
}

/* ERROR within a stream: a frame that says so, and no sentinel after it, so that nobody takes the
 * answer for whole. Before the head it waits for END and gets a status of its own. */
static void on_failure(struct completion *completion, const struct llm_event *event)
{
    completion->failed = true;
    completion->error = ARENA_NEW(completion->request->arena, struct llm_error);
    *completion->error = *event->error;
    if (!completion->begun)
        return;
    completion->form->dialect->encode_event(encoder_of(completion), event, &completion->out, NULL);
    flush(completion);
}

static int encode_failure(struct completion *completion, struct buf *out)
{
    struct api_request *request = completion->request;
    const struct llm_error *error = completion->error;
    buf_clear(out);
    if (error->retry_after_ms >= 0)
        http_respond_header(
            request->exchange, "retry-after",
            arena_printf(request->arena, "%lld", (long long)(error->retry_after_ms + 999) / 1000));
    return completion->form->dialect->encode_error(error, out);
}

static void put_in_array(struct buf *out)
{
    struct buf inside = *out;
    buf_init(out, ANSWER_BYTES_MAX);
    buf_append_char(out, '[');
    buf_append(out, buf_str(&inside));
    buf_append_char(out, ']');
    buf_done(&inside);
}

/* The answer's end says what it lost; so does the row of its last attempt. */
static void note_losses(struct completion *completion)
{
    struct buf names;
    if (!completion->losses.count)
        return;
    buf_init(&names, 8192);
    llm_losses_write(&completion->losses, &names, 1000);
    route_lost(completion->call, buf_str(&names));
    buf_done(&names);
}

/* One body at once: a whole answer, or an error before anything was sent. Ending the exchange frees
 * the completion, so the body is taken out of it first. */
static void respond_at_once(struct completion *completion, int status, const char *content_type)
{
    struct api_request *request = completion->request;
    struct loop *loop = request->api->options.loop;
    struct buf out = completion->out;
    buf_init(&completion->out, 0);
    let_go(completion);
    if (buf_ok(&out))
        http_respond(request->exchange, status, content_type, buf_str(&out));
    else
        api_fail(request, ERR_TOO_BIG, NULL);
    loop_buf_keep(loop, &out);
}

static void respond_whole(void *user)
{
    struct completion *completion = user;
    respond_at_once(completion, 200,
                    completion->has_raw ? completion->content_type : "application/json");
}

/* Whether the answer goes to the database first: then `saved` ends the exchange. */
static bool is_saving(struct completion *completion, const struct llm_response *built,
                      void (*saved)(void *user))
{
    return keeping_wants(completion->keeping) &&
           keeping_save(completion->keeping, built, saved, completion);
}

static void end_whole(struct completion *completion)
{
    const struct llm_response *built = NULL;
    write_head(completion);
    if (!completion->has_raw) {
        loop_buf_lend(completion->request->api->options.loop, &completion->out);
        built = llm_builder_response(completion->builder);
        completion->form->dialect->encode_response(
            completion->request->arena, built, loop_wall_ms(completion->request->api->options.loop),
            &completion->out, &completion->losses);
        note_losses(completion);
    }
    if (completion->form->is_array)
        put_in_array(&completion->out);
    if (keeping_wants(completion->keeping) && buf_ok(&completion->out))
        keeping_note_whole(completion->keeping, buf_str(&completion->out));
    if (!is_saving(completion, built, respond_whole))
        respond_whole(completion);
}

static void end_failed(struct completion *completion)
{
    write_head(completion);
    respond_at_once(completion, encode_failure(completion, &completion->out), "application/json");
}

/* The end of a failed answer, as it would have been told: its client knows its id. */
static void note_failed(struct completion *completion)
{
    const struct llm_event end = {.kind = LLM_EVENT_END};
    struct buf frames;
    buf_init(&frames, ANSWER_BYTES_MAX);
    completion->form->dialect->encode_event(encoder_of(completion), &end, &frames, NULL);
    keeping_note(completion->keeping, buf_str(&frames));
    buf_done(&frames);
}

static void end_streamed(struct completion *completion)
{
    const struct llm_response *built = NULL;
    begin_stream(completion, completion->form->stream_type);
    flush(completion);
    note_losses(completion);
    if (keeping_wants(completion->keeping) && completion->failed)
        note_failed(completion);
    if (keeping_wants(completion->keeping) && (completion->failed || !completion->ends_raw))
        built = completion->form->dialect->encoded(encoder_of(completion));
    if (!is_saving(completion, built, end_stream))
        end_stream(completion);
}

static void on_end(struct completion *completion)
{
    completion->ended = true;
    if (completion->failed && !completion->begun)
        end_failed(completion);
    else if (completion->is_streamed)
        end_streamed(completion);
    else
        end_whole(completion);
}

static void encode(struct completion *completion, const struct llm_event *event)
{
    begin_stream(completion, completion->form->stream_type);
    completion->form->dialect->encode_event(encoder_of(completion), event, &completion->out,
                                            &completion->losses);
    loop_defer(completion->request->api->options.loop, &completion->flush_task, flush_later,
               completion); /* what one turn brings leaves as one piece */
}

/* The answer is written at its END; only one that is kept lives longer. */
static void build(struct completion *completion, const struct llm_event *event)
{
    bool may_view = event->is_whole && !completion->keeping;
    if (!completion->builder)
        completion->builder = llm_builder_new(completion->request->arena, ANSWER_BYTES_MAX);
    if ((may_view ? llm_builder_add_view : llm_builder_add)(completion->builder, event) != ERR_OK)
        completion->out.overflowed = true; /* end_at_once refuses */
}

/* The bytes of this event are forwarded: what an encoder may need to know later is kept. */
static void note_raw(struct completion *completion, const struct llm_event *event)
{
    if (completion->is_streamed && completion->form->follows_raw) {
        encoder_of(completion);
        follow(completion, event);
        return;
    }
    if (event->kind != LLM_EVENT_START)
        return;
    completion->id = arena_str(completion->request->arena, event->id);
    completion->model = arena_str(completion->request->arena, event->model);
}

/* Clients join the pieces of an answer by its id, and some providers give none. Where answers are
 * kept by it, it must be one of ours unless the client sees the provider's: not all are unique. */
static const struct llm_event *named(struct completion *completion, const struct llm_event *event,
                                     struct llm_event *ret_named)
{
    struct api_request *request = completion->request;
    const char *prefix = completion->form->id_prefix;
    bool is_own = completion->keeping && !route_is_raw(completion->call);
    if (event->kind != LLM_EVENT_START || (event->id.len && !is_own) || !prefix)
        return event;
    struct id id = id_new(loop_wall_ms(completion->request->api->options.loop));
    *ret_named = *event;
    ret_named->id =
        arena_printf(request->arena, "%s%.*s", prefix,
                     STR_ARG(is_own ? id_str(&id) : http_exchange_id(request->exchange)));
    return ret_named;
}

static void on_event(void *user, const struct llm_event *event)
{
    struct completion *completion = user;
    struct llm_event own;
    event = named(completion, event, &own);
    completion->ends_raw = route_is_raw(completion->call);
    if (event->kind == LLM_EVENT_ERROR)
        on_failure(completion, event);
    else if (completion->failed)
        ;
    else if (route_is_raw(completion->call))
        note_raw(completion, event);
    else if (completion->is_streamed)
        encode(completion, event);
    else if (!completion->has_raw)
        build(completion, event);
    if (event->kind == LLM_EVENT_END)
        on_end(completion);
}

static void on_raw(void *user, struct str content_type, struct str bytes)
{
    struct completion *completion = user;
    completion->has_raw = true;
    if (!completion->content_type)
        completion->content_type = arena_cstr(completion->request->arena, content_type);
    if (!completion->is_streamed) {
        loop_buf_lend(completion->request->api->options.loop, &completion->out);
        buf_append(&completion->out, bytes);
        return;
    }
    begin_stream(completion, completion->content_type);
    write_frames(completion, bytes);
    heed_back_pressure(completion);
}

/* ---- The request ----------------------------------------------------------------------------- */

/* A request as it was written, decoded. */
struct decoded {
    yyjson_val *root;
    struct llm_request llm;
    struct api_chain chain;
    struct passthrough_members members; /* of `text` */
    struct str text;
};

/* What an earlier answer has to do with it. */
static enum err decode_kept(struct completion *completion, struct arena *scratch, yyjson_val *root,
                            struct llm_request *llm, struct error *error)
{
    enum err code = ERR_OK;
    if (!completion->keeping)
        code = keeping_new(completion->request, root, &completion->keeping, error);
    if (code != ERR_OK || keeping_must_load(completion->keeping))
        return code;
    code = keeping_prepend(completion->keeping, scratch, root, llm, error);
    if (code == ERR_OK && !completion->body.data)
        code = keeping_body(completion->keeping, scratch, root, &completion->body, error);
    return code;
}

/* Everything in `scratch`. A streamed answer may last for minutes: of the request only its bytes are
 * kept, and read again should another attempt need it. */
static enum err decode(struct completion *completion, struct arena *scratch, struct decoded *ret,
                       struct error *error)
{
    struct llm_request *llm = &ret->llm;
    struct str body =
        completion->keeping ? keeping_source(completion->keeping) : completion->request->http->body;
    const char *copy;
    enum err code = json_read_placed(scratch, body, &ret->root, &copy, error);
    if (code == ERR_OK)
        passthrough_find(scratch, body, ret->root, copy, &ret->members);
    ret->text = body;
    if (code == ERR_OK)
        code = llm_refuse_redirections(ret->root, error);
    if (code == ERR_OK)
        code = completion->form->dialect->decode_request(scratch, ret->root, llm, error);
    if (code == ERR_OK && completion->form->keeps)
        code = decode_kept(completion, scratch, ret->root, llm, error);
    if (code == ERR_OK && completion->form->add_path)
        code = completion->form->add_path(completion->request, llm, error);
    if (completion->form->has_usage)
        llm->stream_usage = llm->stream;
    if (code == ERR_OK)
        code = api_chain_read(scratch, ret->root, &llm->model, &ret->chain, error);
    llm->unmapped_count = api_chain_unmapped(llm->unmapped, llm->unmapped_count);
    bool is_whole = !completion->keeping || !keeping_must_load(completion->keeping);
    if (code == ERR_OK && llm->message_count == 0 && is_whole)
        code = error_set(error, ERR_INVALID, "messages", "must not be empty");
    return code;
}

static const struct llm_request *on_request(void *user, struct arena *scratch)
{
    struct decoded *decoded = ARENA_NEW(scratch, struct decoded);
    return decode(user, scratch, decoded, NULL) == ERR_OK ? &decoded->llm : NULL;
}

/* The names alone are kept: the decoded request goes when the call has started. */
static struct str names_of_unmapped(struct arena *arena, const struct llm_request *llm)
{
    struct buf out;
    buf_init(&out, 4096);
    llm_unmapped_write(llm, &out, 4000);
    struct str names = arena_str(arena, buf_str(&out));
    buf_done(&out);
    return names;
}

static void on_loaded(void *user, enum err code, const struct error *error);

/* What the router is asked. Everything as borrowed as in its parts. */
struct asked {
    struct route_request route;
    struct api_origin origin;
};

static enum err make_route(struct completion *completion, const struct decoded *decoded,
                           struct arena *scratch, struct asked *ret, struct error *error)
{
    struct api_request *request = completion->request;
    struct str body = completion->body.data ? completion->body : request->http->body;
    bool is_as_read = body.data == decoded->text.data;
    ret->route = (struct route_request){
        .request = &decoded->llm,
        .chain = decoded->chain.names,
        .chain_count = decoded->chain.count,
        .raw_body = body,
        .raw_members = is_as_read ? &decoded->members : NULL,
        .raw_headers = &request->http->headers,
        .raw_dialect = completion->form->dialect,
        .strict = str_eq_nocase(http_headers_get(&request->http->headers, "x-parley-strict"),
                                STR("true")),
        .request_id = http_exchange_id(request->exchange),
        .tenant = id_str(&request->who.user),
        .origin = &ret->origin.governor,
    };
    enum err code = api_cache_control_read(&request->http->headers, &ret->route.cache, error);
    return code == ERR_OK ? api_origin_open(request, decoded->root, scratch, &ret->origin, error)
                          : code;
}

/* Once more in memory that lasts as long as the answer, which outlives this. Its dialect forwards no
 * headers. */
static enum err start_background(struct completion *completion, struct error *error)
{
    struct arena *arena = arena_new(SIZE_MAX);
    struct decoded *decoded = ARENA_NEW(arena, struct decoded);
    struct asked *asked = ARENA_NEW(arena, struct asked);
    enum err code = decode(completion, arena, decoded, error);
    if (code == ERR_OK)
        code = make_route(completion, decoded, arena, asked, error);
    if (code != ERR_OK) {
        arena_free(arena);
        return code;
    }
    asked->route.raw_body = arena_str(arena, completion->body);
    asked->route.raw_members = NULL;
    asked->route.raw_headers = NULL;
    struct response_ask ask = {
        .arena = arena,
        .chain_arena = keeping_take_chain(completion->keeping),
        .body = arena_str(arena, keeping_source(completion->keeping)),
        .route = &asked->route,
        .thread = keeping_thread(completion->keeping),
        .unmapped = names_of_unmapped(arena, &decoded->llm),
        .is_streamed = decoded->llm.stream,
    };
    code = background_start(completion->request, &ask, error);
    completion->is_handed = code == ERR_OK;
    return code;
}

static enum err start(struct completion *completion, struct arena *scratch, struct error *error)
{
    static const struct route_events events = {
        .on_event = on_event, .on_raw = on_raw, .on_request = on_request};
    struct decoded decoded = {0};
    struct asked asked;
    enum err code = decode(completion, scratch, &decoded, error);
    if (code == ERR_OK && completion->keeping && keeping_must_load(completion->keeping)) {
        keeping_load(completion->keeping, on_loaded, completion);
        return ERR_OK;
    }
    if (code == ERR_OK && completion->keeping && keeping_is_background(completion->keeping))
        return start_background(completion, error);
    if (code == ERR_OK)
        code = make_route(completion, &decoded, scratch, &asked, error);
    if (code != ERR_OK)
        return code;
    completion->is_streamed = decoded.llm.stream;
    completion->wants_usage = decoded.llm.stream_usage;
    completion->unmapped = names_of_unmapped(completion->request->arena, &decoded.llm);
    return route_start(completion->request->api->options.router, &asked.route, &events, completion,
                       &completion->call, error);
}

/* Starts the call, or fails the request, or leaves it to who answers it without. */
static bool began(struct completion *completion)
{
    struct api_request *request = completion->request;
    struct loop *loop = request->api->options.loop;
    struct error error;
    error_init(&error);
    struct arena *scratch = loop_scratch_borrow(loop);
    enum err code = start(completion, scratch, &error);
    loop_scratch_return(loop, scratch);
    if (code != ERR_OK || completion->is_handed)
        let_go(completion);
    return !api_failed(request, code, &error) && !completion->is_handed;
}

static void on_loaded(void *user, enum err code, const struct error *error)
{
    struct completion *completion = user;
    http_exchange_on_abort(completion->request->exchange, NULL, NULL);
    if (code != ERR_OK) {
        let_go(completion);
        keeping_fail(completion->request, code, error);
        return;
    }
    if (began(completion))
        http_exchange_on_abort(completion->request->exchange, on_abort, completion);
}

void completion_start(struct api_request *request, const struct completion_form *form)
{
    struct completion *completion = ARENA_NEW(request->arena, struct completion);
    completion->request = request;
    completion->form = form;
    llm_losses_init(&completion->losses, request->arena);
    completion->losses.is_told = true;
    buf_init(&completion->out, ANSWER_BYTES_MAX);
    if (!began(completion))
        return;
    http_exchange_on_abort(request->exchange, on_abort, completion);
    http_respond_on_drain(request->exchange, on_drain, completion);
}
