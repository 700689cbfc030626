/* Counting: Anthropic's form is a message without what shapes the answer; Gemini's has the contents, or a
 * whole request inside a member, which counts its system and tools too. */
#include "llm/counting.h"

#include "llm/passthrough.h"

struct counting_form {
    const struct dialect *dialect;
    const char *inside; /* the member that is a whole request; NULL: the body is one */
    const char *answer; /* the member that has the number */
};

static const struct counting_form forms[] = {
    {&dialect_anthropic, NULL, "input_tokens"},
    {&dialect_gemini, "generateContentRequest", "totalTokens"},
};

const struct counting_form *counting_form_of(const struct dialect *dialect)
{
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
        if (forms[i].dialect == dialect)
            return &forms[i];
    return NULL;
}

const struct dialect *counting_form_dialect(const struct counting_form *form)
{
    return form->dialect;
}

enum err counting_decode_request(const struct counting_form *form, struct arena *arena,
                                 yyjson_val *root, struct llm_request *ret_request,
                                 struct error *error)
{
    yyjson_val *inside = form->inside ? json_get(root, form->inside) : NULL;
    return form->dialect->decode_request(arena, inside ? inside : root, ret_request, error);
}

/* ---- Asking ---------------------------------------------------------------------------------- */

/* What of it is counted. */
static struct llm_request counted_part(const struct llm_request *request)
{
    struct llm_request part = *request;
    part.max_output_tokens = part.seed = part.top_k = (struct llm_int){0};
    part.temperature = part.top_p = (struct llm_double){0};
    part.frequency_penalty = part.presence_penalty = (struct llm_double){0};
    part.stop_count = 0;
    part.user = STR_NONE;
    part.stream = part.stream_usage = false;
    return part;
}

/* As the body names it; Gemini's prefix is part of it there. */
static struct str model_in_body(const struct counting_form *form, struct arena *arena,
                                struct str model)
{
    return form->inside ? arena_printf(arena, "models/%.*s", STR_ARG(model)) : model;
}

enum err counting_encode_request(const struct counting_form *form, struct arena *arena,
                                 const struct llm_request *request,
                                 const struct dialect_target *target, struct buf *out,
                                 struct llm_losses *losses, struct error *error)
{
    const struct llm_request part = counted_part(request);
    struct dialect_target counted = *target;
    struct buf body;
    counted.is_counted = true;
    if (!form->inside)
        return form->dialect->encode_request(arena, &part, &counted, out, losses, error);
    buf_init(&body, out->bytes_max);
    enum err code = form->dialect->encode_request(arena, &part, &counted, &body, losses, error);
    buf_printf(out, "{\"%s\":", form->inside);
    if (code == ERR_OK)
        passthrough_with_model(buf_str(&body), NULL, model_in_body(form, arena, target->model),
                               out);
    buf_append_char(out, '}');
    buf_done(&body);
    return code;
}

void counting_forward(const struct counting_form *form, struct arena *arena, struct str body,
                      struct str model, struct buf *out)
{
    model = model_in_body(form, arena, model);
    if (form->inside)
        passthrough_with_model_in(body, str_from_cstr(form->inside), model, out);
    else
        passthrough_with_model(body, NULL, model, out);
}

/* ---- Answering ------------------------------------------------------------------------------- */

int64_t counting_decode_answer(const struct counting_form *form, struct arena *arena,
                               struct str body)
{
    yyjson_val *root;
    int64_t tokens;
    if (json_read(arena, body, &root, NULL) != ERR_OK ||
        !json_get_int(root, form->answer, &tokens) || tokens < 0)
        return -1;
    return tokens;
}

void counting_encode_answer(const struct counting_form *form, int64_t tokens, struct buf *out)
{
    buf_printf(out, "{\"%s\":%lld}", form->answer, (long long)tokens);
}
