/* Prompt marks: three of the four that a request may have. The form is in Anthropic's "Prompt
 * caching". A tool whose definition is loaded later must have none. Between encoding and sending. */
#include "llm/prompt_marks.h"

#include "llm/json_span.h"

#define MARK "\"cache_control\":{\"type\":\"ephemeral\"}"

enum { EDITS_MAX = 3 };

/* What stands in front of a span of the body and what behind it, to mark it. */
struct edit {
    size_t from;
    size_t to;
    struct str before;
    struct str behind;
};

struct marking {
    struct str body;
    struct edit edits[EDITS_MAX]; /* in their order in the body */
    size_t edit_count;
};

static void add_edit(struct marking *marking, struct edit edit)
{
    size_t at = marking->edit_count++;
    for (; at > 0 && marking->edits[at - 1].from > edit.from; at--)
        marking->edits[at] = marking->edits[at - 1];
    marking->edits[at] = edit;
}

/* Whether the body's caller has marked something himself, at any depth: no value of a string stands
 * in front of a colon. */
static bool has_mark(struct str body)
{
    const struct str key = STR("\"cache_control\"");
    size_t at;
    for (struct str rest = body; (at = str_find(rest, key)) != SIZE_MAX;) {
        rest = str_skip(rest, at + key.len);
        size_t colon = json_span_skip_space(rest, 0);
        if (colon < rest.len && rest.data[colon] == ':')
            return true;
    }
    return false;
}

/* Whether what begins at `at` begins so. */
static bool begins_with(struct str body, size_t at, char c)
{
    return at < body.len && body.data[at] == c;
}

/* The member of the object at `from`; false when it is absent, or there twice. */
static bool find_member(struct str body, size_t from, struct str name,
                        struct json_span_member *ret_member)
{
    struct json_span_member member;
    size_t count = 0, at = from + 1;
    if (!begins_with(body, from, '{'))
        return false;
    while (json_span_member(body, &at, &member)) {
        if (!json_span_key_is(member.key, name))
            continue;
        *ret_member = member;
        count++;
    }
    return count == 1;
}

static bool is_text(const struct marking *marking, size_t from, size_t to, struct str wanted)
{
    return str_eq(str_slice(marking->body, from, to - from), wanted);
}

/* Marks the object whose span it is. */
static void mark_object(struct marking *marking, size_t from, size_t to)
{
    struct str body = marking->body;
    if (!begins_with(body, from, '{') || to - from < 2 || body.data[to - 1] != '}')
        return;
    bool is_empty = json_span_skip_space(body, from + 1) == to - 1;
    add_edit(marking, (struct edit){to - 1, to - 1, STR(""), is_empty ? STR(MARK) : STR("," MARK)});
}

/* The array's last element; false when there is none. */
static bool last_element(struct str body, size_t array, size_t *ret_from, size_t *ret_to)
{
    size_t at = array + 1;
    bool has = false;
    if (!begins_with(body, array, '['))
        return false;
    while (json_span_element(body, &at, ret_from, ret_to))
        has = true;
    return has;
}

/* Content is a text, or an array of blocks. Empty texts cannot be marked. */
static void mark_content(struct marking *marking, const struct json_span_member *content)
{
    struct json_span_member text;
    size_t from, to;
    if (begins_with(marking->body, content->from, '"')) {
        if (!is_text(marking, content->from, content->to, STR("\"\"")))
            add_edit(marking,
                     (struct edit){content->from, content->to, STR("[{\"type\":\"text\",\"text\":"),
                                   STR("," MARK "}]")});
        return;
    }
    if (!last_element(marking->body, content->from, &from, &to))
        return;
    if (!find_member(marking->body, from, STR("text"), &text) ||
        !is_text(marking, text.from, text.to, STR("\"\"")))
        mark_object(marking, from, to);
}

static void mark_tools(struct marking *marking, const struct json_span_member *tools)
{
    struct json_span_member member;
    size_t from, to;
    if (last_element(marking->body, tools->from, &from, &to) &&
        !find_member(marking->body, from, STR("defer_loading"), &member))
        mark_object(marking, from, to);
}

static void mark_messages(struct marking *marking, const struct json_span_member *messages)
{
    struct json_span_member role, content;
    size_t at = messages->from + 1, from, to, last = SIZE_MAX;
    if (!begins_with(marking->body, messages->from, '['))
        return;
    while (json_span_element(marking->body, &at, &from, &to))
        if (find_member(marking->body, from, STR("role"), &role) &&
            is_text(marking, role.from, role.to, STR("\"user\"")))
            last = from;
    if (last != SIZE_MAX && find_member(marking->body, last, STR("content"), &content))
        mark_content(marking, &content);
}

void prompt_marks_add(struct str body, struct buf *out)
{
    static const struct {
        struct str name;
        void (*mark)(struct marking *marking, const struct json_span_member *member);
    } members[] = {{{"tools", 5}, mark_tools},
                   {{"system", 6}, mark_content},
                   {{"messages", 8}, mark_messages}};
    struct marking marking = {.body = body};
    struct json_span_member member;
    size_t root = json_span_skip_space(body, 0), copied = 0;
    size_t count = has_mark(body) ? 0 : sizeof members / sizeof members[0];
    for (size_t i = 0; i < count; i++)
        if (find_member(body, root, members[i].name, &member))
            members[i].mark(&marking, &member);
    for (size_t i = 0; i < marking.edit_count; i++) {
        const struct edit *edit = &marking.edits[i];
        buf_append(out, str_slice(body, copied, edit->from - copied));
        buf_append(out, edit->before);
        buf_append(out, str_slice(body, edit->from, edit->to - edit->from));
        buf_append(out, edit->behind);
        copied = edit->to;
    }
    buf_append(out, str_skip(body, copied));
}
