/* Recover: what another target is asked when an answer broke off. Stands between the flow, which
 * climbs the rungs of recovery, and the codecs, which put the request into a target's form. The
 * answer that comes back is put behind the first one by join.
 *
 * An answer without anything but white space is not worth continuing, and providers refuse such a
 * message: the conversation then stays as it is. */
#include "route/recover.h"

#include <string.h>

#include "base/utf8.h"
#include "llm/estimate.h"

enum { QUOTE_BYTES_MAX = 200 };

/* Without white space at its end only; what it begins with stays. */
static struct str trim_end(struct str s)
{
    struct str trimmed = str_trim(s);
    return trimmed.len ? str_slice(s, 0, (size_t)(trimmed.data - s.data) + trimmed.len) : trimmed;
}

static struct str concat(struct arena *arena, struct str a, struct str b)
{
    char *data = arena_alloc(arena, a.len + b.len);
    if (a.len)
        memcpy(data, a.data, a.len);
    if (b.len)
        memcpy(data + a.len, b.data, b.len);
    return STR_FROM(data, a.len + b.len);
}

static struct llm_message text_message(struct arena *arena, enum llm_role role, struct str text)
{
    struct llm_part *part = ARENA_NEW(arena, struct llm_part);
    *part = (struct llm_part){.kind = LLM_PART_TEXT, .text = text};
    return (struct llm_message){.role = role, .parts = part, .part_count = 1};
}

/* A copy of a message of the assistant with `partial` behind what it says already. A text that
 * carries a provider's signature is left alone: it would not be the signed one any more. */
static struct llm_message message_extend(struct arena *arena, const struct llm_message *message,
                                         struct str partial)
{
    size_t count = message->part_count;
    struct llm_message extended = *message;
    extended.parts = ARENA_NEW_ARRAY(arena, count + 1, struct llm_part);
    if (count)
        memcpy(extended.parts, message->parts, count * sizeof *extended.parts);
    struct llm_part *last = count ? &extended.parts[count - 1] : NULL;
    if (last && last->kind == LLM_PART_TEXT && last->opaque_count == 0) {
        last->text = concat(arena, last->text, partial);
        return extended;
    }
    extended.parts[count] = (struct llm_part){.kind = LLM_PART_TEXT, .text = partial};
    extended.part_count++;
    return extended;
}

/* Puts the partial answer at the end of a copy's messages, with room for one more behind it. */
static void add_partial(struct arena *arena, struct llm_request *copy, struct str partial)
{
    const struct llm_message *messages = copy->messages;
    size_t count = copy->message_count;
    copy->messages = ARENA_NEW_ARRAY(arena, count + 2, struct llm_message);
    if (count)
        memcpy(copy->messages, messages, count * sizeof *messages);
    if (count && messages[count - 1].role == LLM_ASSISTANT)
        copy->messages[count - 1] = message_extend(arena, &messages[count - 1], partial);
    else
        copy->messages[copy->message_count++] = text_message(arena, LLM_ASSISTANT, partial);
}

static struct str instruction(void)
{
    return STR("Your answer was cut off. Go on with it exactly where it stops, in the middle of a "
               "word if need be. Repeat nothing of it, do not begin again, write no introduction, "
               "and do not open a code block again that is still open. Your answer stops after "
               "this text:\n\n");
}

/* The last bytes of the text, from a character's beginning on. */
static struct str quote(struct str text)
{
    size_t from = text.len > QUOTE_BYTES_MAX ? text.len - QUOTE_BYTES_MAX : 0;
    while (from < text.len && from > 0 && ((unsigned char)text.data[from] & 0xC0) == 0x80)
        from++;
    return str_skip(text, from);
}

static void add_instruction(struct arena *arena, struct llm_request *copy, struct str partial)
{
    struct str text = concat(arena, instruction(), quote(partial));
    copy->messages[copy->message_count++] = text_message(arena, LLM_USER, text);
}

static void lower_limit(struct llm_int *limit, struct str partial)
{
    if (!limit->is_set)
        return;
    int64_t used = llm_estimate_text(partial);
    limit->value = limit->value > used ? limit->value - used : 1;
}

const struct llm_request *recover_request(struct arena *arena, const struct llm_request *request,
                                          enum route_mode mode, struct str partial)
{
    struct str trimmed = trim_end(partial);
    if (mode == ROUTE_WHOLE || mode == ROUTE_SPLICE || trimmed.len == 0)
        return request;
    struct llm_request *copy = ARENA_NEW(arena, struct llm_request);
    *copy = *request;
    lower_limit(&copy->max_output_tokens, partial);
    copy->format = LLM_FORMAT_UNSET; /* the rest of a document is none */
    add_partial(arena, copy, mode == ROUTE_PREFILL ? trimmed : partial);
    if (mode == ROUTE_CONTINUE)
        add_instruction(arena, copy, partial);
    return copy;
}
