/* Traits: what is known of models beforehand, by name, and what a kind of provider has no place for
 * whatever the model. A wrong "no" here keeps a good target from answering, so only what is certain
 * is said. */
#include "llm/traits.h"

#include "llm/estimate.h"
#include "llm/names.h"

#define YES   LLM_TRUE
#define NO    LLM_FALSE
#define MAYBE LLM_UNSET

struct row {
    const char *model;
    struct llm_traits traits;
};

/* Of 2026-11-22: windows from npm @pydantic/genai-prices 0.1.8, answers and senses from npm
 * @llmgateway/models 1.324.0, both for OpenAI from npm gpt-tokenizer 4.0.0 (whose window of 400 000
 * is 272 000 of input), and the providers' documents. The columns: window, answer, images,
 * documents, audio, tools, prefill.
 *
 * Prefill: Claude 4.6 and later answer 400 "This model does not support assistant message prefill";
 * the older ones continue (not while they think). OpenAI answers a last assistant message instead
 * of continuing it. Gemini is not known to continue it. DeepSeek and Mistral continue only what is
 * marked "prefix", which we do not send. Ollama, vLLM, llama.cpp and others leave it to the model's
 * template. */
static const struct row rows[] = {
    {"gpt-6-astra", {1050000, 128000, YES, YES, MAYBE, YES, NO}},
    {"gpt-6-sol", {1050000, 128000, YES, YES, MAYBE, YES, NO}},
    {"gpt-6-luna", {1050000, 128000, YES, YES, MAYBE, YES, NO}},
    {"gpt-5.6-sol", {1050000, 128000, YES, YES, MAYBE, YES, NO}},
    {"gpt-5.6-terra", {1050000, 128000, YES, YES, MAYBE, YES, NO}},
    {"gpt-5.6-luna", {1050000, 128000, YES, YES, MAYBE, YES, NO}},
    {"gpt-5.5", {1050000, 128000, YES, YES, NO, YES, NO}},
    {"gpt-5.4", {1050000, 128000, YES, YES, NO, YES, NO}},
    {"gpt-5.4-mini", {272000, 128000, YES, YES, NO, YES, NO}},
    {"gpt-5", {272000, 128000, YES, YES, NO, YES, NO}},
    {"gpt-5-mini", {272000, 128000, YES, YES, NO, YES, NO}},
    {"gpt-4.1", {1047576, 32768, YES, YES, NO, YES, NO}},
    {"gpt-4o", {128000, 16384, YES, YES, NO, YES, NO}},
    {"gpt-4o-mini", {128000, 16384, YES, YES, NO, YES, NO}},
    {"o3", {200000, 100000, YES, YES, NO, YES, NO}},
    {"o4-mini", {200000, 100000, YES, YES, NO, YES, NO}},
    {"text-embedding-3-small", {8192, 0, NO, NO, NO, NO, NO}},
    {"text-embedding-3-large", {8192, 0, NO, NO, NO, NO, NO}},
    {"claude-opus-5-5", {1000000, 128000, YES, YES, NO, YES, NO}},
    {"claude-sonnet-5-5", {0, 0, YES, YES, NO, YES, NO}},
    {"claude-haiku-5-5", {0, 0, YES, YES, NO, YES, NO}},
    {"claude-fable-5-2", {0, 0, MAYBE, MAYBE, NO, YES, NO}},
    {"claude-mythos-5-2", {0, 0, MAYBE, MAYBE, NO, YES, NO}},
    {"claude-fable-5-1", {1000000, 128000, YES, YES, NO, YES, NO}},
    {"claude-fable-5", {1000000, 128000, YES, YES, NO, YES, NO}},
    {"claude-opus-5", {1000000, 128000, YES, YES, NO, YES, NO}},
    {"claude-sonnet-5", {1000000, 128000, YES, YES, NO, YES, NO}},
    {"claude-opus-4-8", {1000000, 128000, YES, YES, NO, YES, NO}},
    {"claude-opus-4-7", {1000000, 128000, YES, YES, NO, YES, NO}},
    {"claude-opus-4-6", {1000000, 128000, YES, YES, NO, YES, NO}},
    {"claude-sonnet-4-6", {1000000, 64000, YES, YES, NO, YES, NO}},
    {"claude-haiku-4-5", {200000, 64000, YES, YES, NO, YES, YES}},
    {"claude-sonnet-4-5", {200000, 64000, YES, YES, NO, YES, YES}},
    {"claude-opus-4-5", {200000, 0, YES, YES, NO, YES, YES}},
    {"claude-opus-4-1", {200000, 32000, YES, YES, NO, YES, YES}},
    {"claude-opus-4", {200000, 0, YES, YES, NO, YES, YES}},
    {"claude-sonnet-4", {200000, 0, YES, YES, NO, YES, YES}},
    {"claude-3-7-sonnet", {200000, 0, YES, YES, NO, YES, YES}},
    {"claude-3-5-sonnet", {200000, 8192, YES, YES, NO, YES, YES}},
    {"claude-3-5-haiku", {200000, 8192, MAYBE, MAYBE, NO, YES, YES}},
    {"claude-3-haiku", {200000, 4096, YES, MAYBE, NO, YES, YES}},
    {"gemini-3.8-flash", {1000000, 65536, YES, YES, YES, YES, MAYBE}},
    {"gemini-3.5-flash", {1000000, 65536, YES, YES, YES, YES, MAYBE}},
    {"gemini-3.5-flash-lite", {1000000, 65536, YES, YES, YES, YES, MAYBE}},
    {"gemini-3.1-pro-preview", {1048576, 65536, YES, YES, YES, YES, MAYBE}},
    {"gemini-2.5-pro", {1048576, 65536, YES, YES, YES, YES, MAYBE}},
    {"gemini-2.5-flash", {1048576, 65536, YES, YES, YES, YES, MAYBE}},
    {"deepseek-v4-pro", {1000000, 393216, NO, MAYBE, MAYBE, YES, NO}},
    {"deepseek-v4-flash", {1000000, 393216, NO, MAYBE, MAYBE, YES, NO}},
    {"grok-4.6", {500000, 0, YES, MAYBE, MAYBE, YES, MAYBE}},
    {"openai/gpt-oss-120b", {131072, 0, NO, NO, NO, YES, MAYBE}},
    {"openai/gpt-oss-20b", {131072, 0, NO, NO, NO, YES, MAYBE}},
    {0},
};

/* ---- Finding --------------------------------------------------------------------------------- */

/* The row of the same name, else of the longest similar one, or NULL. */
static const struct row *find_row(struct str model)
{
    const struct row *found = NULL;
    size_t found_len = 0;
    const struct llm_name_firsts firsts = llm_name_firsts(model);
    for (const struct row *row = rows; row->model; row++) {
        if (!llm_name_may_match(firsts, row->model))
            continue;
        struct str known = str_from_cstr(row->model);
        enum llm_name_match match = llm_name_match(model, known);
        if (match == LLM_NAME_SAME)
            return row;
        if (match == LLM_NAME_SIMILAR && known.len > found_len) {
            found = row;
            found_len = known.len;
        }
    }
    return found;
}

/* What a wire form has no place for, no model behind it gets. */
static void limit_by_dialect(const struct provider_kind *kind, struct llm_traits *traits)
{
    bool is_ollama = kind->dialect == &dialect_ollama;
    if (is_ollama)
        traits->documents = LLM_FALSE;
    if (is_ollama || kind->dialect == &dialect_anthropic ||
        kind->dialect == &dialect_openai_responses)
        traits->audio = LLM_FALSE;
    /* Claude through somebody else's form is not known to be continued. */
    if (traits->prefill == LLM_TRUE && kind->dialect != &dialect_anthropic)
        traits->prefill = LLM_UNSET;
    if (!kind->dialect) /* the built-in partner answers what was said last */
        traits->prefill = LLM_FALSE;
}

void llm_traits_find(const struct provider_kind *kind, struct str model, int64_t context_tokens,
                     struct llm_traits *ret_traits)
{
    const struct row *row = kind->dialect ? find_row(model) : NULL;
    *ret_traits = row ? row->traits : (struct llm_traits){0};
    limit_by_dialect(kind, ret_traits);
    if (context_tokens > 0)
        ret_traits->context_tokens = context_tokens;
}

/* ---- Needs ----------------------------------------------------------------------------------- */

static void note_part(const struct llm_part *part, struct llm_needs *needs)
{
    needs->images |= part->kind == LLM_PART_IMAGE;
    needs->documents |= part->kind == LLM_PART_DOCUMENT;
    needs->audio |= part->kind == LLM_PART_AUDIO;
}

void llm_needs_of(const struct llm_request *request, struct llm_needs *ret_needs)
{
    *ret_needs = (struct llm_needs){.input_tokens = llm_estimate_request(request),
                                    .tools = request->tool_count > 0};
    if (request->max_output_tokens.is_set && request->max_output_tokens.value > 0)
        ret_needs->output_tokens = request->max_output_tokens.value;
    for (size_t m = 0; m < request->message_count; m++) {
        const struct llm_message *message = &request->messages[m];
        for (size_t p = 0; p < message->part_count; p++) {
            const struct llm_part *part = &message->parts[p];
            note_part(part, ret_needs);
            for (size_t k = 0; k < part->content_count; k++)
                note_part(&part->content[k], ret_needs);
        }
    }
}

/* ---- Fitting --------------------------------------------------------------------------------- */

/* A size in words that live for ever: the next usual one. */
struct size {
    int64_t tokens;
    const char *context;
};
#define SIZE(tokens, text)                                                                         \
    {                                                                                              \
        tokens, "a context of " text " tokens"                                                     \
    }
static const struct size sizes[] = {
    SIZE(4096, "4096"),       SIZE(8192, "8192"),
    SIZE(16384, "16384"),     SIZE(32768, "32768"),
    SIZE(65536, "65536"),     SIZE(131072, "131072"),
    SIZE(200000, "200000"),   SIZE(400000, "400000"),
    SIZE(1000000, "1000000"), SIZE(INT64_MAX, "more than 1000000"),
};

static const struct size *size_for(int64_t tokens)
{
    const struct size *size = sizes;
    while (tokens > size->tokens)
        size++;
    return size;
}

/* Counting without the model's own vocabulary is wrong by a quarter for some languages: what may fit
 * is tried. An output limit above the model's own lacks nothing: less is written. */
bool llm_traits_fit(const struct llm_traits *traits, const struct llm_needs *needs,
                    const char **ret_lacks)
{
    const char *lacks = NULL;
    if (needs->images && traits->images == LLM_FALSE)
        lacks = "images";
    else if (needs->documents && traits->documents == LLM_FALSE)
        lacks = "documents";
    else if (needs->audio && traits->audio == LLM_FALSE)
        lacks = "audio";
    else if (needs->tools && traits->tools == LLM_FALSE)
        lacks = "tools";
    else if (traits->context_tokens > 0 &&
             needs->input_tokens - needs->input_tokens / 4 > traits->context_tokens)
        lacks = size_for(needs->input_tokens)->context;
    if (ret_lacks)
        *ret_lacks = lacks;
    return !lacks;
}
