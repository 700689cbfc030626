/* Any bytes as Eliza's rules, and any bytes as what is said to it (behind the first zero byte,
 * messages apart by further ones). */
#include <stddef.h>
#include <stdint.h>

#include "base/assert.h"
#include "base/utf8.h"
#include "llm/eliza.h"
#include "llm/eliza_rules.h"

enum { MESSAGES_MAX = 64 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str rest = STR_FROM((const char *)data, size);
    struct str text = str_next(&rest, '\0');
    struct llm_message messages[MESSAGES_MAX];
    struct llm_part parts[MESSAGES_MAX];
    struct llm_request request = {.messages = messages};
    for (size_t i = 0; rest.data && i < MESSAGES_MAX; i++) {
        parts[i] = (struct llm_part){.kind = LLM_PART_TEXT, .text = str_next(&rest, '\0')};
        messages[i] = (struct llm_message){.role = LLM_USER, .parts = &parts[i], .part_count = 1};
        request.message_count++;
    }
    struct arena *arena = arena_new(1 << 24);
    struct eliza_rules rules;
    struct error error;
    struct str answer = STR_NONE;
    if (eliza_rules_parse(arena, text, &rules, &error) == ERR_OK)
        eliza_answer_with(arena, &rules, &request, &answer);
    eliza_answer(arena, &request, &answer);
    ASSERT(answer.len && answer.len <= ELIZA_ANSWER_BYTES_MAX && utf8_valid(answer, NULL));
    arena_free(arena);
    return 0;
}
