/* Pass-through: finds the top-level "model" of a JSON text that is known to be valid. */
#include "llm/passthrough.h"

#include "base/json.h"

/* Offset behind the string that begins at `at`. */
static size_t skip_string(struct str text, size_t at)
{
    for (at++; at < text.len && text.data[at] != '"'; at++)
        if (text.data[at] == '\\')
            at++;
    return at < text.len ? at + 1 : text.len;
}

static size_t skip_space(struct str text, size_t at)
{
    while (at < text.len && (text.data[at] == ' ' || text.data[at] == '\n' ||
                             text.data[at] == '\t' || text.data[at] == '\r'))
        at++;
    return at;
}

/* Offset behind the value that begins at `at`. */
static size_t skip_value(struct str text, size_t at)
{
    int depth = 0;
    while (at < text.len) {
        char c = text.data[at];
        if (c == '"') {
            at = skip_string(text, at);
            continue;
        }
        if (c == '{' || c == '[')
            depth++;
        if (depth == 0 && (c == ',' || c == '}' || c == ']'))
            return at;
        if (c == '}' || c == ']')
            depth--;
        at++;
    }
    return at;
}

/* The span of the value of the top-level key "model"; false when there is none. */
static bool find_model(struct str text, size_t *ret_from, size_t *ret_to)
{
    size_t at = skip_space(text, 0);
    if (at >= text.len || text.data[at] != '{')
        return false;
    for (at = skip_space(text, at + 1); at < text.len && text.data[at] == '"';) {
        size_t key_end = skip_string(text, at);
        struct str key = str_slice(text, at, key_end - at);
        size_t from = skip_space(text, skip_space(text, key_end) + 1); /* behind the colon */
        size_t to = skip_value(text, from);
        if (str_eq(key, STR("\"model\""))) {
            *ret_from = from;
            *ret_to = to;
            return true;
        }
        at = skip_space(text, to);
        if (at < text.len && text.data[at] == ',')
            at = skip_space(text, at + 1);
    }
    return false;
}

void passthrough_with_model(struct str body, struct str model, struct buf *out)
{
    size_t from, to;
    struct json_writer w;
    json_writer_init(&w, out);
    if (find_model(body, &from, &to)) {
        buf_append(out, str_slice(body, 0, from));
        json_put_str(&w, model);
        buf_append(out, str_skip(body, to));
        return;
    }
    size_t brace = str_find_char(body, '{');
    struct str rest = str_skip(body, brace + 1);
    size_t first = skip_space(rest, 0);
    buf_append(out, str_slice(body, 0, brace + 1));
    json_key_str(&w, "model", model);
    if (first < rest.len && rest.data[first] != '}')
        buf_append_char(out, ',');
    buf_append(out, rest);
}
