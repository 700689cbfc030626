/* Pass-through: finds the top-level "model" of a JSON text that is known to be valid. */
#include "llm/passthrough.h"

#include "base/json.h"

/* Offset behind the string that begins at `at`: behind the next quote that an even number of
 * backslashes precedes. */
static size_t skip_string(struct str text, size_t at)
{
    for (size_t from = at + 1; from < text.len;) {
        size_t quote = str_find_char(str_skip(text, from), '"');
        if (quote == SIZE_MAX)
            break;
        quote += from;
        size_t backslashes = 0;
        while (quote - backslashes > at + 1 && text.data[quote - backslashes - 1] == '\\')
            backslashes++;
        if (backslashes % 2 == 0)
            return quote + 1;
        from = quote + 1;
    }
    return text.len;
}

static bool is_space(char c)
{
    return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

static size_t skip_space(struct str text, size_t at)
{
    while (at < text.len && is_space(text.data[at]))
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

/* One hexadecimal digit, or -1. */
static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Whether a key, as it stands between its quotes, reads "model": a letter may be written as
 * \u0000. */
static bool is_model_key(struct str key)
{
    static const char wanted[] = "model";
    size_t matched = 0;
    for (size_t at = 0; at < key.len; matched++) {
        int c = (unsigned char)key.data[at++];
        if (c == '\\' && at + 5 <= key.len && key.data[at] == 'u') {
            c = 0;
            for (size_t i = 1; i <= 4; i++)
                c = c * 16 + hex_digit(key.data[at + i]);
            at += 5;
        }
        if (matched >= sizeof wanted - 1 || c != wanted[matched])
            return false;
    }
    return matched == sizeof wanted - 1;
}

/* The members of an object, one by one. */
struct member {
    struct str key; /* without its quotes */
    size_t from;    /* the value's span */
    size_t to;
};

/* The member at or behind *at; *at moves on to the next. */
static bool next_member(struct str text, size_t *at, struct member *ret)
{
    *at = skip_space(text, *at);
    if (*at >= text.len || text.data[*at] != '"')
        return false;
    size_t key_end = skip_string(text, *at);
    ret->key = str_slice(text, *at + 1, key_end - *at - 2);
    ret->from = skip_space(text, skip_space(text, key_end) + 1); /* behind the colon */
    size_t end = skip_value(text, ret->from);
    for (ret->to = end; ret->to > ret->from && is_space(text.data[ret->to - 1]);)
        ret->to--;
    *at = end;
    if (*at < text.len && text.data[*at] == ',')
        (*at)++;
    return true;
}

static void add_model(struct str body, struct json_writer *w, struct str model)
{
    size_t brace = str_find_char(body, '{');
    struct str rest = str_skip(body, brace + 1);
    size_t first = skip_space(rest, 0);
    buf_append(w->out, str_slice(body, 0, brace + 1));
    json_key_str(w, "model", model);
    if (first < rest.len && rest.data[first] != '}')
        buf_append_char(w->out, ',');
    buf_append(w->out, rest);
}

void passthrough_with_model(struct str body, struct str model, struct buf *out)
{
    struct json_writer w;
    struct member member;
    size_t copied = 0;
    json_writer_init(&w, out);
    for (size_t at = skip_space(body, 0) + 1; next_member(body, &at, &member);) {
        if (!is_model_key(member.key))
            continue;
        buf_append(out, str_slice(body, copied, member.from - copied));
        w.comma = false;
        json_put_str(&w, model);
        copied = member.to;
    }
    if (copied)
        buf_append(out, str_skip(body, copied));
    else
        add_model(body, &w, model);
}
