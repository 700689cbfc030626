/* Traits: what is known of models, what a request needs, and whether the two fit. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "llm/estimate.h"
#include "llm/traits.h"

static struct llm_traits find(const char *kind, const char *model, int64_t listed)
{
    struct llm_traits traits;
    memset(&traits, 0x55, sizeof traits);
    const struct provider_kind *row = provider_kind_find(str_from_cstr(kind));
    assert_non_null(row);
    llm_traits_find(row, str_from_cstr(model), listed, &traits);
    return traits;
}

static void known_models_have_traits(void **state)
{
    (void)state;
    struct llm_traits traits = find("anthropic", "claude-opus-5-5", 0);
    assert_int_equal(traits.context_tokens, 1000000);
    assert_int_equal(traits.output_tokens_max, 128000);
    assert_int_equal(traits.images, LLM_TRUE);
    assert_int_equal(traits.audio, LLM_FALSE);
    assert_int_equal(traits.tools, LLM_TRUE);
    assert_int_equal(find("openrouter", "openai/gpt-5.5-2026-05-01", 0).context_tokens, 1050000);
    assert_int_equal(find("deepseek", "deepseek-v4-pro", 0).images, LLM_FALSE);
    assert_int_equal(find("gemini", "gemini-2.5-flash", 0).audio, LLM_TRUE);
    /* What the provider lists wins. */
    assert_int_equal(find("openrouter", "openai/gpt-5.5", 200000).context_tokens, 200000);
}

static void unknown_models_forbid_nothing(void **state)
{
    (void)state;
    struct llm_traits traits = find("openai-compatible", "my-own-model", 0);
    assert_int_equal(traits.context_tokens, 0);
    assert_int_equal(traits.output_tokens_max, 0);
    assert_int_equal(traits.images, LLM_UNSET);
    assert_int_equal(traits.documents, LLM_UNSET);
    assert_int_equal(traits.audio, LLM_UNSET);
    assert_int_equal(traits.tools, LLM_UNSET);
    assert_int_equal(traits.prefill, LLM_UNSET);
    struct llm_needs needs = {1000000000, 1000000000, true, true, true, true};
    assert_true(llm_traits_fit(&traits, &needs, NULL));
    assert_int_equal(find("openai-compatible", "my-own-model", 4096).context_tokens, 4096);
}

static void prefill_is_for_older_claude_only(void **state)
{
    (void)state;
    assert_int_equal(find("anthropic", "claude-haiku-4-5", 0).prefill, LLM_TRUE);
    assert_int_equal(find("anthropic", "claude-haiku-4-5-20251001", 0).prefill, LLM_TRUE);
    assert_int_equal(find("anthropic", "claude-sonnet-4-20250514", 0).prefill, LLM_TRUE);
    assert_int_equal(find("anthropic", "claude-3-5-sonnet-latest", 0).prefill, LLM_TRUE);
    assert_int_equal(find("anthropic", "claude-sonnet-4-6", 0).prefill, LLM_FALSE);
    assert_int_equal(find("anthropic", "claude-opus-5-5", 0).prefill, LLM_FALSE);
    assert_int_equal(find("anthropic", "claude-sonnet-5-5", 0).prefill, LLM_FALSE);
    assert_int_equal(find("anthropic", "claude-next", 0).prefill, LLM_UNSET);
    assert_int_equal(find("openrouter", "anthropic/claude-haiku-4.5", 0).prefill, LLM_UNSET);
    assert_int_equal(find("openai", "gpt-5.5", 0).prefill, LLM_FALSE);
    assert_int_equal(find("gemini", "gemini-2.5-pro", 0).prefill, LLM_UNSET);
    assert_int_equal(find("ollama", "llama3.2:3b", 0).prefill, LLM_UNSET);
    assert_int_equal(find("parley", "eliza", 0).prefill, LLM_FALSE);
}

static void what_a_form_has_no_place_for_no_model_gets(void **state)
{
    (void)state;
    assert_int_equal(find("ollama", "anything", 0).documents, LLM_FALSE);
    assert_int_equal(find("ollama", "anything", 0).audio, LLM_FALSE);
    assert_int_equal(find("ollama", "anything", 0).images, LLM_UNSET);
    assert_int_equal(find("anthropic", "anything", 0).audio, LLM_FALSE);
    assert_int_equal(find("openai-responses", "anything", 0).audio, LLM_FALSE);
    assert_int_equal(find("openai", "anything", 0).audio, LLM_UNSET);
}

/* ---- Needs ----------------------------------------------------------------------------------- */

static struct llm_needs needs_of_part(struct llm_part part)
{
    struct llm_message message = {.role = LLM_USER, .parts = &part, .part_count = 1};
    struct llm_request request = {.messages = &message, .message_count = 1};
    struct llm_needs needs;
    memset(&needs, 0x55, sizeof needs);
    llm_needs_of(&request, &needs);
    assert_int_equal(needs.input_tokens, llm_estimate_request(&request));
    assert_int_equal(needs.output_tokens, 0);
    assert_false(needs.tools);
    return needs;
}

static void media_are_needed_wherever_they_stand(void **state)
{
    (void)state;
    struct llm_needs needs = needs_of_part((struct llm_part){.kind = LLM_PART_TEXT});
    assert_false(needs.images || needs.documents || needs.audio);
    needs = needs_of_part((struct llm_part){.kind = LLM_PART_IMAGE});
    assert_true(needs.images && !needs.documents && !needs.audio);
    needs = needs_of_part((struct llm_part){.kind = LLM_PART_AUDIO});
    assert_true(!needs.images && !needs.documents && needs.audio);
    struct llm_part inner[] = {{.kind = LLM_PART_TEXT}, {.kind = LLM_PART_DOCUMENT}};
    needs = needs_of_part(
        (struct llm_part){.kind = LLM_PART_TOOL_RESULT, .content = inner, .content_count = 2});
    assert_true(!needs.images && needs.documents && !needs.audio);
}

static void tools_and_answers_are_needed(void **state)
{
    (void)state;
    struct llm_tool tool = {.name = STR("f")};
    struct llm_request request = {
        .tools = &tool, .tool_count = 1, .max_output_tokens = {true, 5000}};
    struct llm_needs needs;
    llm_needs_of(&request, &needs);
    assert_true(needs.tools);
    assert_int_equal(needs.output_tokens, 5000);
    request.max_output_tokens.value = -5; /* nobody's need */
    llm_needs_of(&request, &needs);
    assert_int_equal(needs.output_tokens, 0);
}

/* ---- Fitting --------------------------------------------------------------------------------- */

static void assert_lacks(const struct llm_traits *traits, struct llm_needs needs, const char *lacks)
{
    const char *found = "unset";
    assert_int_equal(llm_traits_fit(traits, &needs, &found), lacks == NULL);
    assert_int_equal(llm_traits_fit(traits, &needs, NULL), lacks == NULL);
    if (lacks)
        assert_string_equal(found, lacks);
    else
        assert_null(found);
}

static void what_lacks_is_said(void **state)
{
    (void)state;
    struct llm_traits traits = {.context_tokens = 8192,
                                .output_tokens_max = 4096,
                                .images = LLM_FALSE,
                                .documents = LLM_FALSE,
                                .audio = LLM_FALSE,
                                .tools = LLM_FALSE};
    assert_lacks(&traits, (struct llm_needs){.input_tokens = 8192, .output_tokens = 4096}, NULL);
    assert_lacks(&traits, (struct llm_needs){.images = true}, "images");
    assert_lacks(&traits, (struct llm_needs){.documents = true}, "documents");
    assert_lacks(&traits, (struct llm_needs){.audio = true}, "audio");
    assert_lacks(&traits, (struct llm_needs){.tools = true}, "tools");
    /* An estimate may be a quarter too high: what may fit is tried. */
    assert_lacks(&traits, (struct llm_needs){.input_tokens = 10922}, NULL);
    assert_lacks(&traits, (struct llm_needs){.input_tokens = 10924}, "a context of 16384 tokens");
    assert_lacks(&traits, (struct llm_needs){.input_tokens = 150000}, "a context of 200000 tokens");
    assert_lacks(&traits, (struct llm_needs){.input_tokens = INT64_MAX},
                 "a context of more than 1000000 tokens");
    /* Who asks for more than the model writes gets less: nothing is lacking. */
    assert_lacks(&traits, (struct llm_needs){.output_tokens = 4097}, NULL);
    traits.images = LLM_TRUE;
    assert_lacks(&traits, (struct llm_needs){.images = true}, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(known_models_have_traits),
        cmocka_unit_test(unknown_models_forbid_nothing),
        cmocka_unit_test(prefill_is_for_older_claude_only),
        cmocka_unit_test(what_a_form_has_no_place_for_no_model_gets),
        cmocka_unit_test(media_are_needed_wherever_they_stand),
        cmocka_unit_test(tools_and_answers_are_needed),
        cmocka_unit_test(what_lacks_is_said),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
