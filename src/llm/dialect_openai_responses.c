/* OpenAI Responses (POST /v1/responses): items instead of messages, reasoning that can be sent back
 * encrypted, and a stream that names every step. */
#include "llm/dialect_openai_responses.h"

const struct llm_opaque *openai_responses_encrypted(const struct llm_part *part, struct str model)
{
    if (part->kind != LLM_PART_REASONING)
        return NULL;
    for (size_t i = 0; i < part->opaque_count; i++) {
        const struct llm_opaque *opaque = &part->opaque[i];
        if (!str_eq(opaque->dialect, RESPONSES_NAME) ||
            !str_eq(opaque->kind, RESPONSES_ENCRYPTED) || !opaque->data.len)
            continue;
        bool fits = !model.len || !opaque->model.len || str_eq(opaque->model, model);
        return fits ? opaque : NULL;
    }
    return NULL;
}

const struct dialect dialect_openai_responses = {
    .name = "openai_responses",
    .framing = DIALECT_SSE,
    .errors_name_field = true,
    .encode_request = openai_responses_encode_request,
    .decode_request = openai_responses_decode_request,
    .encode_response = openai_responses_encode_response,
    .decode_response = openai_responses_decode_response,
    .decoder_new = openai_responses_decoder_new,
    .decode_frame = openai_responses_decode_frame,
    .decode_end = openai_responses_decode_end,
    .progress = openai_responses_progress,
    .encoder_new = openai_responses_encoder_new,
    .encode_event = openai_responses_encode_event,
    .encoded = openai_responses_encoded,
    .decode_error = openai_decode_error,
    .encode_error = openai_encode_error,
    .decode_models = openai_decode_models,
};
