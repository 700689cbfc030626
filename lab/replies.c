/* Finding a reply, and the replacing of the names in it. */
#include "replies.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"

static int compare(const void *path, const void *reply)
{
    return strcmp(path, ((const struct reply *)reply)->path);
}

struct str reply_find(const char *folder, const char *name)
{
    char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    const struct reply *found =
        bsearch(path, reply_table, reply_count, sizeof reply_table[0], compare);
    return found ? STR_FROM(found->bytes, found->len) : STR_NONE;
}

/* Replaces the name at the start of `rest`; returns its length, or 0 when there is none. */
static size_t render_name(struct buf *out, struct str rest, struct reply_values *values)
{
    const struct {
        struct str name;
        const struct str *text;
        uint64_t *number;
    } names[] = {
        {STR("@TEXT@"), &values->text, NULL},
        {STR("@MODEL@"), &values->model, NULL},
        {STR("@ALL@"), &values->all, NULL},
        {STR("@RETRY@"), NULL, &values->retry_after_s},
        {STR("@SEQ@"), NULL, &values->sequence},
        {STR("@TAG@"), NULL, &values->tag},
        {STR("@LIMIT@"), NULL, &values->limit},
        {STR("@REMAINING@"), NULL, &values->remaining},
        {STR("@RESET_MS@"), NULL, &values->reset_ms},
        {STR("@RESET_DATE@"), &values->reset_date, NULL},
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        if (!str_starts_with(rest, names[i].name))
            continue;
        if (names[i].text)
            json_escape(out, *names[i].text);
        else
            buf_printf(out, "%llu", (unsigned long long)*names[i].number);
        values->sequence += names[i].number == &values->sequence;
        return names[i].name.len;
    }
    return 0;
}

void reply_render(struct buf *out, struct str reply, struct reply_values *values)
{
    while (reply.len) {
        size_t plain = str_find_char(reply, '@');
        if (plain == SIZE_MAX)
            plain = reply.len;
        buf_append(out, str_slice(reply, 0, plain));
        reply = str_skip(reply, plain);
        size_t used = render_name(out, reply, values);
        if (!used && reply.len) {
            buf_append_char(out, '@');
            used = 1;
        }
        reply = str_skip(reply, used);
    }
}
