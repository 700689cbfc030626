/* Pass-through: replaces and drops top-level members of a JSON text that is known to be valid. Where
 * they stand is known from reading it (passthrough_find), or looked for byte by byte. */
#include "llm/passthrough.h"

#include <string.h>

#include "base/vec.h"
#include "llm/json_span.h"

static const struct {
    struct str key;
    enum passthrough_name name;
} names[] = {
    {{"model", 5}, PASSTHROUGH_MODEL},          {{"models", 6}, PASSTHROUGH_OWN},
    {{"fallbacks", 9}, PASSTHROUGH_OWN},        {{"stream", 6}, PASSTHROUGH_FLAG},
    {{"stream_options", 14}, PASSTHROUGH_FLAG},
};
enum { NAMES = sizeof names / sizeof names[0] };

/* ---- Where they stand ------------------------------------------------------------------------ */

static enum passthrough_name name_of(struct str key)
{
    for (size_t i = 0; i < NAMES; i++)
        if (key.len == names[i].key.len && memcmp(key.data, names[i].key.data, key.len) == 0)
            return names[i].name;
    return PASSTHROUGH_OTHER;
}

/* Of a key as it stands between its quotes, whose letters may be escapes. */
static enum passthrough_name name_as_written(struct str key)
{
    for (size_t i = 0; i < NAMES; i++)
        if (json_span_key_is(key, names[i].key))
            return names[i].name;
    return PASSTHROUGH_OTHER;
}

/* Offset of the last byte in front of `at` that is no white space; the body begins with a brace. */
static size_t last_before(struct str body, size_t at)
{
    do
        at--;
    while (strchr(" \n\t\r", body.data[at]));
    return at;
}

/* The member whose key begins, behind its quote, at `key`, and behind which `next` begins likewise;
 * 0: it is the last. */
static struct passthrough_member place(struct str body, size_t key, size_t next)
{
    struct passthrough_member member = {.start = last_before(body, key - 1) + 1};
    struct json_span_member span;
    member.end = last_before(body, next ? next - 1 : body.len);
    if (json_span_key(body, key - 1, &span))
        member.from = span.from;
    member.to = last_before(body, member.end) + 1;
    return member;
}

void passthrough_find(struct arena *arena, struct str body, yyjson_val *root, const char *copy,
                      struct passthrough_members *ret)
{
    struct passthrough_member *items = NULL;
    size_t capacity = 0;
    yyjson_obj_iter iterator;
    *ret = (struct passthrough_members){0};
    if (!yyjson_obj_iter_init(root, &iterator))
        return;
    for (yyjson_val *key = yyjson_obj_iter_next(&iterator), *next; key; key = next, ret->total++) {
        enum passthrough_name name = name_of(json_str(key));
        next = yyjson_obj_iter_next(&iterator);
        if (name == PASSTHROUGH_OTHER)
            continue;
        struct passthrough_member *member = VEC_PUSH(arena, items, ret->count, capacity);
        *member = place(body, (size_t)(yyjson_get_str(key) - copy),
                        next ? (size_t)(yyjson_get_str(next) - copy) : 0);
        member->name = name;
        member->index = ret->total;
    }
    ret->items = items;
}

/* Goes through them, wherever they are from; zeroed: at the first. */
struct cursor {
    size_t at;    /* of the items, or of the body */
    size_t total; /* members that were passed */
};

static bool next_scanned(struct str body, struct cursor *cursor, struct passthrough_member *ret)
{
    struct json_span_member span;
    if (cursor->at == 0)
        cursor->at = json_span_skip_space(body, 0) + 1; /* behind the brace */
    while (json_span_member(body, &cursor->at, &span)) {
        enum passthrough_name name = name_as_written(span.key);
        size_t index = cursor->total++;
        if (name == PASSTHROUGH_OTHER)
            continue;
        *ret = (struct passthrough_member){name, index, span.start, span.end, span.from, span.to};
        return true;
    }
    return false;
}

static bool next_member(struct str body, const struct passthrough_members *members,
                        struct cursor *cursor, struct passthrough_member *ret)
{
    if (!members)
        return next_scanned(body, cursor, ret);
    cursor->total = members->total;
    if (cursor->at == members->count)
        return false;
    *ret = members->items[cursor->at++];
    return true;
}

/* ---- What goes ------------------------------------------------------------------------------- */

/* The comma between two members stands in front of the second: one that goes takes its comma along,
 * the first one the comma behind it. */
static struct passthrough_cut cut_of(struct str body, const struct passthrough_member *member,
                                     bool is_first)
{
    bool has_next = member->end < body.len && body.data[member->end] == ',';
    return (struct passthrough_cut){is_first ? member->start : member->start - 1,
                                    is_first && has_next ? member->end + 1 : member->end,
                                    member->start, member->end};
}

size_t passthrough_cuts(struct str body, const struct passthrough_members *members,
                        struct passthrough_cut *ret_cuts)
{
    struct cursor cursor = {0};
    struct passthrough_member member;
    size_t count = 0;
    while (count <= PASSTHROUGH_CUTS_MAX && next_member(body, members, &cursor, &member)) {
        if (member.name != PASSTHROUGH_FLAG)
            continue;
        if (count < PASSTHROUGH_CUTS_MAX)
            ret_cuts[count] = cut_of(body, &member, member.index == count);
        count++;
    }
    return count;
}

/* ---- Writing --------------------------------------------------------------------------------- */

/* Appends what stands in `body` from *copied to `to`; it goes on at `next`. */
static void copy_to(struct str body, size_t *copied, size_t to, size_t next, struct buf *out)
{
    buf_append(out, str_slice(body, *copied, to - *copied));
    *copied = next;
}

/* Puts the model in front of all members, where none names it. */
static void add_model(struct str body, const struct passthrough_members *members, struct str model,
                      size_t *copied, struct buf *out)
{
    struct cursor cursor = {0};
    struct passthrough_member member;
    struct json_writer w;
    size_t own = 0, first = json_span_skip_space(body, 0) + 1; /* behind the brace */
    while (next_member(body, members, &cursor, &member)) {
        if (member.name == PASSTHROUGH_MODEL)
            return;
        own += member.name == PASSTHROUGH_OWN;
    }
    copy_to(body, copied, first, first, out);
    json_writer_init(&w, out);
    json_key_str(&w, "model", model);
    if (cursor.total > own)
        buf_append_char(out, ',');
}

void passthrough_with_model(struct str body, const struct passthrough_members *members,
                            struct str model, struct buf *out)
{
    struct cursor cursor = {0};
    struct passthrough_member member;
    size_t copied = 0, dropped = 0;
    if (model.data)
        add_model(body, members, model, &copied, out);
    while (next_member(body, members, &cursor, &member)) {
        if (member.name == PASSTHROUGH_OWN) {
            struct passthrough_cut cut = cut_of(body, &member, member.index == dropped++);
            copy_to(body, &copied, cut.from, cut.to, out);
        } else if (member.name == PASSTHROUGH_MODEL && model.data) {
            struct json_writer w;
            copy_to(body, &copied, member.from, member.to, out);
            json_writer_init(&w, out);
            json_put_str(&w, model);
        }
    }
    buf_append(out, str_skip(body, copied));
}

/* One object, with the model in it. */
static void copy_object(struct str body, size_t *copied, size_t from, size_t to, struct str model,
                        struct buf *out)
{
    if (body.data[from] != '{')
        return;
    copy_to(body, copied, from, to, out);
    passthrough_with_model(str_slice(body, from, to - from), NULL, model, out);
}

void passthrough_with_model_in(struct str body, struct str member_name, struct str model,
                               struct buf *out)
{
    struct json_span_member span;
    size_t copied = 0, dropped = 0, from, to, at = json_span_skip_space(body, 0) + 1;
    for (size_t index = 0; json_span_member(body, &at, &span); index++) {
        if (name_as_written(span.key) == PASSTHROUGH_OWN) {
            const struct passthrough_member own = {.start = span.start, .end = span.end};
            struct passthrough_cut cut = cut_of(body, &own, index == dropped++);
            copy_to(body, &copied, cut.from, cut.to, out);
        }
        if (!json_span_key_is(span.key, member_name))
            continue;
        copy_object(body, &copied, span.from, span.to, model, out);
        if (body.data[span.from] != '[')
            continue;
        for (size_t inside = span.from + 1; json_span_element(body, &inside, &from, &to);)
            copy_object(body, &copied, from, to, model, out);
    }
    buf_append(out, str_skip(body, copied));
}
