/* Usage reader: the dialects' own decoders, of whose events only the counts are kept. What they
 * cannot read is no fault here: the bytes pass all the same. */
#include "api/usage_reader.h"

enum { FRAME_BYTES_MAX = 4 * 1024 * 1024, ARENA_BYTES_MAX = 32 * 1024 * 1024 };

static void on_event(void *user, const struct llm_event *event)
{
    struct usage_reader *reader = user;
    if (event->kind == LLM_EVENT_USAGE)
        reader->usage = event->usage;
    else if (event->kind == LLM_EVENT_FINISH)
        reader->has_finished = true;
    else
        llm_estimate_add_long(&reader->said, event->text);
}

static void decode(struct usage_reader *reader, struct str type, struct str data)
{
    struct arena *scratch = loop_scratch_borrow(reader->loop);
    reader->dialect->decode_frame(reader->decoder, scratch, type, data, on_event, reader);
    loop_scratch_return(reader->loop, scratch);
}

static void on_sse(void *user, const struct sse_event *event)
{
    decode(user, event->type, event->data);
}

static void on_line(void *user, struct str line)
{
    decode(user, STR(""), line);
}

static bool is_sse(const struct usage_reader *reader)
{
    return reader->dialect->framing == DIALECT_SSE;
}

void usage_reader_begin(struct usage_reader *reader, struct loop *loop,
                        const struct dialect *dialect)
{
    struct arena *arena = arena_new(ARENA_BYTES_MAX);
    *reader = (struct usage_reader){.loop = loop,
                                    .arena = arena,
                                    .dialect = dialect,
                                    .decoder = dialect->decoder_new(arena),
                                    .usage = LLM_USAGE_UNKNOWN};
    if (is_sse(reader))
        sse_parser_init(&reader->parser.sse, FRAME_BYTES_MAX, on_sse, reader);
    else
        ndjson_parser_init(&reader->parser.ndjson, FRAME_BYTES_MAX, on_line, reader);
}

void usage_reader_feed(struct usage_reader *reader, struct str bytes)
{
    if (!reader->arena)
        return;
    enum err code = is_sse(reader) ? sse_parser_feed(&reader->parser.sse, bytes)
                                   : ndjson_parser_feed(&reader->parser.ndjson, bytes);
    if (code != ERR_OK || arena_exceeded(reader->arena))
        usage_reader_done(reader);
}

struct llm_usage usage_reader_result(const struct usage_reader *reader, int64_t input_tokens)
{
    struct llm_usage usage = reader->usage;
    int64_t counted = llm_estimate_tokens(&reader->said);
    bool is_cut = !reader->has_finished && !reader->dialect->ends_with_body;
    if (counted > 0 && (usage.output_total < 0 || (is_cut && usage.output_total < counted))) {
        usage.output_total = counted;
        usage.is_estimated = true;
    }
    if (usage.input_total < 0 && usage.output_total >= 0 && input_tokens > 0) {
        usage.input_total = input_tokens;
        usage.is_estimated = true;
    }
    return usage;
}

void usage_reader_done(struct usage_reader *reader)
{
    if (!reader->arena)
        return;
    if (is_sse(reader))
        sse_parser_done(&reader->parser.sse);
    else
        ndjson_parser_done(&reader->parser.ndjson);
    arena_free(reader->arena);
    reader->arena = NULL;
}

/* ---- Whole answers --------------------------------------------------------------------------- */

static void read_count(yyjson_val *usage, const char *name, const char *other, int64_t *ret)
{
    int64_t count;
    if ((json_get_int(usage, name, &count) || json_get_int(usage, other, &count)) && count >= 0)
        *ret = count;
}

static void read_member(struct arena *arena, struct str body, struct llm_usage *ret)
{
    yyjson_val *root;
    if (json_read(arena, body, &root, NULL) != ERR_OK)
        return;
    yyjson_val *usage = json_get(root, "usage");
    read_count(usage, "input_tokens", "prompt_tokens", &ret->input_total);
    read_count(usage, "output_tokens", "completion_tokens", &ret->output_total);
    if (ret->input_total >= 0 && ret->output_total < 0)
        ret->output_total = 0; /* embeddings */
}

void usage_read(struct loop *loop, const struct dialect *dialect, struct str body,
                struct llm_usage *ret)
{
    struct arena *scratch = loop_scratch_borrow(loop);
    struct llm_response response = {.usage = LLM_USAGE_UNKNOWN};
    struct llm_error ignored;
    bool is_read =
        dialect && dialect->decode_response(scratch, body, &response, &ignored) == ERR_OK;
    if (is_read && (response.usage.input_total >= 0 || response.usage.output_total >= 0))
        *ret = response.usage;
    else
        read_member(scratch, body, ret);
    loop_scratch_return(loop, scratch);
}
