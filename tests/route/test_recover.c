/* Recovering: what another target is asked, and that the caller's own request stays as it was. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/utf8.h"
#include "llm/estimate.h"
#include "route/recover.h"

enum { ARENA_BYTES_MAX = 1 << 20 };

struct fixture {
    struct arena *arena;
    struct llm_part parts[4];
    struct llm_message messages[3];
    struct llm_request request;
    struct llm_request before; /* as it was */
};

static void fixture_init(struct fixture *f)
{
    *f = (struct fixture){.arena = arena_new(ARENA_BYTES_MAX)};
    f->parts[0] = (struct llm_part){.kind = LLM_PART_TEXT, .text = STR("Be brief.")};
    f->parts[1] = (struct llm_part){.kind = LLM_PART_TEXT, .text = STR("Tell a story.")};
    f->parts[2] = (struct llm_part){.kind = LLM_PART_TEXT, .text = STR("Once upon")};
    f->messages[0] = (struct llm_message){LLM_SYSTEM, STR_NONE, &f->parts[0], 1};
    f->messages[1] = (struct llm_message){LLM_USER, STR_NONE, &f->parts[1], 1};
    f->messages[2] = (struct llm_message){LLM_ASSISTANT, STR_NONE, &f->parts[2], 1};
    f->request = (struct llm_request){.model = STR("m"),
                                      .messages = f->messages,
                                      .message_count = 2,
                                      .temperature = {true, 0.5},
                                      .stream = true};
    f->before = f->request;
}

static void fixture_done(struct fixture *f)
{
    assert_memory_equal(&f->request, &f->before, sizeof f->before);
    assert_true(str_eq(f->parts[2].text, STR("Once upon")));
    arena_free(f->arena);
}

static void assert_text(const struct llm_message *message, enum llm_role role, struct str text)
{
    assert_int_equal(message->role, role);
    assert_int_equal(message->part_count, 1);
    assert_int_equal(message->parts[0].kind, LLM_PART_TEXT);
    assert_true(str_eq(message->parts[0].text, text));
}

static void whole_answers_are_asked_as_before(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    assert_ptr_equal(recover_request(f.arena, &f.request, ROUTE_WHOLE, STR("text")), &f.request);
    assert_ptr_equal(recover_request(f.arena, &f.request, ROUTE_SPLICE, STR("text")), &f.request);
    fixture_done(&f);
}

static void prefill_ends_with_the_partial_answer(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    const struct llm_request *request =
        recover_request(f.arena, &f.request, ROUTE_PREFILL, STR(" It was a dark \n"));
    assert_int_equal(request->message_count, 3);
    assert_text(&request->messages[0], LLM_SYSTEM, STR("Be brief."));
    assert_ptr_equal(request->messages[1].parts, &f.parts[1]); /* shared */
    assert_text(&request->messages[2], LLM_ASSISTANT, STR(" It was a dark"));
    assert_true(request->stream && request->temperature.is_set);
    assert_true(str_eq(request->model, STR("m")));
    fixture_done(&f);
}

static void continue_quotes_the_last_words(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    const struct llm_request *request =
        recover_request(f.arena, &f.request, ROUTE_CONTINUE, STR("It was a dark "));
    assert_int_equal(request->message_count, 4);
    assert_text(&request->messages[2], LLM_ASSISTANT, STR("It was a dark "));
    assert_int_equal(request->messages[3].role, LLM_USER);
    struct str asked = request->messages[3].parts[0].text;
    assert_true(str_ends_with(asked, STR("\n\nIt was a dark ")));
    assert_true(str_starts_with(asked, STR("Your answer was cut off.")));
    fixture_done(&f);
}

/* At most 200 bytes, whole characters. */
static void quotes_are_short_and_whole(void **state)
{
    (void)state;
    struct buf partial;
    buf_init(&partial, 10000);
    for (int length = 0; length < 120; length++) {
        struct fixture f;
        fixture_init(&f);
        buf_append(&partial, length % 3 ? STR("\xE2\x82\xAC") : STR("\xC3\xA9"));
        const struct llm_request *request =
            recover_request(f.arena, &f.request, ROUTE_CONTINUE, buf_str(&partial));
        struct str asked = request->messages[3].parts[0].text;
        struct str quoted = str_skip(asked, str_find(asked, STR(":\n\n")) + 3);
        assert_true(utf8_valid(quoted, NULL));
        assert_true(str_ends_with(buf_str(&partial), quoted));
        assert_in_range(quoted.len, partial.len < 198 ? partial.len : 198, 200);
        fixture_done(&f);
    }
    buf_done(&partial);
}

static void a_begun_answer_is_extended(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    f.request.message_count = f.before.message_count = 3;
    const struct llm_request *request =
        recover_request(f.arena, &f.request, ROUTE_PREFILL, STR(" a time, \n"));
    assert_int_equal(request->message_count, 3);
    assert_text(&request->messages[2], LLM_ASSISTANT, STR("Once upon a time,"));
    request = recover_request(f.arena, &f.request, ROUTE_CONTINUE, STR(" a time, "));
    assert_int_equal(request->message_count, 4);
    assert_text(&request->messages[2], LLM_ASSISTANT, STR("Once upon a time, "));
    assert_int_equal(request->messages[3].role, LLM_USER);
    fixture_done(&f);
}

/* Parts that must not be touched: a call, a text with a signature; none at all. */
static void a_begun_answer_keeps_its_parts(void **state)
{
    (void)state;
    struct llm_opaque signature = {.kind = STR("signature"), .data = STR("x")};
    for (int round = 0; round < 3; round++) {
        struct fixture f;
        fixture_init(&f);
        f.request.message_count = f.before.message_count = 3;
        f.messages[2].part_count = round < 2;
        if (round == 0)
            f.parts[2].kind = LLM_PART_TOOL_CALL;
        f.parts[2].opaque = &signature;
        f.parts[2].opaque_count = round == 1;
        const struct llm_request *request =
            recover_request(f.arena, &f.request, ROUTE_PREFILL, STR(" a time"));
        const struct llm_message *last = &request->messages[2];
        assert_int_equal(request->message_count, 3);
        assert_int_equal(last->part_count, f.messages[2].part_count + 1);
        if (round < 2)
            assert_memory_equal(&last->parts[0], &f.parts[2], sizeof f.parts[2]);
        assert_true(str_eq(last->parts[last->part_count - 1].text, STR(" a time")));
        fixture_done(&f);
    }
}

static void the_output_limit_is_lowered(void **state)
{
    (void)state;
    static const enum route_mode modes[] = {ROUTE_PREFILL, ROUTE_CONTINUE};
    struct str partial = STR("It was a dark and stormy night, and nobody was out.");
    for (size_t i = 0; i < 2; i++) {
        struct fixture f;
        fixture_init(&f);
        const struct llm_request *request = recover_request(f.arena, &f.request, modes[i], partial);
        assert_false(request->max_output_tokens.is_set);
        f.request.max_output_tokens = f.before.max_output_tokens = (struct llm_int){true, 100};
        request = recover_request(f.arena, &f.request, modes[i], partial);
        assert_int_equal(request->max_output_tokens.value, 100 - llm_estimate_text(partial));
        assert_in_range(request->max_output_tokens.value, 80, 95);
        f.request.max_output_tokens = f.before.max_output_tokens = (struct llm_int){true, 3};
        request = recover_request(f.arena, &f.request, modes[i], partial);
        assert_int_equal(request->max_output_tokens.value, 1);
        fixture_done(&f);
    }
}

static void white_space_is_nothing_to_continue(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    assert_ptr_equal(recover_request(f.arena, &f.request, ROUTE_PREFILL, STR("")), &f.request);
    assert_ptr_equal(recover_request(f.arena, &f.request, ROUTE_CONTINUE, STR(" \n")), &f.request);
    fixture_done(&f);
}

/* A text may hold any character. */
static void zero_bytes_are_kept(void **state)
{
    (void)state;
    struct fixture f;
    fixture_init(&f);
    f.request.message_count = f.before.message_count = 3;
    const struct llm_request *request =
        recover_request(f.arena, &f.request, ROUTE_CONTINUE, STR("a\0b"));
    assert_text(&request->messages[2], LLM_ASSISTANT, STR("Once upona\0b"));
    assert_true(str_ends_with(request->messages[3].parts[0].text, STR("a\0b")));
    fixture_done(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_answers_are_asked_as_before),
        cmocka_unit_test(prefill_ends_with_the_partial_answer),
        cmocka_unit_test(continue_quotes_the_last_words),
        cmocka_unit_test(quotes_are_short_and_whole),
        cmocka_unit_test(a_begun_answer_is_extended),
        cmocka_unit_test(a_begun_answer_keeps_its_parts),
        cmocka_unit_test(the_output_limit_is_lowered),
        cmocka_unit_test(white_space_is_nothing_to_continue),
        cmocka_unit_test(zero_bytes_are_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
