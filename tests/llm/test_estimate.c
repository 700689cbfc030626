/* Estimates: within bounds of known counts, pieces like the whole, and what a request adds. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/random.h"
#include "llm/estimate.h"

/* Counted with o200k_base (npm gpt-tokenizer 4.0.0). */
static const struct sample {
    const char *text;
    int64_t tokens;
} samples[] = {
    {"The town was still wrapped in fog when the first train of the day slowly pulled into the "
     "station. Nobody said a word, and yet one had the feeling that everyone was thinking the "
     "same thing: it was going to be a long day.",
     48},
    {"Die Stadt lag noch im Nebel, als der erste Zug des Tages langsam in den Bahnhof einfuhr. "
     "Niemand sprach ein Wort, und doch hatte man das Gefühl, dass alle dasselbe dachten: Es "
     "würde ein langer Tag werden.",
     48},
    {"清晨的城市还笼罩在薄雾之中,第一班列车缓缓驶入车站。没有人说话,但是每个人似乎都在想同一件事情"
     ":今天将会是漫长的一天。",
     53},
    {"static int largest(const int *values, size_t count)\n{\n    int found = values[0];\n"
     "    for (size_t i = 1; i < count; i++)\n        if (values[i] > found)\n"
     "            found = values[i];\n    return found;\n}\n",
     57},
    {"{\"model\":\"gpt-5.5\",\"messages\":[{\"role\":\"user\",\"content\":\"Hello, who are you?\"}"
     "],\"temperature\":0.7,\"max_tokens\":256,\"stream\":true,\"stop\":[\"\\n\\n\",\"END\"]}",
     51},
    {"Город ещё был окутан туманом, когда первый поезд медленно подошёл к вокзалу. Никто не "
     "говорил ни слова.",
     30},
};
enum { SAMPLE_COUNT = sizeof samples / sizeof samples[0] };

static void samples_are_within_a_fifth(void **state)
{
    (void)state;
    for (size_t i = 0; i < SAMPLE_COUNT; i++) {
        int64_t tokens = llm_estimate_text(str_from_cstr(samples[i].text));
        assert_in_range(tokens * 100, samples[i].tokens * 80, samples[i].tokens * 120);
    }
}

static void nothing_is_nothing_and_little_is_something(void **state)
{
    (void)state;
    assert_int_equal(llm_estimate_text(STR_NONE), 0);
    assert_int_equal(llm_estimate_text(STR("")), 0);
    assert_int_equal(llm_estimate_text(STR("a")), 1);
    assert_in_range(llm_estimate_text(STR("Hello")), 1, 2);
    assert_in_range(llm_estimate_text(STR("\xF0\x9F\x98\x80")), 1, 3);
}

static void pieces_add_up_to_the_whole(void **state)
{
    (void)state;
    for (size_t i = 0; i < SAMPLE_COUNT; i++) {
        struct str text = str_from_cstr(samples[i].text);
        for (size_t step = 1; step < 20; step++) {
            struct llm_estimate estimate = {0};
            for (size_t at = 0; at < text.len; at += step) {
                llm_estimate_add(&estimate, str_slice(text, at, step));
                llm_estimate_add(&estimate, STR_NONE);
            }
            assert_int_equal(llm_estimate_tokens(&estimate), llm_estimate_text(text));
        }
    }
}

/* Plain ASCII for long stretches, bytes of other scripts in between, or anything. */
static char any_byte(struct random *random, int round)
{
    static const char mixed[] = "etaoin  ETA 0123.,;\n\t\x7f~{";
    if (round % 4 == 0)
        return (char)random_below(random, 256);
    if (round % 4 == 1 && random_below(random, 40) == 0)
        return (char)(0x80 + random_below(random, 0x80));
    return round % 4 == 2 ? mixed[random_below(random, sizeof mixed)]
                          : (char)random_below(random, 0x80);
}

/* 32 bytes are counted at once where the processor can, and one by one here. */
static void every_length_counts_as_its_bytes_do(void **state)
{
    (void)state;
    struct random random;
    random_init(&random, 11);
    for (int round = 0; round < 4000; round++) {
        size_t size = (size_t)round / 4 % 200 + 1, cut = (size_t)random_below(&random, size);
        char *bytes = malloc(size);
        struct llm_estimate one_by_one = {0}, pieces = {0};
        for (size_t i = 0; i < size; i++) {
            bytes[i] = any_byte(&random, round);
            llm_estimate_add(&one_by_one, STR_FROM(bytes + i, 1));
        }
        llm_estimate_add(&pieces, STR_FROM(bytes, cut));
        llm_estimate_add(&pieces, STR_FROM(bytes + cut, size - cut));
        assert_int_equal(pieces.parts, one_by_one.parts);
        assert_int_equal(pieces.previous, one_by_one.previous);
        free(bytes);
    }
}

/* Each two bytes of ASCII behind each other, at the border of 32 and inside. */
static void every_pair_counts_the_same_at_once(void **state)
{
    (void)state;
    char bytes[66];
    for (int first = 0; first < 0x80; first++)
        for (int second = 0; second < 0x80; second++) {
            struct llm_estimate one_by_one = {0}, whole = {0};
            for (size_t i = 0; i < sizeof bytes; i++) {
                bytes[i] = (char)(i % 3 ? second : first);
                llm_estimate_add(&one_by_one, STR_FROM(bytes + i, 1));
            }
            llm_estimate_add(&whole, STR_FROM(bytes, sizeof bytes));
            assert_int_equal(whole.parts, one_by_one.parts);
        }
}

static void any_bytes_cost_at_most_two_tokens_each(void **state)
{
    (void)state;
    struct random random;
    char bytes[512];
    random_init(&random, 7);
    for (int round = 0; round < 200; round++) {
        for (size_t i = 0; i < sizeof bytes; i++)
            bytes[i] = (char)random_below(&random, 256);
        assert_in_range(llm_estimate_text(STR_FROM(bytes, sizeof bytes)), 1, 2 * sizeof bytes);
    }
}

/* ---- Requests -------------------------------------------------------------------------------- */

/* What a request with just this part is estimated at, beyond one with an empty text. */
static int64_t cost_of(struct llm_part part)
{
    struct llm_part empty = {.kind = LLM_PART_TEXT};
    struct llm_message message = {.role = LLM_USER, .parts = &empty, .part_count = 1};
    struct llm_request request = {.messages = &message, .message_count = 1};
    int64_t without = llm_estimate_request(&request);
    message.parts = &part;
    return llm_estimate_request(&request) - without;
}

static void every_part_counts(void **state)
{
    (void)state;
    struct str text = str_from_cstr(samples[0].text);
    int64_t tokens = llm_estimate_text(text);
    struct llm_part result_text = {.kind = LLM_PART_TEXT, .text = text};
    assert_int_equal(cost_of(result_text), tokens);
    assert_int_equal(cost_of((struct llm_part){.kind = LLM_PART_REASONING, .text = text}), tokens);
    assert_int_equal(cost_of((struct llm_part){.kind = LLM_PART_REFUSAL, .text = text}), tokens);
    assert_in_range(cost_of((struct llm_part){.kind = LLM_PART_TOOL_CALL, .arguments = text}),
                    tokens + 1, tokens + 10);
    assert_in_range(cost_of((struct llm_part){
                        .kind = LLM_PART_TOOL_RESULT, .content = &result_text, .content_count = 1}),
                    tokens + 1, tokens + 10);
}

static struct llm_part media(enum llm_part_kind kind, const char *mime, struct str data)
{
    return (struct llm_part){.kind = kind, .media = {.mime = str_from_cstr(mime), .data = data}};
}

static void media_cost_an_allowance_or_their_size(void **state)
{
    (void)state;
    static char base64[4000000];
    memset(base64, 'A', sizeof base64);
    struct str large = STR_FROM(base64, sizeof base64), small = STR_FROM(base64, 4000);
    struct llm_part image = media(LLM_PART_IMAGE, "image/png", large);
    assert_in_range(cost_of(image), 500, 2000); /* its bytes say nothing */
    image.media.detail = STR("low");
    assert_in_range(cost_of(image), 50, 100);
    assert_in_range(cost_of(media(LLM_PART_DOCUMENT, "text/plain", small)), 700, 800);
    assert_in_range(cost_of(media(LLM_PART_DOCUMENT, "application/pdf", small)), 1000, 3000);
    assert_in_range(cost_of(media(LLM_PART_DOCUMENT, "application/pdf", large)), 50000, 100000);
    assert_in_range(cost_of(media(LLM_PART_DOCUMENT, "", STR_NONE)), 1000, 3000);
    assert_in_range(cost_of(media(LLM_PART_AUDIO, "audio/wav", large)), 2000, 4000);
}

static void tools_and_schemas_count(void **state)
{
    (void)state;
    struct str schema = str_from_cstr(samples[4].text);
    struct llm_tool tool = {
        .name = STR("look_up"), .description = STR("Looks it up."), .schema = schema};
    struct llm_request request = {0};
    int64_t empty = llm_estimate_request(&request);
    assert_in_range(empty, 0, 10);
    request.tools = &tool;
    request.tool_count = 1;
    int64_t with_tool = llm_estimate_request(&request);
    assert_true(with_tool >= empty + llm_estimate_text(schema) + 8);
    request.format_schema = schema;
    assert_true(llm_estimate_request(&request) >= with_tool + llm_estimate_text(schema) - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(samples_are_within_a_fifth),
        cmocka_unit_test(nothing_is_nothing_and_little_is_something),
        cmocka_unit_test(pieces_add_up_to_the_whole),
        cmocka_unit_test(every_length_counts_as_its_bytes_do),
        cmocka_unit_test(every_pair_counts_the_same_at_once),
        cmocka_unit_test(any_bytes_cost_at_most_two_tokens_each),
        cmocka_unit_test(every_part_counts),
        cmocka_unit_test(media_cost_an_allowance_or_their_size),
        cmocka_unit_test(tools_and_schemas_count),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
