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

/* Whether a key, as it stands between its quotes, reads `wanted`: a letter may be written as
 * \u0000. */
static bool key_is(struct str key, struct str wanted)
{
    size_t matched = 0;
    for (size_t at = 0; at < key.len; matched++) {
        int c = (unsigned char)key.data[at++];
        if (c == '\\' && at + 5 <= key.len && key.data[at] == 'u') {
            c = 0;
            for (size_t i = 1; i <= 4; i++)
                c = c * 16 + hex_digit(key.data[at + i]);
            at += 5;
        }
        if (matched >= wanted.len || c != wanted.data[matched])
            return false;
    }
    return matched == wanted.len;
}

/* The members of an object, one by one. */
struct member {
    struct str key; /* without its quotes */
    size_t start;   /* behind the brace or comma in front of it */
    size_t end;     /* at the comma or brace behind it */
    size_t from;    /* the value's span */
    size_t to;
};

/* The member at or behind *at; *at moves on to the next. */
static bool next_member(struct str text, size_t *at, struct member *ret)
{
    ret->start = *at;
    *at = skip_space(text, *at);
    if (*at >= text.len || text.data[*at] != '"')
        return false;
    size_t key_end = skip_string(text, *at);
    ret->key = str_slice(text, *at + 1, key_end - *at - 2);
    ret->from = skip_space(text, skip_space(text, key_end) + 1); /* behind the colon */
    size_t end = skip_value(text, ret->from);
    for (ret->to = end; ret->to > ret->from && is_space(text.data[ret->to - 1]);)
        ret->to--;
    ret->end = *at = end;
    if (*at < text.len && text.data[*at] == ',')
        (*at)++;
    return true;
}

/* Parley's own members, which are no provider's business. */
static bool is_own(struct str key)
{
    return key_is(key, STR("models")) || key_is(key, STR("fallbacks"));
}

/* Appends what stands in `body` from *copied to `to`; it goes on at `next`. */
static void copy_to(struct str body, size_t *copied, size_t to, size_t next, struct buf *out)
{
    buf_append(out, str_slice(body, *copied, to - *copied));
    *copied = next;
}

/* The comma between two members stands in front of the second: a dropped one takes its comma along,
 * the first one the comma behind it. */
static void drop(struct str body, const struct member *member, bool is_first, size_t *copied,
                 struct buf *out)
{
    bool has_next = member->end < body.len && body.data[member->end] == ',';
    size_t from = is_first ? member->start : member->start - 1;
    copy_to(body, copied, from, is_first && has_next ? member->end + 1 : member->end, out);
}

static bool has_member(struct str body, size_t at, bool (*wanted)(struct str key))
{
    struct member member;
    while (next_member(body, &at, &member))
        if (wanted(member.key))
            return true;
    return false;
}

static bool is_model(struct str key)
{
    return key_is(key, STR("model"));
}

static bool is_kept(struct str key)
{
    return !is_own(key);
}

void passthrough_with_model(struct str body, struct str model, struct buf *out)
{
    size_t first = skip_space(body, 0) + 1; /* behind the brace */
    struct json_writer w;
    struct member member;
    size_t copied = 0;
    bool is_first = true;
    json_writer_init(&w, out);
    if (model.data && !has_member(body, first, is_model)) {
        copy_to(body, &copied, first, first, out);
        json_key_str(&w, "model", model);
        if (has_member(body, first, is_kept))
            buf_append_char(out, ',');
    }
    for (size_t at = first; next_member(body, &at, &member);) {
        if (is_own(member.key)) {
            drop(body, &member, is_first, &copied, out);
            continue;
        }
        is_first = false;
        if (!model.data || !is_model(member.key))
            continue;
        copy_to(body, &copied, member.from, member.to, out);
        w.comma = false;
        json_put_str(&w, model);
    }
    buf_append(out, str_skip(body, copied));
}
