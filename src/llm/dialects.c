/* The one explicit list of dialects. */
#include "llm/dialect.h"

const struct dialect *const dialects[] = {
    &dialect_openai_chat,
    &dialect_openai_responses,
    &dialect_anthropic,
    &dialect_gemini,
    &dialect_ollama,
    &dialect_ollama_generate,
    NULL,
};

const struct dialect *dialect_find(struct str name)
{
    for (size_t i = 0; dialects[i]; i++)
        if (str_eq(name, str_from_cstr(dialects[i]->name)))
            return dialects[i];
    return NULL;
}
