/* From the recorded pieces of a dialect to the frames of one answer:
 *
 *   head, content events, finish, usage, end      (files stream.head, .event, .finish, ...)
 *
 * then the ordered fault: frames behind it are left out, bytes behind it are cut. */
#include "script.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/crypto.h"
#include "base/json.h"
#include "base/utf8.h"
#include "base/vec.h"

enum {
    BODY_BYTES_MAX = 256 * 1024 * 1024,
    HEAD_BYTES_MAX = 16 * 1024,
    ECHO_PIECE_BYTES = 8,
    REPEAT_BYTES = 16 * 1024
};

static const char unicode_text[] = "Gr\u00fc\u00dfe, \u4e16\u754c! \u041f\u0440\u0438\u0432\u0435"
                                   "\u0442 \U0001F30D \u05e9\u05dc\u05d5\u05dd e\u0301 "
                                   "\U0001F468\u200D\U0001F469\u200D\U0001F467";

/* What building one answer needs at hand. */
struct builder {
    struct script *script;
    const struct fake_request *request;
    const struct behaviour *behaviour;
    struct reply_values values;
    struct buf text; /* everything said, with what is left out of it */
    size_t skip;     /* bytes at its beginning that were said before */
    bool goes_on;    /* with an answer that the request brings */
    size_t events;   /* content events so far */
    bool over;       /* the fault has come: nothing more is added */
};

static struct str find_part(const struct fake_dialect *dialect, const char *part)
{
    struct str found = reply_find(dialect->folder, part);
    return found.data || !dialect->second ? found : reply_find(dialect->second, part);
}

static struct str part_of(const struct builder *builder, const char *part)
{
    return find_part(builder->request->dialect, part);
}

/* "stream.<recording>", or without what is behind its dash ("tools-interleaved" is "tools" where
 * the dialect cannot interleave, or the answer is whole). */
static struct str recording_of(const struct builder *builder, const char *kind)
{
    char part[64];
    snprintf(part, sizeof part, "%s.%s", kind, builder->behaviour->recording);
    struct str found = part_of(builder, part);
    char *dash = strchr(part, '-');
    if (found.data || !dash)
        return found;
    *dash = 0;
    return part_of(builder, part);
}

static struct str without_last_newline(struct str text)
{
    return str_ends_with(text, STR("\n")) ? str_slice(text, 0, text.len - 1) : text;
}

/* ---- Frames ------------------------------------------------------------------------------------
 */

static void add_frame(struct script *script, size_t from, bool is_content)
{
    struct script_frame *frame =
        VEC_PUSH(script->arena, script->frames, script->frame_count, script->frame_capacity);
    *frame = (struct script_frame){from, script->bytes.len - from, is_content};
}

/* Renders one frame without its separator. */
static void render_frame(struct builder *builder, struct str frame)
{
    struct buf *bytes = &builder->script->bytes;
    size_t from = bytes->len;
    bool is_malformed = builder->behaviour->malformed_at == builder->events && builder->events;
    reply_render(bytes, frame, &builder->values);
    if (is_malformed)
        buf_truncate(bytes, from + (bytes->len - from) / 2);
}

static void add_rendered(struct builder *builder, struct str frame, bool is_content)
{
    size_t from = builder->script->bytes.len;
    builder->events += is_content;
    render_frame(builder, frame);
    buf_append(&builder->script->bytes, str_from_cstr(builder->request->dialect->separator));
    add_frame(builder->script, from, is_content);
}

/* Cuts the first frame off a recording. */
static struct str next_frame(struct str *recording, struct str separator)
{
    size_t at = str_find(*recording, separator);
    struct str frame = at == SIZE_MAX ? *recording : str_slice(*recording, 0, at);
    *recording = at == SIZE_MAX ? STR_NONE : str_skip(*recording, at + separator.len);
    return without_last_newline(frame);
}

static bool ends_by_count(const struct behaviour *behaviour)
{
    return behaviour->ending == ENDING_CUT || behaviour->ending == ENDING_RESET ||
           behaviour->ending == ENDING_STALL || behaviour->ending == ENDING_ERROR;
}

static void add_error(struct builder *builder)
{
    if (builder->behaviour->ending == ENDING_ERROR)
        add_rendered(builder, without_last_newline(part_of(builder, "stream.error")), false);
}

/* All frames of a recording. */
static void add_frames(struct builder *builder, struct str rest, bool is_content)
{
    struct str separator = str_from_cstr(builder->request->dialect->separator);
    while (rest.len && !builder->over) {
        struct str frame = next_frame(&rest, separator);
        if (is_content && ends_by_count(builder->behaviour) &&
            builder->events == builder->behaviour->ending_at)
            builder->over = true;
        else if (frame.len)
            add_rendered(builder, frame, is_content);
    }
}

/* Those of a recorded part, or none when the dialect has no such part. */
static void add_part(struct builder *builder, const char *part)
{
    add_frames(builder, part_of(builder, part), false);
}

/* ---- What is said ------------------------------------------------------------------------------
 */

/* Pieces differ from each other, as those of a model do. The first few begin alike: tests know them. */
static void say_fixed(struct buf *text, size_t index, size_t bytes)
{
    enum { ALIKE = 8, STEP = 5 };
    static const char filler[] = "the quick brown fox jumps over the lazy dog and goes on to sleep";
    size_t end = text->len + bytes;
    size_t from = index < ALIKE ? 0 : index * STEP % (sizeof filler - 1);
    buf_printf(text, "word-%05zu ", index);
    buf_append(text, str_skip(STR_FROM(filler, sizeof filler - 1), from));
    while (text->len < end)
        buf_append(text, STR_FROM(filler, sizeof filler - 1));
    buf_truncate(text, end);
}

static struct str whole_text(const struct builder *builder)
{
    if (builder->behaviour->content == CONTENT_UNICODE)
        return str_from_cstr(unicode_text);
    struct str said = builder->request->user_text;
    return arena_printf(builder->script->arena, "You said: %.*s", STR_ARG(said));
}

/* Appends the next piece to the text; false when all has been said. */
static bool say_piece(struct builder *builder, size_t index, struct str whole)
{
    const struct behaviour *behaviour = builder->behaviour;
    switch (behaviour->content) {
    case CONTENT_COUNT:
        buf_printf(&builder->text, "%zu ", index + 1);
        return index < behaviour->event_count;
    case CONTENT_FIXED:
        say_fixed(&builder->text, index, behaviour->event_bytes);
        return index < behaviour->event_count;
    default: {
        size_t from = builder->text.len;
        struct str rest = str_skip(whole, from);
        size_t length = utf8_cut(rest, ECHO_PIECE_BYTES);
        buf_append(&builder->text, str_slice(rest, 0, length));
        return length > 0;
    }
    }
}

/* The same with what the behaviour makes of it: an answer from the beginning may differ. */
static bool say_next(struct builder *builder, size_t index, struct str whole)
{
    size_t from = builder->text.len;
    uint64_t differs_at = builder->behaviour->differs_at;
    bool said = say_piece(builder, index, whole);
    if (!said)
        buf_truncate(&builder->text, from);
    else if (differs_at && index + 1 >= differs_at && !builder->goes_on && builder->text.data)
        memset(builder->text.data + from, 'x', builder->text.len - from);
    return said;
}

static void say_rest(struct builder *builder, struct str whole)
{
    buf_clear(&builder->text);
    for (size_t i = 0; say_next(builder, i, whole); i++)
        continue;
}

/* Everything that would be said, for answers that need all of it at once. */
static void say_all(struct builder *builder)
{
    say_rest(builder, whole_text(builder));
    builder->values.all = str_skip(buf_str(&builder->text), builder->skip);
}

static void add_events(struct builder *builder)
{
    struct str event = without_last_newline(part_of(builder, "stream.event"));
    struct str whole = whole_text(builder);
    size_t said = builder->skip;
    buf_clear(&builder->text);
    for (size_t i = 0;; i++) {
        builder->over =
            ends_by_count(builder->behaviour) && builder->events == builder->behaviour->ending_at;
        if (builder->over || !say_next(builder, i, whole))
            break;
        if (builder->text.len <= said)
            continue;
        builder->values.text = str_skip(buf_str(&builder->text), said);
        said = builder->text.len;
        add_rendered(builder, event, true);
    }
    builder->values.all = str_skip(buf_str(&builder->text), builder->skip);
}

/* How much of the answer the request brings already, when that is to be continued: of a text that
 * is this answer's beginning, all but the repetition. */
static void find_begun(struct builder *builder)
{
    const struct behaviour *behaviour = builder->behaviour;
    const struct fake_request *request = builder->request;
    struct str begun = request->begun;
    if (!begun.len || behaviour->content == CONTENT_RECORDING ||
        !(request->begun_is_last ? behaviour->prefills : behaviour->continues))
        return;
    builder->goes_on = true;
    say_rest(builder, whole_text(builder));
    builder->goes_on = str_starts_with(buf_str(&builder->text), begun);
    size_t repeated = behaviour->repeats < begun.len ? (size_t)behaviour->repeats : begun.len;
    if (builder->goes_on)
        builder->skip = utf8_cut(begun, begun.len - repeated);
}

/* ---- Streams -----------------------------------------------------------------------------------
 */

/* Something that is sent again and again. */
static void set_repeat(struct builder *builder, struct str bytes, uint64_t repeat_ms)
{
    builder->script->end = SCRIPT_END_REPEAT;
    builder->script->repeat = arena_str(builder->script->arena, bytes);
    builder->script->repeat_ms = repeat_ms;
}

static void repeat_filler(struct builder *builder)
{
    char filler[REPEAT_BYTES];
    memset(filler, 'x', sizeof filler);
    set_repeat(builder, STR_FROM(filler, sizeof filler), 0);
}

static void repeat_event(struct builder *builder)
{
    struct buf event;
    buf_init(&event, REPEAT_BYTES);
    builder->values.text = STR("and on ");
    reply_render(&event, without_last_newline(part_of(builder, "stream.event")), &builder->values);
    buf_append(&event, str_from_cstr(builder->request->dialect->separator));
    set_repeat(builder, buf_str(&event),
               builder->behaviour->pace == PACE_TIMED ? builder->behaviour->pace_ms : 0);
    buf_done(&event);
}

/* A keep-alive; a dialect without one gets a blank line. */
static void repeat_ping(struct builder *builder)
{
    struct buf ping;
    buf_init(&ping, REPEAT_BYTES);
    buf_append(&ping, without_last_newline(part_of(builder, "stream.ping")));
    buf_append(&ping, str_from_cstr(builder->request->dialect->separator));
    set_repeat(builder, buf_str(&ping), builder->behaviour->ending_at);
    buf_done(&ping);
}

/* An event up to where its text would begin. */
static void begin_huge_line(struct builder *builder)
{
    struct str event = part_of(builder, "stream.event");
    size_t from = builder->script->bytes.len;
    event = str_slice(event, 0, str_find(event, STR("@TEXT@")));
    reply_render(&builder->script->bytes, event, &builder->values);
    add_frame(builder->script, from, true);
    repeat_filler(builder);
}

static void add_finish(struct builder *builder)
{
    if (builder->over || builder->behaviour->ending == ENDING_NO_FINISH)
        return;
    add_part(builder, "stream.finish");
    if (builder->request->wants_usage)
        add_part(builder, "stream.usage");
    if (builder->behaviour->ending != ENDING_NO_SENTINEL &&
        builder->behaviour->ending != ENDING_OPEN)
        add_part(builder, "stream.end");
}

static void build_said(struct builder *builder)
{
    if (builder->behaviour->content == CONTENT_RECORDING) {
        add_frames(builder, recording_of(builder, "stream"), true);
        return;
    }
    add_part(builder, "stream.head");
    add_events(builder);
    add_finish(builder);
}

static void build_stream(struct builder *builder)
{
    switch (builder->behaviour->ending) {
    case ENDING_ENDLESS:
        add_part(builder, "stream.head");
        repeat_event(builder);
        break;
    case ENDING_HUGE_LINE:
        add_part(builder, "stream.head");
        begin_huge_line(builder);
        break;
    case ENDING_PINGS:
        add_part(builder, "stream.head");
        repeat_ping(builder);
        break;
    default:
        build_said(builder);
        add_error(builder);
        break;
    }
}

/* ---- Whole answers -----------------------------------------------------------------------------
 */

static void render_part(struct builder *builder, struct str part)
{
    reply_render(&builder->script->bytes, without_last_newline(part), &builder->values);
}

static void render_chat(struct builder *builder)
{
    bool is_recorded = builder->behaviour->content == CONTENT_RECORDING;
    struct str whole = is_recorded ? recording_of(builder, "whole") : part_of(builder, "whole");
    if (!is_recorded)
        say_all(builder);
    render_part(builder, whole);
}

/* 0.25, -1, the input's size, and as many of 1/64 as are asked for. */
static struct str vector_text(const struct builder *builder, uint64_t size, bool is_base64)
{
    struct arena *arena = builder->script->arena;
    size_t count = builder->request->dimensions ? (size_t)builder->request->dimensions : 3;
    float *values = ARENA_NEW_ARRAY(arena, count, float);
    struct buf text;
    buf_init(&text, BODY_BYTES_MAX);
    for (size_t i = 0; i < count; i++) {
        values[i] = i == 0 ? 0.25f : i == 1 ? -1 : i == 2 ? (float)size : 0.015625f;
        if (!is_base64)
            buf_printf(&text, "%s%.9g", i ? "," : "", (double)values[i]);
    }
    struct str bytes = STR_FROM((const char *)values, count * sizeof *values);
    if (is_base64)
        buf_commit(&text, base64_encode(bytes, buf_reserve(&text, base64_length(bytes.len))));
    struct str copy = arena_str(arena, buf_str(&text));
    buf_done(&text);
    return copy;
}

static void render_embeddings(struct builder *builder)
{
    const struct fake_request *request = builder->request;
    bool is_base64 = request->wants_base64 && part_of(builder, "embed.item-base64").data;
    struct str item = part_of(builder, request->is_single ? "embed.single"
                                       : is_base64        ? "embed.item-base64"
                                                          : "embed.item");
    builder->values.limit = request->input_count; /* tokens: one for each */
    render_part(builder, request->is_single ? STR("") : part_of(builder, "embed.head"));
    for (size_t i = 0; i < request->input_count; i++) {
        buf_append(&builder->script->bytes, i ? STR(",") : STR(""));
        builder->values.text = vector_text(builder, request->inputs[i], is_base64);
        render_part(builder, item);
    }
    render_part(builder, request->is_single ? STR("") : part_of(builder, "embed.end"));
}

static void build_whole(struct builder *builder)
{
    struct buf *bytes = &builder->script->bytes;
    if (builder->request->route == FAKE_ROUTE_EMBEDDINGS)
        render_embeddings(builder);
    else if (builder->request->route == FAKE_ROUTE_COUNT)
        render_part(builder, part_of(builder, "count"));
    else
        render_chat(builder);
    builder->script->length = bytes->len;
    bool is_cut = ends_by_count(builder->behaviour) || builder->behaviour->malformed_at ||
                  builder->behaviour->ending == ENDING_HUGE_LINE ||
                  builder->behaviour->ending == ENDING_ENDLESS;
    if (is_cut)
        buf_truncate(bytes, bytes->len / 2);
    if (builder->behaviour->malformed_at)
        builder->script->length = bytes->len;
    add_frame(builder->script, 0, true);
    if (builder->behaviour->ending == ENDING_HUGE_LINE ||
        builder->behaviour->ending == ENDING_ENDLESS)
        repeat_filler(builder);
    else if (builder->behaviour->ending == ENDING_PINGS)
        repeat_ping(builder);
}

/* ---- Faults of the body ------------------------------------------------------------------------
 */

static void apply_ending(struct script *script, const struct behaviour *behaviour)
{
    static const enum script_end ends[] = {
        [ENDING_CUT] = SCRIPT_END_CUT,     [ENDING_CUT_BYTE] = SCRIPT_END_CUT,
        [ENDING_RESET] = SCRIPT_END_RESET, [ENDING_STALL] = SCRIPT_END_STALL,
        [ENDING_OPEN] = SCRIPT_END_STALL,
    };
    bool is_whole = behaviour->ending == ENDING_OPEN && !script->chunked;
    if (behaviour->ending < sizeof ends / sizeof *ends && script->end == SCRIPT_END_WHOLE &&
        !is_whole)
        script->end = ends[behaviour->ending];
}

static void cut_at_byte(struct script *script, uint64_t at)
{
    if (at >= script->bytes.len)
        return;
    buf_truncate(&script->bytes, (size_t)at);
    while (script->frame_count && script->frames[script->frame_count - 1].at >= at)
        script->frame_count--;
    if (script->frame_count) {
        struct script_frame *last = &script->frames[script->frame_count - 1];
        last->len = (size_t)at - last->at;
    }
}

/* Every LF becomes CR LF. */
static void use_crlf(struct script *script)
{
    struct buf bytes;
    buf_init(&bytes, BODY_BYTES_MAX);
    for (size_t i = 0; i < script->frame_count; i++) {
        struct script_frame *frame = &script->frames[i];
        struct str text = str_slice(buf_str(&script->bytes), frame->at, frame->len);
        frame->at = bytes.len;
        for (size_t at = 0; at < text.len; at++) {
            if (text.data[at] == '\n')
                buf_append_char(&bytes, '\r');
            buf_append_char(&bytes, text.data[at]);
        }
        frame->len = bytes.len - frame->at;
    }
    buf_swap(&bytes, &script->bytes);
    buf_done(&bytes);
}

static void split_bytes(struct script *script)
{
    script->frame_count = 0;
    for (size_t i = 0; i < script->bytes.len; i++) {
        struct script_frame *frame =
            VEC_PUSH(script->arena, script->frames, script->frame_count, script->frame_capacity);
        *frame = (struct script_frame){i, 1, true};
    }
}

static void apply_faults(struct script *script, const struct behaviour *behaviour)
{
    if (behaviour->crlf && script->chunked)
        use_crlf(script);
    if (behaviour->ending == ENDING_CUT_BYTE)
        cut_at_byte(script, behaviour->cuts_each ? behaviour->ending_at % script->bytes.len
                                                 : behaviour->ending_at);
    if (behaviour->split)
        split_bytes(script);
    apply_ending(script, behaviour);
}

/* ---- The public face ---------------------------------------------------------------------------
 */

static void begin(struct script *script, struct arena *arena)
{
    *script = (struct script){.arena = arena, .pace = PACE_BURST};
    buf_init(&script->head, HEAD_BYTES_MAX);
    buf_init(&script->bytes, BODY_BYTES_MAX);
}

void script_done(struct script *script)
{
    buf_done(&script->head);
    buf_done(&script->bytes);
}

void script_init_plain(struct script *script, struct arena *arena, int status,
                       const char *content_type, struct str body)
{
    begin(script, arena);
    buf_printf(&script->head, "HTTP/1.1 %d %s\r\nContent-Type: %s\r\n", status,
               http_status_reason(status), content_type);
    buf_append(&script->bytes, body);
    script->length = body.len;
    add_frame(script, 0, true);
}

/* Headers of a file, each line with CR LF. */
static void add_head(struct script *script, struct str head, struct reply_values *values)
{
    while (head.data) {
        struct str line = str_next(&head, '\n');
        reply_render(&script->head, line, values);
        buf_append(&script->head, line.len ? STR("\r\n") : STR(""));
    }
}

/* What is left of the provider's limits, where it tells that in headers. */
static void add_limits(struct builder *builder)
{
    const uint64_t *limits = builder->behaviour->limits;
    char date[25];
    clock_format_rfc3339(builder->request->wall_ms + (int64_t)limits[2], date);
    builder->values.limit = limits[0];
    builder->values.remaining = limits[1];
    builder->values.reset_ms = limits[2];
    builder->values.reset_date = arena_str(builder->script->arena, str_from_cstr(date));
    add_head(builder->script, part_of(builder, "head.limits"), &builder->values);
}

static void build_reply(struct builder *builder)
{
    struct script *script = builder->script;
    bool stream = builder->request->stream && builder->behaviour->answer != ANSWER_JSON;
    buf_printf(&script->head, "HTTP/1.1 200 OK\r\nContent-Type: %s\r\n",
               stream ? builder->request->dialect->stream_type : "application/json");
    if (builder->behaviour->has_limits)
        add_limits(builder);
    find_begun(builder);
    if (stream)
        build_stream(builder);
    else
        build_whole(builder);
    script->chunked = stream || script->end == SCRIPT_END_REPEAT || builder->behaviour->split;
    script->pace = builder->behaviour->pace;
    script->pace_ms = builder->behaviour->pace_ms;
    apply_faults(script, builder->behaviour);
}

/* No framing: it never gets as far as a body. */
static void init_endless_headers(struct script *script, struct arena *arena,
                                 const struct behaviour *behaviour)
{
    char filler[REPEAT_BYTES / 16];
    memset(filler, 'x', sizeof filler);
    begin(script, arena);
    buf_append(&script->bytes, STR("HTTP/1.1 200 OK\r\n"));
    add_frame(script, 0, false);
    script->end = SCRIPT_END_REPEAT;
    script->repeat = arena_printf(arena, "X-Filler: %.*s\r\n", (int)sizeof filler, filler);
    script->repeat_ms = behaviour->pace == PACE_TIMED ? behaviour->pace_ms : 0;
}

void script_init(struct script *script, struct arena *arena, const struct fake_request *request,
                 const struct behaviour *behaviour)
{
    if (behaviour->rejects_prefill && request->begun_is_last) {
        script_init_error(script, arena, request, "400-prefill", 0);
    } else if (behaviour->ending == ENDING_ERROR && !request->stream) {
        script_init_error(script, arena, request, "500", 0);
    } else if (behaviour->answer == ANSWER_ERROR) {
        script_init_error(script, arena, request, behaviour->recording, behaviour->retry_after_s);
    } else if (behaviour->answer == ANSWER_HEADERS) {
        init_endless_headers(script, arena, behaviour);
    } else if (behaviour->answer == ANSWER_GARBAGE) {
        script_init_plain(script, arena, 200, "text/html",
                          STR("<!DOCTYPE html>\n<html><head><title>Welcome</title></head>"
                              "<body><h1>It works!</h1></body></html>\n"));
    } else {
        begin(script, arena);
        struct builder builder = {
            .script = script,
            .request = request,
            .behaviour = behaviour,
            .values = {.model = request->model, .tag = behaviour->tag ? behaviour->tag : 1}};
        buf_init(&builder.text, BODY_BYTES_MAX);
        build_reply(&builder);
        buf_done(&builder.text);
    }
    script->delay_ms = behaviour->delay_ms;
    script->late_ms = behaviour->late_ms;
    if (behaviour->answer == ANSWER_SILENT || behaviour->answer == ANSWER_RESET) {
        buf_clear(&script->head);
        script->frame_count = 0;
        script->end = behaviour->answer == ANSWER_RESET ? SCRIPT_END_RESET : SCRIPT_END_STALL;
    }
}

/* The file is a whole HTTP answer with LF line ends: head, blank line, body. */
void script_init_error(struct script *script, struct arena *arena,
                       const struct fake_request *request, const char *name, uint64_t retry_after_s)
{
    char part[64];
    snprintf(part, sizeof part, "error.%s", name);
    struct str file = find_part(request->dialect, part);
    if (!file.data) /* "400-filtered": not every dialect has it */
        file = find_part(request->dialect, "error.400-invalid");
    struct reply_values values = {.model = request->model, .retry_after_s = retry_after_s};
    size_t blank = str_find(file, STR("\n\n"));
    struct str head = str_slice(file, 0, blank);
    begin(script, arena);
    add_head(script, head, &values);
    reply_render(&script->bytes, without_last_newline(str_skip(file, blank + 2)), &values);
    script->length = script->bytes.len;
    add_frame(script, 0, true);
}
