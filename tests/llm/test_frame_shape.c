/* Shapes of frames: with them and without, a stream gives the same events, whatever it holds; and
 * frames of one shape do go past the decoder. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/random.h"
#include "llm/frame_shape.h"

/* A stream read with its shapes (`shape` set) or without. */
struct reading {
    const struct dialect *dialect;
    struct dialect_decoder *decoder;
    struct frame_shape *shape;
    struct arena *arena, *scratch;
    struct buf events;
};

/* Made-up ids are left out: they differ by design. */
static void on_event(void *user, const struct llm_event *event)
{
    struct buf *out = user;
    buf_printf(out, "%d %d [%.*s] [%.*s] [%.*s] [%.*s] %d [%.*s]", (int)event->kind, event->index,
               STR_ARG(event->text), STR_ARG(event->name), STR_ARG(event->model),
               STR_ARG(event->opaque.data), (int)event->finish, STR_ARG(event->finish_raw));
    if (event->kind == LLM_EVENT_USAGE)
        buf_printf(out, " %lld %lld", (long long)event->usage.input_total,
                   (long long)event->usage.output_total);
    if (event->kind == LLM_EVENT_ERROR)
        buf_printf(out, " %d %s", (int)event->error->class, event->error->message);
    buf_append_char(out, '\n');
}

static void reading_begin(struct reading *reading, const struct dialect *dialect,
                          struct frame_shape *shape)
{
    *reading = (struct reading){.dialect = dialect, .shape = shape};
    reading->arena = arena_new(SIZE_MAX);
    reading->scratch = arena_new(SIZE_MAX);
    reading->decoder = dialect->decoder_new(reading->arena);
    buf_init(&reading->events, SIZE_MAX);
}

static void reading_add(struct reading *reading, struct str type, struct str data)
{
    if (reading->shape)
        frame_shape_decode(reading->shape, reading->dialect, reading->decoder, reading->scratch,
                           type, data, on_event, &reading->events);
    else
        reading->dialect->decode_frame(reading->decoder, reading->scratch, type, data, on_event,
                                       &reading->events);
    arena_reset(reading->scratch);
}

static void reading_end(struct reading *reading)
{
    reading->dialect->decode_end(reading->decoder, on_event, &reading->events);
    arena_free(reading->scratch);
    arena_free(reading->arena);
    buf_append_char(&reading->events, '\0');
}

/* Both ways at once. */
struct pair {
    struct frame_shape shape;
    struct reading cut, read;
    unsigned sure; /* frames before which the shape was relied on */
};

static void pair_begin(struct pair *pair, const struct dialect *dialect)
{
    pair->sure = 0;
    frame_shape_init(&pair->shape);
    reading_begin(&pair->cut, dialect, &pair->shape);
    reading_begin(&pair->read, dialect, NULL);
}

static void pair_add(struct pair *pair, struct str type, struct str data)
{
    pair->sure += pair->shape.frames >= FRAME_SHAPE_SURE;
    reading_add(&pair->cut, type, data);
    reading_add(&pair->read, type, data);
}

static void pair_end(struct pair *pair)
{
    reading_end(&pair->cut);
    reading_end(&pair->read);
    assert_string_equal(pair->cut.events.data, pair->read.events.data);
    buf_done(&pair->cut.events);
    buf_done(&pair->read.events);
    frame_shape_done(&pair->shape);
}

/* ---- Frames ---------------------------------------------------------------------------------- */

/* Frames with a hole: @. A stream begins with `head`; `frames` are what its text comes in, and what
 * tries to be taken for that. */
struct sample {
    const struct dialect *dialect;
    const char *type;
    const char *head[3];
    const char *frames[24];
};

#define CHAT(delta)                                                                                \
    "{\"id\":\"c\",\"model\":\"m\",\"choices\":[{\"index\":0,\"delta\":{" delta "}}]}"
#define BLOCK(delta) "{\"type\":\"content_block_delta\",\"index\":0,\"delta\":{" delta "}}"
#define GEMINI(parts)                                                                              \
    "{\"candidates\":[{\"content\":{\"parts\":[" parts "]}}],\"modelVersion\":\"m\"}"

static const struct sample samples[] = {
    {&dialect_openai_chat,
     "",
     {CHAT("\"role\":\"assistant\",\"content\":\"\"")},
     {
         CHAT("\"content\":\"@\""),
         CHAT("\"content\":\"@\",\"content\":\"x\""),
         CHAT("\"content\":\"x\",\"content\":\"@\""),
         CHAT("\"content\":\"@\",\"name\":\"@\""),
         CHAT("\"@\":\"x\",\"content\":\"y\""),
         CHAT("\"@\":\"@\",\"content\":\"@\""),
         CHAT("\"content\":\"@\",\"refusal\":\"x\""),
         CHAT("\"reasoning_content\":\"@\""),
         CHAT("\"reasoning\":\"@\",\"content\":\"@\""),
         CHAT("\"content\":[{\"type\":\"text\",\"text\":\"@\"}]"),
         CHAT("\"content\":[{\"type\":\"thinking\",\"thinking\":\"@\"},\"@\"]"),
         CHAT("\"content\":\"@\",\"tool_calls\":[{\"index\":0,\"id\":\"a\",\"function\":{}},"
              "{\"index\":0,\"id\":\"b\",\"function\":{}}]"),
         CHAT("\"tool_calls\":[{\"index\":0,\"function\":{\"name\":\"f\",\"arguments\":\"@\"}}]"),
         "{\"choices\":[{\"delta\":{\"content\":\"@\"},\"finish_reason\":\"stop\"}]}",
         "{\"choices\":[{\"message\":{\"content\":\"@\",\"tool_calls\":[{\"function\":{}}]}}]}",
         "{\"choices\":[{\"index\":1,\"delta\":{\"content\":\"@\"}}]}",
         "{\"choices\":[{\"delta\":{\"content\":\"@\"}}],\"usage\":{\"prompt_tokens\":3}}",
         "{\"choices\":[{\"delta\":{\"content\":\"@\"}}],\"error\":\"\"}",
         "{\"error\":{\"message\":\"@\"}}",
         "{\"x\":\"\\u0068i\",\"choices\":[{\"delta\":{\"content\":\"@\"}}]}",
         "[{\"delta\":{\"content\":\"@\"}}]",
         "@",
         "{\"a\":\"b\",\"@\"}",
         "[DONE]",
     }},
    {&dialect_anthropic,
     "content_block_delta",
     {"{\"type\":\"message_start\",\"message\":{\"id\":\"i\",\"model\":\"m\"}}",
      "{\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\"}}"},
     {
         BLOCK("\"type\":\"text_delta\",\"text\":\"@\""),
         BLOCK("\"type\":\"text_delta\",\"text\":\"@\",\"text\":\"x\""),
         BLOCK("\"type\":\"@\",\"text\":\"@\""),
         BLOCK("\"type\":\"thinking_delta\",\"thinking\":\"@\""),
         BLOCK("\"type\":\"input_json_delta\",\"partial_json\":\"@\""),
         "{\"type\":\"content_block_start\",\"index\":0,"
         "\"content_block\":{\"type\":\"text\",\"text\":\"@\"}}",
         "{\"type\":\"content_block_start\",\"index\":1,"
         "\"content_block\":{\"type\":\"thinking\",\"thinking\":\"@\"}}",
         "{\"type\":\"content_block_stop\",\"index\":0}",
         "{\"type\":\"content_block_stop\",\"index\":1}",
         "{\"type\":\"ping\"}",
         "{\"type\":\"@\"}",
         "{\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"@\"}}",
         "{\"type\":\"message_stop\"}",
     }},
    {&dialect_gemini,
     "",
     {GEMINI("{\"text\":\"a\"}")},
     {
         GEMINI("{\"text\":\"@\"}"),
         GEMINI("{\"text\":\"@\"},{\"text\":\"\"}"),
         GEMINI("{\"text\":\"@\",\"thought\":true}"),
         GEMINI("{\"text\":\"@\",\"thoughtSignature\":\"s\"}"),
         GEMINI("{\"functionCall\":{\"name\":\"@\"}}"),
         "[{\"x\":1}," GEMINI("{\"text\":\"@\"}") "]",
         "{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"@\"}]},\"finishReason\":\"STOP\"}]"
         "}",
         "{\"candidates\":[{\"finishReason\":\"SAFETY\",\"finishMessage\":\"@\"}]}",
         "{\"candidates\":[{\"content\":{\"parts\":[{\"text\":\"@\"}]}}],"
         "\"usageMetadata\":{\"promptTokenCount\":7}}",
         "{\"error\":{\"message\":\"@\"}}",
     }},
    {&dialect_ollama,
     "",
     {"{\"model\":\"m\",\"message\":{\"role\":\"assistant\",\"content\":\"a\"},\"done\":false}"},
     {
         "{\"model\":\"m\",\"message\":{\"content\":\"@\"},\"done\":false}",
         "{\"model\":\"@\",\"message\":{\"content\":\"@\"},\"done\":false}",
         "{\"message\":{\"content\":\"@\",\"tool_calls\":[{\"function\":{\"name\":\"f\"}}]}}",
         "{\"message\":{\"thinking\":\"@\"}}",
         "{\"message\":{\"content\":\"@\",\"thinking\":\"t\"}}",
         "{\"message\":{\"content\":\"@\"},\"done\":true}",
         "{\"error\":\"@\"}",
     }},
    {&dialect_openai_responses,
     "response.output_text.delta",
     {"{\"type\":\"response.created\",\"response\":{\"id\":\"r\",\"model\":\"m\"}}"},
     {
         "{\"type\":\"response.output_text.delta\",\"output_index\":0,\"delta\":\"@\"}",
         "{\"type\":\"response.output_text.delta\",\"item_id\":\"i\",\"delta\":\"@\"}",
         "{\"type\":\"response.output_text.delta\",\"item_id\":\"@\",\"delta\":\"@\"}",
         "{\"output_index\":0,\"delta\":\"@\"}",
         "{\"type\":\"response.refusal.delta\",\"output_index\":0,\"delta\":\"@\"}",
         "{\"type\":\"response.reasoning_text.delta\",\"output_index\":1,\"delta\":\"@\"}",
         "{\"type\":\"response.output_item.done\",\"output_index\":2,\"item\":{\"type\":"
         "\"message\","
         "\"content\":[{\"text\":\"@\"}]}}",
         "{\"type\":\"response.output_item.done\",\"output_index\":0,\"item\":{\"type\":"
         "\"message\"}}",
         "{\"type\":\"@\",\"output_index\":0,\"delta\":\"x\"}",
     }},
};
enum { SAMPLE_COUNT = sizeof samples / sizeof samples[0] };

/* What is put into the hole: harmless, awkward, and what pretends to be the frame's own bytes. */
static const char *const texts[] = {
    "word",       " two words",
    "a",          "x",
    "content",    "text",
    "text_delta", ":",
    ",",          "},{",
    "m",          "0",
    "",           "\\n",
    "\\\"",       "\\\\",
    "\\u00e9",    "\xC3\xA9",
    "\xC3",       "\xED\xA0\x80",
    "\x01",       "\n",
    "\x7F",       "\"",
    "\\",         "a\",\"b\":\"c",
    "\\u0000",    "\xF0\x9F\x98\x80",
    "[DONE]",     "error",
    "tool_calls", "x\",\"content\":\"y",
    "a\\",        "null",
};
enum { TEXT_COUNT = sizeof texts / sizeof texts[0] };

static void fill(const char *frame, const char *text, struct buf *out)
{
    buf_clear(out);
    for (; *frame; frame++) {
        if (*frame == '@')
            buf_append(out, str_from_cstr(text));
        else
            buf_append_char(out, *frame);
    }
}

static void add_head(struct pair *pair, const struct sample *sample)
{
    for (size_t i = 0; i < 3 && sample->head[i]; i++)
        pair_add(pair, STR(""), str_from_cstr(sample->head[i]));
}

static void add_frame(struct pair *pair, const char *type, const char *frame, const char *text)
{
    struct buf filled;
    buf_init(&filled, SIZE_MAX);
    fill(frame, text, &filled);
    pair_add(pair, str_from_cstr(type), buf_str(&filled));
    buf_done(&filled);
}

static size_t frame_count(const struct sample *sample)
{
    size_t count = 0;
    while (count < 24 && sample->frames[count])
        count++;
    return count;
}

/* ---- Tests ----------------------------------------------------------------------------------- */

/* Each dialect's plain frame is relied on from the third on, also behind one with an escape. */
static void test_frames_of_one_shape_are_cut(void **state)
{
    (void)state;
    for (size_t i = 0; i < SAMPLE_COUNT; i++) {
        const struct sample *sample = &samples[i];
        struct pair pair;
        pair_begin(&pair, sample->dialect);
        add_head(&pair, sample);
        const char *const words[] = {"one", "two", "three", "\xC3\xA9", "li\\nes", "five", "six"};
        for (size_t k = 0; k < 7; k++)
            add_frame(&pair, sample->type, sample->frames[0], words[k]);
        assert_int_equal(pair.sure, 5);
        pair_end(&pair);
    }
}

/* Every frame with every text, three times, behind a stream whose shape is relied on. */
static void test_every_frame_with_every_text(void **state)
{
    (void)state;
    for (size_t i = 0; i < SAMPLE_COUNT * TEXT_COUNT; i++) {
        const struct sample *sample = &samples[i / TEXT_COUNT];
        for (size_t k = 0; k < frame_count(sample); k++) {
            struct pair pair;
            pair_begin(&pair, sample->dialect);
            add_head(&pair, sample);
            for (size_t n = 0; n < 3; n++)
                add_frame(&pair, sample->type, sample->frames[0], "so");
            for (size_t n = 0; n < 3; n++)
                add_frame(&pair, sample->type, sample->frames[k], texts[i % TEXT_COUNT]);
            add_frame(&pair, sample->type, sample->frames[k], "end");
            add_frame(&pair, sample->type, sample->frames[0], "end");
            pair_end(&pair);
        }
    }
}

/* Frames in any order; likely the same for a while, as in a stream. */
static void test_random_streams(void **state)
{
    (void)state;
    struct random random;
    random_init(&random, 7);
    for (size_t i = 0; i < 4000; i++) {
        const struct sample *sample = &samples[random_below(&random, SAMPLE_COUNT)];
        const char *frame = sample->frames[0], *type = sample->type;
        size_t length = random_below(&random, 30);
        struct pair pair;
        pair_begin(&pair, sample->dialect);
        if (random_below(&random, 4))
            add_head(&pair, sample);
        for (size_t k = 0; k < length; k++) {
            if (random_below(&random, 3) == 0)
                frame = sample->frames[random_below(&random, frame_count(sample))];
            if (random_below(&random, 10) == 0)
                type = random_below(&random, 3) ? sample->type : "error";
            uint64_t range = random_below(&random, 2) ? TEXT_COUNT : 4;
            add_frame(&pair, type, frame, texts[random_below(&random, range)]);
        }
        pair_end(&pair);
    }
}

/* A shape that does not come again is not looked for forever; a frame too large is not kept. */
static void test_what_is_not_kept(void **state)
{
    (void)state;
    struct pair pair;
    struct buf large;
    buf_init(&large, SIZE_MAX);
    pair_begin(&pair, &dialect_openai_chat);
    add_head(&pair, &samples[0]);
    buf_printf(&large, "{\"x\":\"%0800d\",\"choices\":[{\"delta\":{\"content\":\"@\"}}]}", 0);
    buf_append_char(&large, '\0');
    for (size_t i = 0; i < 4; i++)
        add_frame(&pair, "", large.data, "word");
    assert_int_equal(pair.shape.frames, 0);
    for (int i = 0; i < 20; i++) {
        buf_clear(&large);
        buf_printf(&large, "{\"at\":%d,\"choices\":[{\"delta\":{\"content\":\"@\"}}]}", i);
        buf_append_char(&large, '\0');
        add_frame(&pair, "", large.data, "word");
        assert_int_equal(pair.shape.frames, i < 4); /* with those before: eight */
    }
    buf_done(&large);
    pair_end(&pair);
}

/* What looks like the text's place and is not: the same word elsewhere, or spelled in another way. */
static void test_the_place_is_the_texts_own(void **state)
{
    static const char *const frames[] = {
        CHAT("\"name\":\"@\",\"content\":\"word\""),
        CHAT("\"@\":0,\"content\":\"word\""),
        CHAT("\"name\":\"@\",\"content\":\"\\u0077ord\""),
        CHAT("\"content\":\"word\",\"content\":\"@\""),
    };
    (void)state;
    for (size_t i = 0; i < sizeof frames / sizeof frames[0]; i++) {
        struct pair pair;
        pair_begin(&pair, &dialect_openai_chat);
        add_head(&pair, &samples[0]);
        add_frame(&pair, "", frames[i], "word");
        add_frame(&pair, "", frames[i], "word");
        add_frame(&pair, "", frames[i], "other");
        pair_end(&pair);
    }
}

/* The type of the event is part of its shape. */
static void test_another_type_is_another_shape(void **state)
{
    (void)state;
    struct pair pair;
    pair_begin(&pair, &dialect_openai_chat);
    add_head(&pair, &samples[0]);
    for (size_t i = 0; i < 3; i++)
        add_frame(&pair, "", samples[0].frames[0], "word");
    add_frame(&pair, "error", samples[0].frames[0], "word");
    add_frame(&pair, "", samples[0].frames[0], "word");
    pair_end(&pair);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_frames_of_one_shape_are_cut),
        cmocka_unit_test(test_every_frame_with_every_text),
        cmocka_unit_test(test_random_streams),
        cmocka_unit_test(test_what_is_not_kept),
        cmocka_unit_test(test_the_place_is_the_texts_own),
        cmocka_unit_test(test_another_type_is_another_shape),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
