/* Which kinds of providers have batches of their own, and what all their forms have in common. */
#include "chat/batch_hand_form.h"

enum { ID_BYTES_MAX = 200 };

static const struct {
    const char *kind;
    const struct hand_form *form;
} kinds[] = {
    {"openai", &hand_form_openai},
    {"openai-responses", &hand_form_openai},
    {"anthropic", &hand_form_anthropic},
    {"gemini", &hand_form_gemini},
};

const struct hand_form *hand_form_find(const struct provider_kind *kind)
{
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
        if (str_eq(str_from_cstr(kind->name), str_from_cstr(kinds[i].kind)))
            return kinds[i].form;
    return NULL;
}

bool hand_form_takes(const struct hand_form *form, const struct batch_endpoint *endpoint)
{
    return form->dialect ? !endpoint->embedding : endpoint->form == form->takes;
}

struct str hand_line_name(struct arena *arena, const struct hand_form *form,
                          const struct batch_line *line)
{
    return form->dialect ? arena_printf(arena, "%lld", (long long)line->number) : line->custom_id;
}

struct str hand_path(struct arena *arena, const struct hand_form *form, struct str id,
                     const char *action)
{
    return arena_printf(arena, "%s/%.*s%s", form->batch_path, STR_ARG(id), action);
}

/* ---- What they say --------------------------------------------------------------------------- */

bool hand_is_id(struct str text)
{
    for (size_t i = 0; i < text.len; i++) {
        char c = text.data[i];
        bool is_letter = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
        if (!is_letter && !(c >= '0' && c <= '9') && c != '-' && c != '_')
            return false;
    }
    return text.len > 0 && text.len <= ID_BYTES_MAX;
}

struct str hand_read_id(yyjson_val *root, const char *member)
{
    struct str id = json_get_str(root, member);
    return hand_is_id(id) ? id : STR_NONE;
}

int64_t hand_read_count(yyjson_val *counts, const char *member)
{
    int64_t count = 0;
    bool is_count =
        json_get_int(counts, member, &count) || str_to_i64(json_get_str(counts, member), &count);
    return is_count && count > 0 ? count : 0;
}

void hand_each_line(struct arena *arena, struct str text, hand_each_fn *each, void *user)
{
    while (text.data && text.len) {
        struct str line = str_trim(str_next(&text, '\n'));
        yyjson_val *root;
        arena_reset(arena);
        if (line.len && json_read(arena, line, &root, NULL) == ERR_OK)
            each(user, root);
    }
}
