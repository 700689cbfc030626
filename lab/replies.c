/* Files to strings, once at the start, and the replacing of the names in them. */
#include "replies.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "base/map.h"
#include "fake_dialect.h"

enum { FILE_BYTES_MAX = 1024 * 1024, FILES_BYTES_MAX = 16 * 1024 * 1024 };

struct reply_file {
    struct str bytes;
};

struct replies {
    struct arena *arena;
    struct map *files; /* "folder/name" to struct reply_file */
};

static bool read_file(const char *path, struct buf *out)
{
    FILE *file = fopen(path, "r");
    if (!file)
        return false;
    char *room = buf_reserve(out, FILE_BYTES_MAX);
    size_t count = room ? fread(room, 1, FILE_BYTES_MAX, file) : 0;
    if (room)
        buf_commit(out, count);
    bool whole = room && !ferror(file) && count < FILE_BYTES_MAX;
    fclose(file);
    return whole;
}

static enum err load_file(struct replies *replies, const char *directory, const char *folder,
                          const char *name, struct error *error)
{
    struct str path = arena_printf(replies->arena, "%s/%s/%s", directory, folder, name);
    struct str key = arena_printf(replies->arena, "%s/%s", folder, name);
    struct buf bytes;
    buf_init(&bytes, FILE_BYTES_MAX);
    bool whole = read_file(path.data, &bytes);
    if (whole) {
        struct reply_file *file = ARENA_NEW(replies->arena, struct reply_file);
        file->bytes = arena_str(replies->arena, buf_str(&bytes));
        map_set(replies->files, key, file);
    }
    buf_done(&bytes);
    return whole ? ERR_OK : error_set(error, ERR_STORAGE, NULL, "cannot read %s", path.data);
}

static enum err load_folder(struct replies *replies, const char *directory, const char *folder,
                            struct error *error)
{
    struct str path = arena_printf(replies->arena, "%s/%s", directory, folder);
    DIR *entries = opendir(path.data);
    if (!entries)
        return error_set(error, ERR_NOT_FOUND, NULL, "cannot open %s: %s", path.data,
                         strerror(errno));
    enum err code = ERR_OK;
    struct dirent *entry;
    while (code == ERR_OK && (entry = readdir(entries))) {
        if (entry->d_name[0] != '.')
            code = load_file(replies, directory, folder, entry->d_name, error);
    }
    closedir(entries);
    return code;
}

enum err replies_load(const char *directory, struct replies **ret, struct error *error)
{
    struct replies *replies = calloc(1, sizeof *replies);
    replies->arena = arena_new(FILES_BYTES_MAX);
    replies->files = map_new();
    enum err code = ERR_OK;
    for (int i = 0; i < FAKE_DIALECT_COUNT && code == ERR_OK; i++)
        code =
            load_folder(replies, directory, fake_dialect((enum fake_dialect_name)i)->folder, error);
    if (code == ERR_OK)
        *ret = replies;
    else
        replies_free(replies);
    return code;
}

void replies_free(struct replies *replies)
{
    if (!replies)
        return;
    map_free(replies->files);
    arena_free(replies->arena);
    free(replies);
}

struct str replies_get(const struct replies *replies, const char *folder, const char *name)
{
    char key[128];
    int length = snprintf(key, sizeof key, "%s/%s", folder, name);
    const struct reply_file *file = map_get(replies->files, STR_FROM(key, (size_t)length));
    return file ? file->bytes : STR_NONE;
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
