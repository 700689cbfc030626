/* The list of faults that a router must cope with, and what it means to cope with each. */
#include "app/selftest.h"

#define WELL "count-6"

const char *const selftest_dialects[SELFTEST_DIALECTS] = {"openai", "anthropic", "gemini",
                                                          "ollama"};

const struct selftest_fault selftest_faults[] = {
    {.name = "429 with Retry-After once", .first = "429-after-1+then+" WELL},
    {.name = "429 for ever, without Retry-After", .first = "429"},
    {.name = "one 500", .first = "500+then+" WELL},
    {.name = "503 for ever", .first = "503"},
    {.name = "reset before headers", .first = "reset"},
    {.name = "silence", .first = "silent"},
    {.name = "silence behind the opening", .first = "stall-0"},
    {.name = "pings, but no content", .first = "pings-20"},
    {.name = "first token late", .first = WELL "+late-", .is_late = true},
    {.name = "headers without end", .first = "endless-headers"},
    {.name = "a line without end", .first = "huge-line"},
    {.name = "HTML in place of an answer", .first = "garbage"},
    {.name = "JSON in place of a stream",
     .first = WELL "+json-instead-of-stream",
     .streamed_only = true},
    {.name = "cut mid-answer", .first = "cut-3", .rung = ROUTE_SPLICE},
    {.name = "reset mid-answer", .first = "reset-3", .rung = ROUTE_SPLICE},
    {.name = "stall mid-answer", .first = "stall-3", .rung = ROUTE_SPLICE},
    {.name = "error mid-answer", .first = "error-3", .rung = ROUTE_SPLICE},
    {.name = "stall, the other one continues it",
     .first = "stall-3",
     .second = "claude-haiku-4-5:" WELL "+prefills",
     .streamed_only = true,
     .second_is_anthropic = true,
     .rung = ROUTE_PREFILL},
    {.name = "stall, the other one rejects a prefill",
     .first = "stall-3",
     .second = "claude-haiku-4-5:" WELL "+rejects-prefill",
     .streamed_only = true,
     .second_is_anthropic = true,
     .rung = ROUTE_SPLICE},
    {.name = "stall, the other one says it otherwise",
     .first = "stall-3",
     .second = WELL "+differs-2+continues",
     .streamed_only = true,
     .rung = ROUTE_CONTINUE},
    {.name = "no finish at all", .first = WELL "+no-finish", .rung = ROUTE_SPLICE},
    {.name = "no final sentinel", .first = WELL "+no-sentinel", .rung = ROUTE_SPLICE},
    {.name = "one malformed event", .first = WELL "+malformed-2", .expected = SELFTEST_TOLERATED},
    {.name = "UTF-8 split everywhere",
     .first = "unicode-split",
     .second = "unicode",
     .text = "Gr\u00fc\u00dfe, \u4e16\u754c! \u041f\u0440\u0438\u0432\u0435\u0442 \U0001f30d "
             "\u05e9\u05dc\u05d5\u05dd e\u0301 \U0001f468\u200d\U0001f469\u200d\U0001f467"},
    {.name = "a refused key", .first = "401"},
    {.name = "a used-up quota", .first = "429-quota"},
    {.name = "no such model", .first = "no-such-model"},
    {.name = "context too long", .first = "400-context", .expected = SELFTEST_TOLD},
    {.name = "an invalid request", .first = "400-invalid", .expected = SELFTEST_TOLD},
    {.name = "a filtered prompt", .first = "400-filtered", .expected = SELFTEST_TOLD},
    {.name = "a filtered answer",
     .first = "filtered",
     .expected = SELFTEST_FILTERED,
     .text = "I was going to say"},
    {.name = "503 for a while under load, then health",
     .first = "503+for-300+then+" WELL,
     .expected = SELFTEST_RETURNS},
    {0},
};

struct str selftest_text(const struct selftest_fault *fault)
{
    return fault->text ? str_from_cstr(fault->text) : STR("1 2 3 4 5 6 ");
}

/* Whether the policy itself forbids to rescue it. */
static bool is_forbidden(const struct selftest_result *result, const struct route_policy *policy)
{
    enum route_mode rung = result->fault->rung;
    return result->is_streamed && rung != ROUTE_WHOLE &&
           (policy->recovery < rung || policy->recoveries_max == 0);
}

static const char *complaint_of(const struct selftest_result *result,
                                const struct route_policy *policy)
{
    bool is_whole = result->outcome == SELFTEST_WHOLE;
    if (result->outcome == SELFTEST_TRUNCATED)
        return "a truncated answer passed for a whole one";
    switch (result->fault->expected) {
    case SELFTEST_RESCUED:
    case SELFTEST_TOLERATED:
        return is_whole || is_forbidden(result, policy) ? NULL : "it was not rescued";
    case SELFTEST_TOLD:
        if (is_whole)
            return "the provider's error did not reach the caller";
        return result->attempts == 1 ? NULL : "it was asked again";
    case SELFTEST_FILTERED:
        return is_whole ? NULL : "what was said did not reach the caller";
    case SELFTEST_RETURNS:
        if (!is_whole)
            return "one of the requests was not rescued";
        return result->answered == 1 ? NULL : "the first target was not asked again";
    }
    return NULL;
}

void selftest_judge(struct selftest_result *result, const struct route_policy *policy)
{
    result->complaint = complaint_of(result, policy);
    result->passed = !result->complaint;
}
