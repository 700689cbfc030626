/* The Gemini API (generateContent, v1beta), as a dialect: the table of its functions, and what its
 * requests and answers have in common. Facts: Google's API reference, the types of @google/genai
 * 2.32 and what is seen on the wire. JSON is lowerCamelCase; snake_case is accepted on input, as
 * proto-JSON does. A content is {role, parts}; a part has one data member beside two flags. */
#include "llm/dialect_gemini.h"

#include <string.h>

enum { MEMBER_NAME_MAX = 64 };

const struct dialect dialect_gemini = {
    .name = "gemini",
    .framing = DIALECT_SSE,
    .model_in_path = true,
    .ends_with_body = true,
    .encode_request = gemini_encode_request,
    .decode_request = gemini_decode_request,
    .encode_response = gemini_encode_response,
    .decode_response = gemini_decode_response,
    .decoder_new = gemini_decoder_new,
    .decode_frame = gemini_decode_frame,
    .decode_end = gemini_decode_end,
    .progress = gemini_progress,
    .encoder_new = gemini_encoder_new,
    .encode_event = gemini_encode_event,
    .decode_error = gemini_decode_error,
    .encode_error = gemini_encode_error,
    .decode_models = gemini_decode_models,
};

/* ---- Reading --------------------------------------------------------------------------------- */

/* "topP" -> "top_p"; both are C literals of ours, so the room is known to be enough. */
static void to_snake(const char *camel, char ret[MEMBER_NAME_MAX])
{
    size_t len = 0;
    for (; *camel && len + 2 < MEMBER_NAME_MAX; camel++) {
        bool upper = *camel >= 'A' && *camel <= 'Z';
        if (upper)
            ret[len++] = '_';
        ret[len++] = (char)(upper ? *camel + ('a' - 'A') : *camel);
    }
    ret[len] = '\0';
}

yyjson_val *gemini_get(yyjson_val *object, const char *camel)
{
    yyjson_val *value = json_get(object, camel);
    if (value)
        return value;
    char snake[MEMBER_NAME_MAX];
    to_snake(camel, snake);
    return json_get(object, snake);
}

struct str gemini_get_str(yyjson_val *object, const char *camel)
{
    return json_str(gemini_get(object, camel));
}

struct str gemini_model_id(struct str name)
{
    struct str prefix = STR("models/");
    return str_starts_with(name, prefix) ? str_skip(name, prefix.len) : name;
}

struct str gemini_object_text(struct arena *arena, struct str text)
{
    yyjson_val *value = NULL;
    if (json_read(arena, text, &value, NULL) != ERR_OK || !yyjson_is_obj(value))
        return STR_NONE;
    bool one_line = str_find_char(text, '\n') == SIZE_MAX && str_find_char(text, '\r') == SIZE_MAX;
    return one_line ? str_trim(text) : json_text(arena, value);
}

/* ---- Parts ----------------------------------------------------------------------------------- */

void gemini_lose(const struct gemini_place *place, enum llm_field field)
{
    llm_losses_add(place->losses, field, place->message, place->part);
}

/* A model may answer under a longer name than it was asked by ("-preview-09-2026"). */
static bool same_model(struct str made_by, struct str model)
{
    made_by = gemini_model_id(made_by);
    model = gemini_model_id(model);
    return !made_by.len || !model.len || str_starts_with(made_by, model) ||
           str_starts_with(model, made_by);
}

bool gemini_is_signature(const struct llm_opaque *opaque, struct str model)
{
    return str_eq(opaque->dialect, GEMINI_NAME) && str_eq(opaque->kind, GEMINI_SIGNATURE) &&
           opaque->data.len && same_model(opaque->model, model);
}

const struct llm_opaque *gemini_signature(const struct llm_part *part, struct str model)
{
    for (size_t i = 0; i < part->opaque_count; i++)
        if (gemini_is_signature(&part->opaque[i], model))
            return &part->opaque[i];
    return NULL;
}

static void enter_run(struct gemini_run *run, const struct gemini_place *place,
                      enum llm_part_kind kind, bool joins)
{
    if (!joins)
        *run = (struct gemini_run){(int)kind, place->part, place->part, false};
    else if (run->part != place->part)
        gemini_lose(place, LLM_FIELD_PART_BOUNDARY);
    run->part = place->part;
}

void gemini_run_text(struct gemini_run *run, const struct gemini_place *place,
                     enum llm_part_kind kind)
{
    enter_run(run, place, kind, run->kind == (int)kind && !run->is_sealed);
}

void gemini_run_signature(struct gemini_run *run, const struct gemini_place *place,
                          enum llm_part_kind kind)
{
    enter_run(run, place, kind, run->kind == (int)kind);
    if (run->head != place->part) {
        gemini_lose(place, LLM_FIELD_PART_OPAQUE);
        llm_losses_add(place->losses, LLM_FIELD_PART_OPAQUE, place->message, run->head);
    }
    run->is_sealed = true;
}

static void put_signature(struct json_writer *w, struct str signature)
{
    if (signature.len)
        json_key_str(w, "thoughtSignature", signature);
}

void gemini_put_text(struct json_writer *w, struct str text, bool is_thought, struct str signature)
{
    json_begin_object(w);
    json_key_str(w, "text", text.data ? text : STR(""));
    if (is_thought)
        json_key_bool(w, "thought", true);
    put_signature(w, signature);
    json_end_object(w);
}

void gemini_put_call(struct arena *arena, struct json_writer *w, const struct llm_part *part,
                     struct str signature, const struct gemini_place *place)
{
    struct str arguments = gemini_object_text(arena, part->arguments);
    if (!arguments.len)
        gemini_lose(place, LLM_FIELD_PART_ARGUMENTS);
    json_begin_object(w);
    json_key_object(w, "functionCall");
    if (part->call_id.len)
        json_key_str(w, "id", part->call_id);
    json_key_str(w, "name", part->name.data ? part->name : STR(""));
    json_key_raw(w, "args", arguments.len ? arguments : STR("{}"));
    json_end_object(w);
    put_signature(w, signature);
    json_end_object(w);
}
