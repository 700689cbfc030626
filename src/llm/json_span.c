/* JSON spans: walks over a JSON text that is known to be valid. Below passthrough and prompt_marks. */
#include "llm/json_span.h"

#include <string.h>

/* Offset behind the string that begins at `at`: behind the next quote that an even number of
 * backslashes precedes. */
static size_t skip_string(struct str text, size_t at)
{
    const char *first = text.data + at + 1, *end = text.data + text.len;
    for (const char *from = first; from < end;) {
        const char *quote = memchr(from, '"', (size_t)(end - from)), *before = quote;
        if (!quote)
            break;
        while (before > first && before[-1] == '\\')
            before--;
        from = quote + 1;
        if ((quote - before) % 2 == 0)
            return (size_t)(from - text.data);
    }
    return text.len;
}

static bool is_space(char c)
{
    return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

size_t json_span_skip_space(struct str text, size_t at)
{
    while (at < text.len && is_space(text.data[at]))
        at++;
    return at;
}

/* What a byte outside of strings means for where a value ends. */
enum { IS_PLAIN, IS_QUOTE, IS_OPENING, IS_CLOSING, IS_COMMA };
static const unsigned char meanings[256] = {
    ['"'] = IS_QUOTE,   ['{'] = IS_OPENING, ['['] = IS_OPENING,
    ['}'] = IS_CLOSING, [']'] = IS_CLOSING, [','] = IS_COMMA};

/* Offset behind the value that begins at `at`, at the comma, brace or bracket. */
static size_t skip_value(struct str text, size_t at)
{
    size_t depth = 0;
    while (at < text.len) {
        unsigned char meaning = meanings[(unsigned char)text.data[at]];
        if (meaning == IS_QUOTE) {
            at = skip_string(text, at);
            continue;
        }
        if (depth == 0 && meaning >= IS_CLOSING)
            return at;
        depth += meaning == IS_OPENING;
        depth -= meaning == IS_CLOSING;
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

bool json_span_key_is(struct str key, struct str wanted)
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

/* Takes the value at `from`; *at moves behind it and its comma. Returns where the value ends; *ret_end
 * is at what stands behind it. */
static size_t take_value(struct str text, size_t from, size_t *at, size_t *ret_end)
{
    size_t end = skip_value(text, from);
    size_t to = end;
    while (to > from && is_space(text.data[to - 1]))
        to--;
    *ret_end = end;
    *at = end < text.len && text.data[end] == ',' ? end + 1 : end;
    return to;
}

bool json_span_key(struct str text, size_t at, struct json_span_member *ret)
{
    size_t key_end = skip_string(text, at);
    size_t colon = json_span_skip_space(text, key_end);
    if (key_end < at + 2 || colon >= text.len)
        return false;
    ret->key = str_slice(text, at + 1, key_end - at - 2);
    ret->from = json_span_skip_space(text, colon + 1);
    return true;
}

bool json_span_member(struct str text, size_t *at, struct json_span_member *ret)
{
    ret->start = *at;
    *at = json_span_skip_space(text, *at);
    if (*at >= text.len || text.data[*at] != '"' || !json_span_key(text, *at, ret))
        return false;
    ret->to = take_value(text, ret->from, at, &ret->end);
    return true;
}

bool json_span_element(struct str text, size_t *at, size_t *ret_from, size_t *ret_to)
{
    size_t end;
    *at = json_span_skip_space(text, *at);
    if (*at >= text.len || text.data[*at] == ']')
        return false;
    *ret_from = *at;
    *ret_to = take_value(text, *ret_from, at, &end);
    return *ret_to > *ret_from;
}
