/* Response frames: between the encoder of the dialect, or a provider's own stream, and whoever reads
 * an answer that is kept. Numbers are given here, because an answer may be told by several. */
#include "chat/response_frames.h"

#include "llm/dialect.h"

enum {
    FRAME_BYTES_MAX = 128 * 1024 * 1024,
    ARENA_BYTES_MAX = 512 * 1024 * 1024,
    NAMES_BYTES_MAX = 8 * 1024
};

static const struct dialect *const form = &dialect_openai_responses;

/* ---- Objects --------------------------------------------------------------------------------- */

static bool is_said(struct str name, const struct response_words *words)
{
    return str_eq(name, STR("id")) || str_eq(name, STR("background")) ||
           str_eq(name, STR("created_at")) || (words->status.len && str_eq(name, STR("status"))) ||
           (words->error.len && str_eq(name, STR("error")));
}

static void put(struct json_writer *w, yyjson_val *response, const struct response_words *words)
{
    yyjson_obj_iter members = yyjson_obj_iter_with(response);
    json_begin_object(w);
    json_key_str(w, "id", words->id);
    json_key_int(w, "created_at", words->created_s);
    if (words->status.len)
        json_key_str(w, "status", words->status);
    if (words->error.len)
        json_key_raw(w, "error", words->error);
    json_key_bool(w, "background", true);
    for (yyjson_val *key; (key = yyjson_obj_iter_next(&members));) {
        if (is_said(json_str(key), words))
            continue;
        json_key(w, json_str(key));
        json_put_val(w, yyjson_obj_iter_get_val(key));
    }
    json_end_object(w);
}

struct str response_in_words(struct arena *arena, yyjson_val *response,
                             const struct response_words *words)
{
    struct json_writer w;
    struct buf out;
    buf_init(&out, FRAME_BYTES_MAX);
    json_writer_init(&w, &out);
    if (yyjson_is_obj(response))
        put(&w, response, words);
    struct str object = buf_ok(&out) ? arena_str(arena, buf_str(&out)) : STR("");
    buf_done(&out);
    return object;
}

struct str response_text_in_words(struct arena *arena, struct str response,
                                  const struct response_words *words)
{
    struct arena *scratch = arena_new(ARENA_BYTES_MAX);
    yyjson_val *root;
    struct str object = json_read(scratch, response, &root, NULL) == ERR_OK
                            ? response_in_words(arena, root, words)
                            : STR("");
    arena_free(scratch);
    return object;
}

struct str response_of(struct arena *arena, const struct llm_response *response,
                       const struct response_words *words)
{
    struct buf out;
    buf_init(&out, FRAME_BYTES_MAX);
    form->encode_response(arena, response, words->created_s * 1000, &out, NULL);
    struct str object =
        buf_ok(&out) ? response_text_in_words(arena, buf_str(&out), words) : STR("");
    buf_done(&out);
    return object;
}

struct begun {
    struct arena *arena;
    const struct response_words *words;
    struct str object;
};

static void take_begun(void *user, yyjson_val *event)
{
    struct begun *begun = user;
    if (!begun->object.len)
        begun->object = response_in_words(begun->arena, json_get(event, "response"), begun->words);
}

struct str response_begun(struct arena *arena, struct str model, const struct response_words *words)
{
    struct arena *scratch = arena_new(ARENA_BYTES_MAX);
    struct begun begun = {arena, words, STR("")};
    struct dialect_encoder *encoder = form->encoder_new(arena, words->created_s * 1000, true);
    struct buf frames;
    buf_init(&frames, FRAME_BYTES_MAX);
    form->encode_event(
        encoder, &(struct llm_event){.kind = LLM_EVENT_START, .id = words->id, .model = model},
        &frames, NULL);
    if (response_each_event(buf_str(&frames), scratch, take_begun, &begun) != ERR_OK)
        begun.object = STR("");
    buf_done(&frames);
    arena_free(scratch);
    return begun.object;
}

/* ---- Frames ---------------------------------------------------------------------------------- */

static void begin_frame(struct json_writer *w, struct buf *out, struct str type, int64_t sequence)
{
    buf_append(out, STR("event: "));
    buf_append(out, type);
    buf_append(out, STR("\ndata: "));
    json_writer_init(w, out);
    json_begin_object(w);
    json_key_str(w, "type", type);
    json_key_int(w, "sequence_number", sequence);
}

static void end_frame(struct json_writer *w)
{
    json_end_object(w);
    buf_append(w->out, STR("\n\n"));
}

/* A provider's own word stands in a line of its own. */
static struct str type_of(yyjson_val *event)
{
    struct str type = json_get_str(event, "type");
    bool is_plain =
        type.len && str_find_char(type, '\n') == SIZE_MAX && str_find_char(type, '\r') == SIZE_MAX;
    return is_plain ? type : STR("message");
}

void response_put_frame(struct buf *out, yyjson_val *event, const struct response_words *words,
                        int64_t sequence)
{
    struct json_writer w;
    yyjson_obj_iter members = yyjson_obj_iter_with(event);
    begin_frame(&w, out, type_of(event), sequence);
    for (yyjson_val *key; (key = yyjson_obj_iter_next(&members));) {
        struct str name = json_str(key);
        yyjson_val *value = yyjson_obj_iter_get_val(key);
        if (str_eq(name, STR("type")) || str_eq(name, STR("sequence_number")))
            continue;
        json_key(&w, name);
        if (words->id.data && str_eq(name, STR("response")) && yyjson_is_obj(value))
            put(&w, value, words);
        else
            json_put_val(&w, value);
    }
    end_frame(&w);
}

void response_put_whole(struct buf *out, struct str type, struct str response, int64_t sequence)
{
    struct json_writer w;
    begin_frame(&w, out, type, sequence);
    json_key_raw(&w, "response", response);
    end_frame(&w);
}

struct str response_last_type(struct str status)
{
    return str_eq(status, STR("completed")) ? STR("response.completed")
           : str_eq(status, STR("failed"))  ? STR("response.failed")
                                            : STR("response.incomplete");
}

bool response_is_last_type(struct str type)
{
    return str_eq(type, STR("response.completed")) || str_eq(type, STR("response.incomplete")) ||
           str_eq(type, STR("response.failed"));
}

/* ---- Reading frames -------------------------------------------------------------------------- */

struct reader {
    struct arena *scratch;
    void (*on_event)(void *user, yyjson_val *event);
    void *user;
};

static void on_frame(void *user, const struct sse_event *frame)
{
    struct reader *reader = user;
    yyjson_val *event;
    if (json_read(reader->scratch, frame->data, &event, NULL) == ERR_OK && yyjson_is_obj(event))
        reader->on_event(reader->user, event);
    arena_reset(reader->scratch);
}

enum err response_each_event(struct str frames, struct arena *scratch,
                             void (*on_event)(void *user, yyjson_val *event), void *user)
{
    struct reader reader = {scratch, on_event, user};
    struct sse_parser parser;
    sse_parser_init(&parser, FRAME_BYTES_MAX, on_frame, &reader);
    enum err code = sse_parser_feed(&parser, frames);
    sse_parser_done(&parser);
    return code;
}

/* ---- Telling a kept answer again ------------------------------------------------------------- */

struct replay {
    struct dialect_encoder *encoder;
    struct buf frames; /* as the encoder writes them */
    struct str answer;
    struct str status;
    int64_t after;
    int64_t sequence; /* of the next one */
    struct buf *out;
};

static void encode(void *user, const struct llm_event *event)
{
    struct replay *replay = user;
    form->encode_event(replay->encoder, event, &replay->frames, NULL);
}

/* The last event is told by the answer itself, which knows more than the encoder. */
static void tell(void *user, yyjson_val *event)
{
    static const struct response_words as_it_is = {0};
    struct replay *replay = user;
    int64_t sequence = replay->sequence;
    if (response_is_last_type(json_get_str(event, "type")))
        return;
    replay->sequence++;
    if (sequence > replay->after)
        response_put_frame(replay->out, event, &as_it_is, sequence);
}

static void tell_last(struct replay *replay)
{
    int64_t sequence = replay->sequence > replay->after ? replay->sequence : replay->after + 1;
    response_put_whole(replay->out, response_last_type(replay->status), replay->answer, sequence);
}

/* What can be read of it; an answer that failed may have nothing. */
static void encode_answer(struct replay *replay, struct arena *arena, yyjson_val *root)
{
    struct llm_response response = {0};
    struct llm_error error;
    int64_t created_s = 0;
    json_get_int(root, "created_at", &created_s);
    replay->encoder = form->encoder_new(arena, created_s * 1000, true);
    if (form->decode_response(arena, replay->answer, &response, &error) != ERR_OK)
        response = (struct llm_response){.usage = LLM_USAGE_UNKNOWN};
    response.id = json_get_str(root, "id");
    response.model = json_get_str(root, "model");
    llm_response_replay(&response, encode, replay);
}

enum err response_replay(struct str answer, int64_t after, struct buf *out)
{
    struct arena *arena = arena_new(ARENA_BYTES_MAX), *scratch = arena_new(ARENA_BYTES_MAX);
    struct replay replay = {.answer = answer, .after = after, .out = out};
    yyjson_val *root;
    buf_init(&replay.frames, ARENA_BYTES_MAX);
    enum err code = json_read(arena, answer, &root, NULL);
    if (code == ERR_OK) {
        replay.status = json_get_str(root, "status");
        encode_answer(&replay, arena, root);
        code = response_each_event(buf_str(&replay.frames), scratch, tell, &replay);
    }
    if (code == ERR_OK)
        tell_last(&replay);
    buf_done(&replay.frames);
    arena_free(scratch);
    arena_free(arena);
    return code == ERR_OK && buf_ok(out) ? ERR_OK : ERR_CORRUPT;
}

struct str response_extension(struct arena *arena, struct str extension,
                              const struct llm_losses *losses, struct str unmapped)
{
    struct json_writer w;
    struct buf names, out;
    buf_init(&names, NAMES_BYTES_MAX);
    llm_losses_write(losses, &names, NAMES_BYTES_MAX / 2);
    if (unmapped.len)
        buf_printf(&names, "%s%.*s", names.len ? ", " : "", STR_ARG(unmapped));
    buf_init(&out, extension.len + 2 * NAMES_BYTES_MAX);
    json_writer_init(&w, &out);
    json_begin_object(&w);
    if (extension.len > 2) /* its members */
        json_put_raw(&w, str_slice(extension, 1, extension.len - 2));
    json_key_str(&w, "request_dropped", buf_str(&names));
    json_end_object(&w);
    if (names.len && buf_ok(&out))
        extension = arena_str(arena, buf_str(&out));
    buf_done(&names);
    buf_done(&out);
    return extension;
}
