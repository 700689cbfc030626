/* OpenAI Responses: the laws, golden bytes, the strict door, errors. */
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#include "base/json.h"
#include "law.h"

static const struct dialect *const dialect = &dialect_openai_responses;
enum { SEEDS = 2000 };

static const struct dialect_target targets[] = {
    {.model = {"gpt-6-sol", 9}},
    {.model = {"some-model", 10}, .quirks = LLM_QUIRK_STORE_FALSE},
    {.model = {"clone", 5}, .quirks = LLM_QUIRK_NO_DEVELOPER_ROLE | LLM_QUIRK_NO_SAMPLING},
};

static void requests_come_back(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < SEEDS; seed++)
        for (size_t i = 0; i < sizeof targets / sizeof targets[0]; i++)
            law_request_roundtrip(dialect, &targets[i], seed);
}

static void responses_come_back(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < SEEDS; seed++)
        law_response_roundtrip(dialect, seed);
}

static void streams_come_back(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < SEEDS; seed++)
        law_stream_roundtrip(dialect, seed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_come_back),
        cmocka_unit_test(responses_come_back),
        cmocka_unit_test(streams_come_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
