/* Any bytes to any dialect. The first byte chooses the dialect and the operation: a request at our
 * door (what is understood must be writable again), a whole answer, a stream (whole and cut in two:
 * the same events), an error, a list of models. */
#include <string.h>

#include "base/assert.h"
#include "base/json.h"
#include "llm/dialect.h"
#include "wire/ndjson.h"
#include "wire/sse.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { BYTES_MAX = 1 << 24, OPERATIONS = 5 };

/* ---- Requests -------------------------------------------------------------------------------- */

static void fuzz_request(const struct dialect *dialect, struct arena *arena, struct str body)
{
    yyjson_val *root;
    struct llm_request request = {0};
    struct error error = {0};
    struct llm_losses losses;
    struct buf out;
    if (json_read(arena, body, &root, NULL))
        return;
    if (dialect->decode_request(arena, root, &request, &error)) {
        ASSERT(error.code != ERR_OK && error.message[0]);
        return;
    }
    if (!dialect->encode_request) /* a door's only */
        return;
    struct dialect_target target = {.model = STR("m")};
    llm_losses_init(&losses, arena);
    buf_init(&out, BYTES_MAX);
    if (dialect->encode_request(arena, &request, &target, &out, &losses, NULL) == ERR_OK)
        ASSERT(json_read(arena, buf_str(&out), &root, NULL) == ERR_OK);
    buf_done(&out);
}

/* ---- Answers --------------------------------------------------------------------------------- */

static void fuzz_response(const struct dialect *dialect, struct arena *arena, struct str body)
{
    struct llm_response response = {0};
    struct llm_error error = {0};
    struct llm_losses losses;
    struct buf out;
    yyjson_val *root;
    enum err code = dialect->decode_response(arena, body, &response, &error);
    if (code) {
        ASSERT(error.class == code && error.message[0]);
        return;
    }
    llm_losses_init(&losses, arena);
    buf_init(&out, BYTES_MAX);
    dialect->encode_response(arena, &response, 0, &out, &losses);
    if (buf_ok(&out))
        ASSERT(json_read(arena, buf_str(&out), &root, NULL) == ERR_OK);
    buf_done(&out);
}

/* ---- Streams --------------------------------------------------------------------------------- */

/* What comes out of a stream: the events' kinds and texts, without made-up ids. */
struct stream {
    const struct dialect *dialect;
    struct dialect_decoder *decoder;
    struct dialect_encoder *encoder;
    struct arena *scratch;
    struct buf texts, out;
    bool started, ended;
};

static void on_event(void *user, const struct llm_event *event)
{
    struct stream *stream = user;
    ASSERT(!stream->ended);
    if (event->kind == LLM_EVENT_START)
        ASSERT(!stream->started);
    else if (event->kind != LLM_EVENT_ERROR && event->kind != LLM_EVENT_END)
        ASSERT(stream->started);
    stream->started |= event->kind == LLM_EVENT_START;
    stream->ended = event->kind == LLM_EVENT_END;
    buf_append_char(&stream->texts, (char)('a' + event->kind));
    buf_append(&stream->texts, event->text);
    buf_append(&stream->texts, event->name);
    stream->dialect->encode_event(stream->encoder, event, &stream->out, NULL);
}

static void on_sse(void *user, const struct sse_event *event)
{
    struct stream *stream = user;
    stream->dialect->decode_frame(stream->decoder, stream->scratch, event->type, event->data,
                                  on_event, stream);
    arena_reset(stream->scratch);
}

static void on_line(void *user, struct str line)
{
    struct stream *stream = user;
    stream->dialect->decode_frame(stream->decoder, stream->scratch, STR(""), line, on_event,
                                  stream);
    arena_reset(stream->scratch);
}

static void feed_sse(struct stream *stream, struct str first, struct str second)
{
    struct sse_parser parser;
    sse_parser_init(&parser, BYTES_MAX, on_sse, stream);
    ASSERT(sse_parser_feed(&parser, first) == ERR_OK);
    ASSERT(sse_parser_feed(&parser, second) == ERR_OK);
    ASSERT(sse_parser_finish(&parser) == ERR_OK);
    sse_parser_done(&parser);
}

static void feed_lines(struct stream *stream, struct str first, struct str second)
{
    struct ndjson_parser parser;
    ndjson_parser_init(&parser, BYTES_MAX, on_line, stream);
    ASSERT(ndjson_parser_feed(&parser, first) == ERR_OK);
    ASSERT(ndjson_parser_feed(&parser, second) == ERR_OK);
    ASSERT(ndjson_parser_finish(&parser) == ERR_OK);
    ndjson_parser_done(&parser);
}

static void play(const struct dialect *dialect, struct arena *arena, struct str bytes, size_t cut,
                 struct buf *ret_texts)
{
    struct stream stream = {.dialect = dialect,
                            .decoder = dialect->decoder_new(arena),
                            .encoder = dialect->encoder_new(arena, 0, true),
                            .scratch = arena_new(BYTES_MAX)};
    buf_init(&stream.texts, BYTES_MAX);
    buf_init(&stream.out, BYTES_MAX);
    struct str first = str_slice(bytes, 0, cut), second = str_skip(bytes, cut);
    if (dialect->framing == DIALECT_SSE)
        feed_sse(&stream, first, second);
    else
        feed_lines(&stream, first, second);
    dialect->decode_end(stream.decoder, on_event, &stream);
    ASSERT(stream.ended);
    buf_swap(ret_texts, &stream.texts);
    buf_done(&stream.texts);
    buf_done(&stream.out);
    arena_free(stream.scratch);
}

static void fuzz_stream(const struct dialect *dialect, struct arena *arena, struct str bytes)
{
    struct buf whole = {0}, halves = {0};
    play(dialect, arena, bytes, bytes.len, &whole);
    play(dialect, arena, bytes, bytes.len / 2, &halves);
    ASSERT(str_eq(buf_str(&whole), buf_str(&halves)));
    buf_done(&whole);
    buf_done(&halves);
}

/* ---- Errors, models -------------------------------------------------------------------------- */

static void fuzz_error(const struct dialect *dialect, struct arena *arena, struct str body)
{
    struct llm_error error = {0};
    struct http_headers headers = {0};
    yyjson_val *root;
    struct buf out;
    struct str wait = str_next(&body, '\n');
    http_headers_add(&headers, arena, STR("date"), STR("Sun, 22 Nov 2026 10:00:00 GMT"));
    http_headers_add(&headers, arena, STR("retry-after"), wait);
    dialect->decode_error(arena, 429, &headers, body, &error);
    ASSERT(error.class != ERR_OK && error.message[0]);
    ASSERT(error.retry_after_ms >= -1 && error.retry_after_ms <= 24 * 60 * 60 * 1000);
    buf_init(&out, BYTES_MAX);
    ASSERT(dialect->encode_error(&error, &out) >= 400);
    ASSERT(json_read(arena, buf_str(&out), &root, NULL) == ERR_OK);
    buf_done(&out);
}

static void fuzz_models(const struct dialect *dialect, struct arena *arena, struct str body)
{
    struct llm_model_info *models = NULL;
    size_t count = 0;
    if (dialect->decode_models(arena, body, &models, &count))
        return;
    for (size_t i = 0; i < count; i++)
        ASSERT(models[i].id.len);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const operations[OPERATIONS])(const struct dialect *, struct arena *,
                                                struct str) = {
        fuzz_request, fuzz_response, fuzz_stream, fuzz_error, fuzz_models};
    size_t count = 0;
    while (dialects[count])
        count++;
    if (size == 0)
        return 0;
    struct arena *arena = arena_new(BYTES_MAX);
    struct str rest = STR_FROM((const char *)data + 1, size - 1);
    operations[data[0] % OPERATIONS](dialects[data[0] / OPERATIONS % count], arena, rest);
    arena_free(arena);
    return 0;
}
