/* What OpenAI's two dialects share: words, media as data URLs, parts, usage. */
#include "llm/dialect_openai.h"

#include <string.h>

#include "base/vec.h"

/* ---- Words and JSON -------------------------------------------------------------------------- */

static const char *const effort_names[LLM_EFFORT_MAX + 1] = {
    [LLM_EFFORT_NONE] = "none",     [LLM_EFFORT_MINIMAL] = "minimal", [LLM_EFFORT_LOW] = "low",
    [LLM_EFFORT_MEDIUM] = "medium", [LLM_EFFORT_HIGH] = "high",       [LLM_EFFORT_XHIGH] = "xhigh",
    [LLM_EFFORT_MAX] = "max",
};

const char *openai_effort_name(enum llm_effort effort)
{
    return effort_names[effort];
}

enum err openai_read_effort(struct llm_reader *reader, yyjson_val *value, void *field)
{
    struct str name;
    enum err code = llm_read_str(reader, value, &name);
    if (code)
        return code;
    for (int i = LLM_EFFORT_NONE; i <= LLM_EFFORT_MAX; i++) {
        if (!str_eq(name, str_from_cstr(effort_names[i])))
            continue;
        *(enum llm_effort *)field = (enum llm_effort)i;
        return ERR_OK;
    }
    return llm_reader_fail(reader, "must be none, minimal, low, medium, high, xhigh or max");
}

enum err openai_read_choice_word(struct llm_reader *reader, struct str word,
                                 struct llm_request *request)
{
    if (str_eq(word, STR("auto")))
        request->tool_choice = LLM_TOOL_CHOICE_AUTO;
    else if (str_eq(word, STR("none")))
        request->tool_choice = LLM_TOOL_CHOICE_NONE;
    else if (str_eq(word, STR("required")) || str_eq(word, STR("any")))
        request->tool_choice = LLM_TOOL_CHOICE_REQUIRED;
    else
        return llm_reader_fail(reader, "must be auto, none, required or an object");
    return ERR_OK;
}

enum err openai_read_format_type(struct llm_reader *reader, yyjson_val *value, void *target)
{
    struct llm_request *request = target;
    struct str type = json_str(value);
    if (str_eq(type, STR("text")))
        request->format = LLM_FORMAT_TEXT;
    else if (str_eq(type, STR("json_object")))
        request->format = LLM_FORMAT_JSON;
    else if (str_eq(type, STR("json_schema")))
        request->format = LLM_FORMAT_SCHEMA;
    else
        return llm_reader_fail(reader, "must be text, json_object or json_schema");
    return ERR_OK;
}

bool openai_is_json_object(struct arena *arena, struct str text)
{
    yyjson_val *value;
    return json_read(arena, text, &value, NULL) == ERR_OK && yyjson_is_obj(value);
}

void openai_key_tristate(struct json_writer *w, const char *key, enum llm_tristate value)
{
    if (value != LLM_UNSET)
        json_key_bool(w, key, value == LLM_TRUE);
}

void openai_key_double(struct json_writer *w, const char *key, struct llm_double value)
{
    if (value.is_set)
        json_key_double(w, key, value.value);
}

/* ---- Media ----------------------------------------------------------------------------------- */

void openai_put_data_url(struct json_writer *w, const struct llm_media *media)
{
    json_begin_str(w);
    json_str_part(w, STR("data:"));
    json_str_part(w, media->mime);
    json_str_part(w, STR(";base64,"));
    json_str_part(w, media->data);
    json_end_str(w);
}

enum err openai_read_data_url(struct llm_reader *reader, struct str url, struct llm_media *media)
{
    const struct str marker = STR(";base64,");
    if (!str_starts_with_nocase(url, STR("data:")))
        return llm_reader_fail(reader, "must be a data: URL");
    url = str_skip(url, 5);
    size_t at = str_find_nocase(str_slice(url, 0, 256), marker);
    if (at == SIZE_MAX)
        return llm_reader_fail(reader, "must be a data: URL in base64");
    media->mime = str_slice(url, 0, at);
    media->data = str_skip(url, at + marker.len);
    if (!media->data.len)
        return llm_reader_fail(reader, "must hold some data");
    return ERR_OK;
}

enum err openai_read_image_url(struct llm_reader *reader, yyjson_val *value, void *field)
{
    struct llm_media *media = field;
    struct str url;
    enum err code = llm_read_str(reader, value, &url);
    if (code)
        return code;
    if (str_starts_with_nocase(url, STR("data:")))
        return openai_read_data_url(reader, url, media);
    if (!url.len)
        return llm_reader_fail(reader, "must not be empty");
    media->url = url;
    return ERR_OK;
}

bool openai_detail_ok(struct str detail, bool allow_original)
{
    return str_eq(detail, STR("low")) || str_eq(detail, STR("high")) ||
           str_eq(detail, STR("auto")) || (allow_original && str_eq(detail, STR("original")));
}

/* ---- Parts ----------------------------------------------------------------------------------- */

struct llm_part *openai_part_add(struct llm_reader *reader, struct openai_parts *parts,
                                 enum llm_part_kind kind)
{
    struct llm_part *part = VEC_PUSH(reader->arena, parts->items, parts->count, parts->capacity);
    part->kind = kind;
    if (kind == LLM_PART_TOOL_RESULT)
        part->origin = LLM_ORIGIN_TOOL;
    return part;
}

void openai_message_add(struct llm_reader *reader, struct openai_messages *messages,
                        enum llm_role role, struct str name, const struct openai_parts *parts)
{
    struct llm_message *message =
        VEC_PUSH(reader->arena, messages->items, messages->count, messages->capacity);
    *message = (struct llm_message){role, name, parts->items, parts->count};
}

struct llm_part *openai_tail_part(struct llm_reader *reader, struct openai_messages *messages,
                                  enum llm_role role, enum llm_part_kind kind, size_t *capacity)
{
    struct llm_message *last = messages->count ? &messages->items[messages->count - 1] : NULL;
    struct openai_parts parts = {0};
    if (last && last->role == role)
        parts = (struct openai_parts){last->parts, last->part_count, *capacity};
    else
        openai_message_add(reader, messages, role, STR_NONE, &parts);
    struct llm_part *part = openai_part_add(reader, &parts, kind);
    last = &messages->items[messages->count - 1];
    last->parts = parts.items;
    last->part_count = parts.count;
    *capacity = parts.capacity;
    return part;
}

int openai_part_rank(enum llm_part_kind kind)
{
    switch (kind) {
    case LLM_PART_TOOL_RESULT:
        return 0;
    case LLM_PART_REASONING:
        return 1;
    case LLM_PART_REFUSAL:
        return 3;
    case LLM_PART_TOOL_CALL:
        return 4;
    default:
        return 2;
    }
}

void openai_note_order(struct llm_losses *losses, int message, const struct llm_part *parts,
                       size_t count, const bool *kept)
{
    int highest = 0;
    for (size_t i = 0; i < count; i++) {
        int rank = openai_part_rank(parts[i].kind);
        if (!kept[i])
            continue;
        if (rank < highest)
            llm_losses_add(losses, LLM_FIELD_PART_MOVED, message, (int)i);
        else
            highest = rank;
    }
}

/* ---- Book ------------------------------------------------------------------------------------ */

void openai_book_begin(struct openai_book *book, int part, enum llm_part_kind kind,
                       struct llm_losses *losses)
{
    openai_book_end(book, losses);
    book->is_open = true;
    book->is_empty = kind != LLM_PART_TOOL_CALL;
    book->is_joined = book->is_closed = false;
    book->part = part;
    book->kind = kind;
}

/* The part's first content: does a reader take it for more of the part before? */
static void first_content(struct openai_book *book, struct llm_losses *losses)
{
    if (!book->is_empty)
        return;
    book->is_empty = false;
    book->is_joined = book->has_head && book->head_kind == book->kind && !book->head_is_closed;
    if (book->is_joined)
        llm_losses_add(losses, LLM_FIELD_PART_BOUNDARY, -1, book->part);
}

void openai_book_text(struct openai_book *book, size_t bytes, struct llm_losses *losses)
{
    if (bytes)
        first_content(book, losses);
}

void openai_book_opaque(struct openai_book *book, int part, bool carried, struct llm_losses *losses)
{
    if (carried)
        first_content(book, losses);
    if (carried)
        book->is_closed = true;
    if (!carried || book->is_joined)
        llm_losses_add(losses, LLM_FIELD_PART_OPAQUE, -1, part);
    if (carried && book->is_joined)
        llm_losses_add(losses, LLM_FIELD_PART_OPAQUE, -1, book->head);
}

void openai_book_end(struct openai_book *book, struct llm_losses *losses)
{
    if (!book->is_open)
        return;
    book->is_open = false;
    if (book->is_empty) {
        llm_losses_add(losses, LLM_FIELD_PART, -1, book->part);
        return;
    }
    if (!book->is_joined)
        book->head = book->part;
    book->has_head = true;
    book->head_kind = book->kind;
    book->head_is_closed = book->is_closed;
}

/* ---- Usage ----------------------------------------------------------------------------------- */

#define TEXT(literal)                                                                              \
    {                                                                                              \
        literal, sizeof(literal) - 1                                                               \
    }
#define USAGE_NAMES(input, output)                                                                 \
    {                                                                                              \
        TEXT(input), TEXT(output), TEXT(input "_details"), TEXT(output "_details"),                \
            TEXT("{\"" input "\":"), TEXT(",\"" input "_details\":{"), TEXT("},\"" output "\":"),  \
            TEXT(",\"" output "_details\":{")                                                      \
    }
const struct openai_usage_names openai_chat_usage =
    USAGE_NAMES("prompt_tokens", "completion_tokens");
const struct openai_usage_names openai_responses_usage =
    USAGE_NAMES("input_tokens", "output_tokens");

bool openai_usage_is_known(const struct llm_usage *usage)
{
    return usage->input_total >= 0 || usage->output_total >= 0;
}

static int64_t or_zero(int64_t count)
{
    return count > 0 ? count : 0;
}

static void key_count(struct json_writer *w, const char *key, int64_t count)
{
    if (count >= 0)
        json_key_int(w, key, count);
}

static void put_count(struct json_writer *w, struct str before, int64_t count)
{
    char digits[STR_U64_BYTES_MAX];
    buf_append(w->out, before);
    buf_append(w->out, STR_FROM(digits, str_from_u64((uint64_t)count, digits)));
}

void openai_put_usage(struct json_writer *w, const struct openai_usage_names *names,
                      const struct llm_usage *usage)
{
    int64_t input = or_zero(usage->input_total), output = or_zero(usage->output_total);
    put_count(w, names->to_input, input);
    buf_append(w->out, names->to_input_details);
    w->comma = false;
    key_count(w, "cached_tokens", usage->input_cache_read);
    key_count(w, "cache_write_tokens", usage->input_cache_write);
    put_count(w, names->to_output, output);
    buf_append(w->out, names->to_output_details);
    w->comma = false;
    key_count(w, "reasoning_tokens", usage->output_reasoning);
    put_count(w, STR("},\"total_tokens\":"), input + output);
    w->comma = true;
    json_end_object(w);
}

void openai_note_usage(const struct llm_usage *usage, struct llm_losses *losses)
{
    if (!openai_usage_is_known(usage))
        return;
    if (usage->input_total < 0 || usage->output_total < 0)
        llm_losses_add(losses, LLM_FIELD_RESPONSE_USAGE, -1, -1);
    if (usage->is_estimated)
        llm_losses_add(losses, LLM_FIELD_RESPONSE_USAGE_ESTIMATED, -1, -1);
}

/* A count, also as a float; -1 when absent or negative. */
static int64_t count_of(yyjson_val *value)
{
    int64_t count;
    if (json_int(value, &count))
        return count >= 0 ? count : -1;
    double real = yyjson_is_num(value) ? yyjson_get_num(value) : -1;
    return real >= 0 && real < 9e15 ? (int64_t)real : -1;
}

static int64_t first_count(int64_t a, int64_t b)
{
    return a >= 0 ? a : b;
}

static int64_t at_most(int64_t count, int64_t limit)
{
    return limit >= 0 && count > limit ? limit : count;
}

struct usage_members {
    yyjson_val *input, *output, *total, *input_details, *output_details;
    yyjson_val *cache_read, *cache_hit, *cache_write;
};

static struct usage_members scan_usage(yyjson_val *object, const struct openai_usage_names *names)
{
    struct usage_members usage = {0};
    size_t i, size;
    yyjson_val *key, *value;
    yyjson_obj_foreach (object, i, size, key, value) {
        dialect_take(&usage.input, names->input, key, value);
        dialect_take(&usage.output, names->output, key, value);
        dialect_take(&usage.total, STR("total_tokens"), key, value);
        dialect_take(&usage.input_details, names->input_details, key, value);
        dialect_take(&usage.output_details, names->output_details, key, value);
        dialect_take(&usage.cache_hit, STR("prompt_cache_hit_tokens"), key, value); /* DeepSeek */
        dialect_take(&usage.cache_read, STR("num_cached_tokens"), key, value);      /* Mistral */
        dialect_take(&usage.cache_write, STR("cache_write_tokens"), key, value);
    }
    return usage;
}

bool openai_get_usage(yyjson_val *object, const struct openai_usage_names *names,
                      struct llm_usage *ret_usage)
{
    if (!yyjson_is_obj(object))
        return false;
    const struct usage_members members = scan_usage(object, names);
    yyjson_val *input = members.input_details;
    struct llm_usage usage = LLM_USAGE_UNKNOWN;
    usage.input_total = count_of(members.input);
    usage.output_total = count_of(members.output);
    usage.input_cache_read =
        first_count(count_of(json_get(input, "cached_tokens")),
                    first_count(count_of(members.cache_hit), count_of(members.cache_read)));
    usage.input_cache_write =
        first_count(count_of(json_get(input, "cache_write_tokens")), count_of(members.cache_write));
    usage.output_reasoning = count_of(json_get(members.output_details, "reasoning_tokens"));
    int64_t total = count_of(members.total);
    if (usage.input_total >= 0 && usage.output_total >= 0 && usage.output_reasoning > 0 &&
        total - usage.input_total > usage.output_total)
        usage.output_total += usage.output_reasoning; /* xAI counts it apart */
    usage.input_cache_read = at_most(usage.input_cache_read, usage.input_total);
    usage.input_cache_write = at_most(usage.input_cache_write, usage.input_total);
    usage.output_reasoning = at_most(usage.output_reasoning, usage.output_total);
    if (!openai_usage_is_known(&usage))
        return false;
    *ret_usage = usage;
    return true;
}
