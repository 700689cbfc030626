/* The laws: encode, decode, subtract what was reported, compare. */
#include "law.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/json.h"
#include "base/vec.h"
#include "wire/ndjson.h"
#include "wire/sse.h"

enum { BYTES_MAX = 64 * 1024 * 1024 };
static const int64_t created_ms = 1763800000000;

/* Everything that one check uses, and what it shows when it fails. */
struct check {
    const struct dialect *dialect;
    uint64_t seed;
    struct arena *arena;
    struct random random;
    struct buf wire, x_text, y_text;
    struct llm_losses losses;
};

static void check_begin(struct check *check, const struct dialect *dialect, uint64_t seed)
{
    *check = (struct check){.dialect = dialect, .seed = seed, .arena = arena_new(BYTES_MAX)};
    random_init(&check->random, seed);
    buf_init(&check->wire, BYTES_MAX);
    buf_init(&check->x_text, BYTES_MAX);
    buf_init(&check->y_text, BYTES_MAX);
    llm_losses_init(&check->losses, check->arena);
}

static void check_end(struct check *check)
{
    arena_free(check->arena);
    buf_done(&check->wire);
    buf_done(&check->x_text);
    buf_done(&check->y_text);
}

static void check_fail(struct check *check, const char *why)
{
    struct buf names;
    buf_init(&names, BYTES_MAX);
    llm_losses_write(&check->losses, &names, BYTES_MAX / 2);
    fprintf(stderr,
            "%s, seed %llu: %s\n--- given\n%.*s--- on the wire\n%.*s\n--- read back\n%.*s"
            "--- reported\n%.*s\n",
            check->dialect->name, (unsigned long long)check->seed, why,
            STR_ARG(buf_str(&check->x_text)), STR_ARG(buf_str(&check->wire)),
            STR_ARG(buf_str(&check->y_text)), STR_ARG(buf_str(&names)));
    buf_done(&names);
    check_end(check);
    fail();
}

static void check_fail_loss(struct check *check, size_t loss)
{
    struct llm_losses one = {.items = &check->losses.items[loss], .count = 1};
    struct buf why;
    buf_init(&why, 1024);
    buf_append(&why, STR("reported, but nothing is lost by it: "));
    llm_losses_write(&one, &why, 512);
    buf_append_char(&why, '\0');
    char text[1024];
    str_copy(buf_str(&why), text, sizeof text);
    buf_done(&why);
    check_fail(check, text);
}

/* The order inside a tool message is reported result by result, and judged as a whole. A tool
 * message without results that is gone cannot be told from one that a made-up result went into. */
static bool is_result_order(const struct llm_request *x, const struct llm_loss *loss)
{
    bool is_order = loss->field == LLM_FIELD_PART_MOVED;
    if (!x || (!is_order && loss->field != LLM_FIELD_MESSAGE))
        return false;
    const struct llm_message *message = &x->messages[loss->message];
    return message->role == LLM_TOOL && (is_order || message->part_count == 0);
}

/* ---- Requests -------------------------------------------------------------------------------- */

static void compare_request(struct check *check, const struct llm_request *x,
                            const struct llm_request *y)
{
    if (!law_request_matches(check->arena, x, y, &check->losses, SIZE_MAX))
        check_fail(check, "what was read back is not what was given minus the losses");
    for (size_t i = 0; i < check->losses.count; i++)
        if (!is_result_order(x, &check->losses.items[i]) &&
            law_request_matches(check->arena, x, y, &check->losses, i))
            check_fail_loss(check, i);
}

/* Writes x in the check's dialect, and reads it back. */
static void send_request(struct check *check, const struct llm_request *x,
                         const struct dialect_target *target, struct llm_request *ret_y)
{
    struct error error = {0};
    yyjson_val *root;
    if (check->dialect->encode_request(check->arena, x, target, &check->wire, &check->losses,
                                       &error))
        check_fail(check, error_message(&error));
    if (json_read(check->arena, buf_str(&check->wire), &root, &error))
        check_fail(check, error_message(&error));
    *ret_y = (struct llm_request){0};
    if (check->dialect->decode_request(check->arena, root, ret_y, &error)) {
        print_error("field %s: %s\n", error.field, error_message(&error));
        check_fail(check, "the request does not read back");
    }
    if (!ret_y->model.len)
        ret_y->model = target->model;
    if (!ret_y->stream)
        ret_y->stream = x->stream;
}

static void check_request(struct check *check, const struct llm_request *x,
                          const struct dialect_target *target)
{
    struct llm_request y;
    law_request_text(x, &check->x_text);
    send_request(check, x, target, &y);
    law_request_text(&y, &check->y_text);
    compare_request(check, x, &y);
    if (y.unmapped_count)
        check_fail(check, "the decoder does not know what the encoder wrote");
}

void law_request_roundtrip(const struct dialect *dialect, const struct dialect_target *target,
                           uint64_t seed)
{
    struct check check;
    struct llm_request x;
    check_begin(&check, dialect, seed);
    law_make_request(check.arena, &check.random, &x);
    x.model = target->model;
    check_request(&check, &x, target);
    check_end(&check);
}

/* Forgets what was said on the way so far: the next dialect begins. */
static void change_dialect(struct check *check, const struct dialect *dialect)
{
    check->dialect = dialect;
    buf_clear(&check->wire);
    buf_clear(&check->x_text);
    llm_losses_init(&check->losses, check->arena);
}

void law_request_through(const struct dialect *door, const struct dialect *provider,
                         const struct dialect_target *target, uint64_t seed)
{
    struct check check;
    struct llm_request made, x;
    check_begin(&check, door, seed);
    law_make_request(check.arena, &check.random, &made);
    made.model = target->model;
    law_request_text(&made, &check.x_text);
    send_request(&check, &made, &(struct dialect_target){.model = target->model}, &x);
    change_dialect(&check, provider);
    check_request(&check, &x, target);
    check_end(&check);
}

/* ---- Responses
 ------------------------------------------------------------------------------- */

static void compare_response(struct check *check, const struct llm_response *x,
                             const struct llm_response *y)
{
    if (!law_response_matches(check->arena, x, y, &check->losses, SIZE_MAX))
        check_fail(check, "what was read back is not what was given minus the losses");
    for (size_t i = 0; i < check->losses.count; i++)
        if (law_response_matches(check->arena, x, y, &check->losses, i))
            check_fail_loss(check, i);
}

static void send_response(struct check *check, const struct llm_response *x,
                          struct llm_response *ret_y)
{
    struct llm_error error = {0};
    const struct dialect *dialect = check->dialect;
    dialect->encode_response(check->arena, x, created_ms, &check->wire, &check->losses);
    if (dialect->decode_response(check->arena, buf_str(&check->wire), ret_y, &error))
        check_fail(check, error.message);
}

static void check_response(struct check *check, const struct llm_response *x)
{
    struct llm_response y = {0};
    law_response_text(x, &check->x_text);
    send_response(check, x, &y);
    law_response_text(&y, &check->y_text);
    compare_response(check, x, &y);
}

void law_response_roundtrip(const struct dialect *dialect, uint64_t seed)
{
    struct check check;
    struct llm_response x;
    check_begin(&check, dialect, seed);
    law_make_response(check.arena, &check.random, &x);
    check_response(&check, &x);
    check_end(&check);
}

void law_response_through(const struct dialect *provider, const struct dialect *door, uint64_t seed)
{
    struct check check;
    struct llm_response made, x = {0};
    check_begin(&check, provider, seed);
    law_make_response(check.arena, &check.random, &made);
    send_response(&check, &made, &x);
    change_dialect(&check, door);
    check_response(&check, &x);
    check_end(&check);
}

/* ---- Streams --------------------------------------------------------------------------------- */

/* Reads a stream: framing, decoder, and the order of what comes out. */
struct reading {
    const struct dialect *dialect;
    struct dialect_decoder *decoder;
    struct arena *scratch;
    llm_emit_fn *emit;
    void *user;
};

static void on_sse(void *user, const struct sse_event *event)
{
    struct reading *reading = user;
    reading->dialect->decode_frame(reading->decoder, reading->scratch, event->type, event->data,
                                   reading->emit, reading->user);
    arena_reset(reading->scratch);
}

static void on_line(void *user, struct str line)
{
    struct reading *reading = user;
    reading->dialect->decode_frame(reading->decoder, reading->scratch, STR(""), line, reading->emit,
                                   reading->user);
    arena_reset(reading->scratch);
}

/* A piece of its own on the heap, so that a sanitizer sees reads past its end. */
static void feed(struct sse_parser *sse, struct ndjson_parser *lines, struct str piece)
{
    char *copy = test_malloc(piece.len + 1);
    memcpy(copy, piece.len ? piece.data : "", piece.len);
    struct str bytes = STR_FROM(copy, piece.len);
    assert_int_equal(sse ? sse_parser_feed(sse, bytes) : ndjson_parser_feed(lines, bytes), ERR_OK);
    test_free(copy);
}

static void read_stream(const struct dialect *dialect, struct str bytes, size_t cut, size_t step,
                        llm_emit_fn *emit, void *user)
{
    struct arena *arena = arena_new(BYTES_MAX);
    struct reading reading = {dialect, dialect->decoder_new(arena), arena_new(BYTES_MAX), emit,
                              user};
    struct sse_parser sse;
    struct ndjson_parser lines;
    bool is_sse = dialect->framing == DIALECT_SSE;
    sse_parser_init(&sse, BYTES_MAX, on_sse, &reading);
    ndjson_parser_init(&lines, BYTES_MAX, on_line, &reading);
    for (size_t next = cut; bytes.len; next = step) {
        if (next == 0 || next > bytes.len)
            next = bytes.len;
        feed(is_sse ? &sse : NULL, &lines, str_slice(bytes, 0, next));
        bytes = str_skip(bytes, next);
    }
    assert_int_equal(is_sse ? sse_parser_finish(&sse) : ndjson_parser_finish(&lines), ERR_OK);
    dialect->decode_end(reading.decoder, emit, user);
    sse_parser_done(&sse);
    ndjson_parser_done(&lines);
    arena_free(reading.scratch);
    arena_free(arena);
}

/* What listens: builds the response and watches the order. */
struct listener {
    struct llm_builder *builder;
    struct buf *text;
    bool started, finished, failed, ended, misordered;
    int calls;       /* started */
    bool open[1024]; /* calls that did not end */
};

static void watch_call(struct listener *listener, const struct llm_event *event)
{
    int index = event->index;
    if (event->kind == LLM_EVENT_TOOL_START) {
        listener->misordered |= index != listener->calls || index >= 1024;
        listener->open[listener->calls++ & 1023] = true;
    } else if (index < 0 || index >= listener->calls || !listener->open[index & 1023]) {
        listener->misordered = true;
    } else if (event->kind == LLM_EVENT_TOOL_END) {
        listener->open[index & 1023] = false;
    }
}

static bool any_open(const struct listener *listener)
{
    for (size_t i = 0; i < 1024; i++)
        if (listener->open[i])
            return true;
    return false;
}

static void on_event(void *user, const struct llm_event *event)
{
    struct listener *listener = user;
    enum llm_event_kind kind = event->kind;
    if (listener->text)
        law_event_text(event, STR_NONE, listener->text);
    listener->misordered |= listener->ended;
    listener->misordered |= listener->started != (kind != LLM_EVENT_START) &&
                            kind != LLM_EVENT_ERROR && kind != LLM_EVENT_END;
    if (kind != LLM_EVENT_END)
        listener->misordered |= listener->finished || listener->failed;
    if (kind >= LLM_EVENT_TOOL_START && kind <= LLM_EVENT_TOOL_END)
        watch_call(listener, event);
    listener->started |= kind == LLM_EVENT_START;
    if (kind == LLM_EVENT_FINISH) {
        listener->misordered |= any_open(listener);
        listener->finished = true;
    }
    listener->failed |= kind == LLM_EVENT_ERROR;
    if (kind == LLM_EVENT_END) {
        listener->misordered |= !listener->finished && !listener->failed;
        listener->ended = true;
    }
    assert_int_equal(llm_builder_add(listener->builder, event), ERR_OK);
}

static void check_failing_stream(struct check *check, const struct listener *listener)
{
    const struct llm_error *error = llm_builder_error(listener->builder);
    if (!error || !str_eq(str_from_cstr(error->message), STR("it broke")))
        check_fail(check, "the error did not come through");
}

static void encode_events(struct check *check, const struct llm_event *events, size_t count,
                          struct llm_builder *builder)
{
    const struct dialect *dialect = check->dialect;
    bool with_usage = random_below(&check->random, 4) != 0;
    struct dialect_encoder *encoder = dialect->encoder_new(check->arena, created_ms, with_usage);
    for (size_t i = 0; i < count; i++) {
        assert_int_equal(llm_builder_add(builder, &events[i]), ERR_OK);
        dialect->encode_event(encoder, &events[i], &check->wire, &check->losses);
    }
}

/* Sometimes the answer breaks instead of finishing. */
static bool break_events(struct check *check, struct llm_event *events, size_t *count)
{
    struct llm_error *error = ARENA_NEW(check->arena, struct llm_error);
    if (random_below(&check->random, 8))
        return false;
    dialect_error_set(error, ERR_SERVER, "it broke");
    size_t at = 1 + (size_t)random_below(&check->random, *count - 1);
    events[at] = (struct llm_event){.kind = LLM_EVENT_ERROR, .error = error};
    events[at + 1 < *count ? at + 1 : at] = (struct llm_event){.kind = LLM_EVENT_END};
    if (at + 1 == *count)
        events[at - 1] = (struct llm_event){.kind = LLM_EVENT_ERROR, .error = error};
    *count = at + 1 < *count ? at + 2 : at + 1;
    return true;
}

void law_stream_roundtrip(const struct dialect *dialect, uint64_t seed)
{
    struct check check;
    check_begin(&check, dialect, seed);
    size_t count;
    struct llm_event *events = law_make_events(check.arena, &check.random, &count);
    bool breaks = break_events(&check, events, &count);
    for (size_t i = 0; i < count; i++)
        law_event_text(&events[i], STR_NONE, &check.x_text);
    struct llm_builder *x = llm_builder_new(check.arena, BYTES_MAX);
    encode_events(&check, events, count, x);
    struct listener listener = {.builder = llm_builder_new(check.arena, BYTES_MAX),
                                .text = &check.y_text};
    size_t cut = (size_t)random_below(&check.random, check.wire.len + 1);
    read_stream(dialect, buf_str(&check.wire), cut, 0, on_event, &listener);
    if (listener.misordered || !listener.ended)
        check_fail(&check, "the events are out of order");
    if (breaks)
        check_failing_stream(&check, &listener);
    else
        compare_response(&check, llm_builder_response(x), llm_builder_response(listener.builder));
    check_end(&check);
}

/* A provider's stream on its way into another form: what its decoder says goes into the encoder of
 * the door, as it comes. */
struct passing {
    struct check *check;
    struct dialect_encoder *encoder;
    struct llm_builder *builder; /* of what the provider said */
};

static void pass_event(void *user, const struct llm_event *event)
{
    struct passing *passing = user;
    struct check *check = passing->check;
    law_event_text(event, STR_NONE, &check->x_text);
    assert_int_equal(llm_builder_add(passing->builder, event), ERR_OK);
    check->dialect->encode_event(passing->encoder, event, &check->wire, &check->losses);
}

/* Encodes made events in the provider's form, into `ret_bytes`. */
static void make_stream(struct check *check, struct buf *ret_bytes)
{
    size_t count;
    struct llm_event *events = law_make_events(check->arena, &check->random, &count);
    struct dialect_encoder *encoder = check->dialect->encoder_new(check->arena, created_ms, true);
    for (size_t i = 0; i < count; i++)
        check->dialect->encode_event(encoder, &events[i], ret_bytes, NULL);
}

void law_stream_through(const struct dialect *provider, const struct dialect *door, uint64_t seed)
{
    struct check check;
    struct buf bytes;
    check_begin(&check, provider, seed);
    buf_init(&bytes, BYTES_MAX);
    make_stream(&check, &bytes);
    check.dialect = door;
    struct passing passing = {.check = &check,
                              .encoder = door->encoder_new(check.arena, created_ms, true),
                              .builder = llm_builder_new(check.arena, BYTES_MAX)};
    read_stream(provider, buf_str(&bytes), 0, 0, pass_event, &passing);
    buf_done(&bytes);
    struct listener listener = {.builder = llm_builder_new(check.arena, BYTES_MAX),
                                .text = &check.y_text};
    read_stream(door, buf_str(&check.wire), 0, 0, on_event, &listener);
    if (listener.misordered || !listener.ended)
        check_fail(&check, "the events are out of order");
    compare_response(&check, llm_builder_response(passing.builder),
                     llm_builder_response(listener.builder));
    check_end(&check);
}

/* ---- Recorded streams ------------------------------------------------------------------------ */

void law_write_event(void *user, const struct llm_event *event)
{
    struct law_writing *writing = user;
    law_event_text(event, writing->known, writing->out);
}

void law_decode_stream(const struct dialect *dialect, struct str bytes, size_t cut, size_t step,
                       struct buf *out)
{
    struct law_writing writing = {bytes, out};
    read_stream(dialect, bytes, cut, step, law_write_event, &writing);
}

static void assert_same_events(const struct dialect *dialect, struct str bytes, size_t cut,
                               size_t step, struct str expected)
{
    struct buf events;
    buf_init(&events, BYTES_MAX);
    law_decode_stream(dialect, bytes, cut, step, &events);
    bool same = str_eq(buf_str(&events), expected);
    if (!same)
        print_error("%s: cut at %zu, then every %zu:\n%.*s--- instead of\n%.*s", dialect->name, cut,
                    step, STR_ARG(buf_str(&events)), STR_ARG(expected));
    buf_done(&events);
    assert_true(same);
}

void law_every_split(const struct dialect *dialect, struct str bytes)
{
    struct buf expected;
    buf_init(&expected, BYTES_MAX);
    law_decode_stream(dialect, bytes, 0, 0, &expected);
    for (size_t cut = 1; cut < bytes.len; cut++)
        assert_same_events(dialect, bytes, cut, 0, buf_str(&expected));
    assert_same_events(dialect, bytes, 1, 1, buf_str(&expected));
    buf_done(&expected);
}
