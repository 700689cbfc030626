/* A line and its answer between two dialects, by way of the canonical model. */
#include "chat/batch_translate.h"

#include "base/clock.h"

enum { NAMES_BYTES_MAX = 4000 };

enum err batch_decode_body(struct arena *arena, const struct batch_endpoint *endpoint,
                           const struct batch_line *line, yyjson_val *body,
                           struct llm_request *ret_request, struct error *error)
{
    enum err code = endpoint->dialect->decode_request(arena, body, ret_request, error);
    if (code != ERR_OK)
        return code;
    if (line->model.len)
        ret_request->model = line->model;
    if (ret_request->message_count == 0)
        return error_set(error, ERR_INVALID, "messages", "must not be empty");
    if (endpoint->form == BATCH_ANTHROPIC && !ret_request->max_output_tokens.is_set)
        return error_set(error, ERR_INVALID, "max_tokens", "is required");
    return ERR_OK;
}

static struct str names_of(struct arena *arena, const struct llm_losses *losses,
                           const struct llm_request *request)
{
    struct buf names;
    buf_init(&names, 2 * (size_t)NAMES_BYTES_MAX);
    llm_losses_write(losses, &names, NAMES_BYTES_MAX);
    llm_unmapped_write(request, &names, NAMES_BYTES_MAX);
    struct str text = arena_str(arena, buf_str(&names));
    buf_done(&names);
    return text;
}

enum err batch_encode_line(struct arena *arena, const struct batch_endpoint *endpoint,
                           const struct batch_line *line, const struct provider_kind *kind,
                           struct str model, struct buf *out, struct str *ret_dropped,
                           struct error *error)
{
    const struct dialect_target target = {.model = model, .quirks = kind->quirks};
    struct llm_request request = {0};
    struct llm_losses losses;
    yyjson_val *body;
    struct str text;
    *ret_dropped = STR_NONE;
    enum err code = batch_line_body(arena, endpoint, line, &body, &text, error);
    if (code == ERR_OK)
        code = batch_decode_body(arena, endpoint, line, body, &request, error);
    if (code != ERR_OK)
        return code;
    if (endpoint->dialect == kind->dialect) {
        buf_append(out, text);
        return ERR_OK;
    }
    llm_losses_init(&losses, arena);
    code = kind->dialect->encode_request(arena, &request, &target, out, &losses, error);
    llm_losses_drop(&losses, LLM_FIELD_STREAM_USAGE); /* nothing is streamed */
    if (code == ERR_OK)
        *ret_dropped = names_of(arena, &losses, &request);
    return code;
}

enum err batch_encode_answer(struct arena *arena, const struct batch_endpoint *endpoint,
                             const struct dialect *dialect, struct str body, struct str name,
                             struct buf *out, struct llm_error *ret_error)
{
    struct llm_response response = {.usage = LLM_USAGE_UNKNOWN};
    enum err code = dialect->decode_response(arena, body, &response, ret_error);
    if (code != ERR_OK)
        return code;
    if (!response.id.len)
        response.id = arena_printf(arena, "%s%.*s", endpoint->id_prefix, STR_ARG(name));
    endpoint->dialect->encode_response(arena, &response, clock_wall_ms(), out, NULL);
    return ERR_OK;
}
