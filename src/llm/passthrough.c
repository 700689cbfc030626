/* Pass-through: replaces and drops top-level members of a JSON text that is known to be valid. */
#include "llm/passthrough.h"

#include "base/json.h"
#include "llm/json_span.h"

/* Parley's own members, which are no provider's business. */
static bool is_own(struct str key)
{
    return json_span_key_is(key, STR("models")) || json_span_key_is(key, STR("fallbacks"));
}

/* Appends what stands in `body` from *copied to `to`; it goes on at `next`. */
static void copy_to(struct str body, size_t *copied, size_t to, size_t next, struct buf *out)
{
    buf_append(out, str_slice(body, *copied, to - *copied));
    *copied = next;
}

/* The comma between two members stands in front of the second: a dropped one takes its comma along,
 * the first one the comma behind it. */
static void drop(struct str body, const struct json_span_member *member, bool is_first,
                 size_t *copied, struct buf *out)
{
    bool has_next = member->end < body.len && body.data[member->end] == ',';
    size_t from = is_first ? member->start : member->start - 1;
    copy_to(body, copied, from, is_first && has_next ? member->end + 1 : member->end, out);
}

static bool has_member(struct str body, size_t at, bool (*wanted)(struct str key))
{
    struct json_span_member member;
    while (json_span_member(body, &at, &member))
        if (wanted(member.key))
            return true;
    return false;
}

static bool is_model(struct str key)
{
    return json_span_key_is(key, STR("model"));
}

static bool is_kept(struct str key)
{
    return !is_own(key);
}

void passthrough_with_model(struct str body, struct str model, struct buf *out)
{
    size_t first = json_span_skip_space(body, 0) + 1; /* behind the brace */
    struct json_writer w;
    struct json_span_member member;
    size_t copied = 0;
    bool is_first = true;
    json_writer_init(&w, out);
    if (model.data && !has_member(body, first, is_model)) {
        copy_to(body, &copied, first, first, out);
        json_key_str(&w, "model", model);
        if (has_member(body, first, is_kept))
            buf_append_char(out, ',');
    }
    for (size_t at = first; json_span_member(body, &at, &member);) {
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

static bool is_one_of(struct str key, const struct str *names, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (json_span_key_is(key, names[i]))
            return true;
    return false;
}

bool passthrough_without(struct str body, const struct str *names, size_t count, struct buf *out,
                         struct buf *ret_cut)
{
    size_t brace = json_span_skip_space(body, 0), at = brace + 1, copied = 0;
    struct json_span_member member;
    bool is_first = true;
    if (brace >= body.len || body.data[brace] != '{')
        return false;
    while (json_span_member(body, &at, &member)) {
        if (!is_one_of(member.key, names, count)) {
            is_first = false;
            continue;
        }
        drop(body, &member, is_first, &copied, out);
        buf_append(ret_cut, str_slice(body, member.start, member.end - member.start));
        buf_append_char(ret_cut, ',');
    }
    buf_append(out, str_skip(body, copied));
    bool is_closed = at < body.len && body.data[at] == '}';
    return is_closed && json_span_skip_space(body, at + 1) == body.len;
}

void passthrough_with_model_in(struct str body, struct str list, struct str model, struct buf *out)
{
    struct json_span_member member;
    size_t copied = 0, from, to;
    for (size_t at = json_span_skip_space(body, 0) + 1; json_span_member(body, &at, &member);) {
        if (!json_span_key_is(member.key, list) || body.data[member.from] != '[')
            continue;
        for (size_t inside = member.from + 1; json_span_element(body, &inside, &from, &to);) {
            if (body.data[from] != '{')
                continue;
            copy_to(body, &copied, from, to, out);
            passthrough_with_model(str_slice(body, from, to - from), model, out);
        }
    }
    buf_append(out, str_skip(body, copied));
}
