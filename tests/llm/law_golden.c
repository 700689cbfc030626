/* Golden files: literal bytes of a provider, and the canonical events that they are. */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "law.h"

enum { FILE_BYTES_MAX = 1024 * 1024 };

static void read_file(const char *path, struct buf *out)
{
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    char *room = buf_reserve(out, FILE_BYTES_MAX);
    assert_non_null(room);
    buf_commit(out, fread(room, 1, FILE_BYTES_MAX, file));
    fclose(file);
}

/* Cuts the next section off *text: its kind, what stands behind it, and its body. */
static bool next_section(struct str *text, struct str *ret_kind, struct str *ret_body)
{
    if (!str_starts_with(*text, STR("=== ")))
        return false;
    *text = str_skip(*text, 4);
    *ret_kind = str_next(text, '\n');
    if (!text->data)
        *text = STR("");
    size_t end = str_find(*text, STR("\n=== "));
    if (str_starts_with(*text, STR("=== ")))
        end = 0;
    else
        end = end == SIZE_MAX ? text->len : end + 1;
    *ret_body = str_slice(*text, 0, end);
    *text = str_skip(*text, end);
    return true;
}

static void write_error(const struct llm_error *error, struct buf *out)
{
    struct llm_event event = {.kind = LLM_EVENT_ERROR, .error = error};
    law_event_text(&event, STR_NONE, out);
}

static void run_response(const struct dialect *dialect, struct str body, struct buf *out)
{
    struct arena *arena = arena_new(FILE_BYTES_MAX);
    struct llm_response response = {0};
    struct llm_error error = {0};
    enum err code = dialect->decode_response(arena, body, &response, &error);
    if (code)
        write_error(&error, out);
    else
        llm_response_replay(&response, law_write_event, &(struct law_writing){body, out});
    assert_int_equal(code, code ? error.class : ERR_OK);
    arena_free(arena);
}

static void run_error(const struct dialect *dialect, struct str status, struct str body,
                      struct buf *out)
{
    struct arena *arena = arena_new(FILE_BYTES_MAX);
    struct http_headers headers = {0};
    struct llm_error error = {0};
    while (str_starts_with(body, STR("header: "))) {
        struct str line = str_next(&body, '\n');
        line = str_skip(line, 8);
        struct str name = str_next(&line, ':');
        http_headers_add(&headers, arena, name, str_trim(line));
    }
    int64_t number = 0;
    assert_true(str_to_i64(str_trim(status), &number));
    dialect->decode_error(arena, (int)number, &headers, body, &error);
    write_error(&error, out);
    arena_free(arena);
}

static void run_section(const struct dialect *dialect, struct str kind, struct str body,
                        struct buf *out)
{
    buf_clear(out);
    if (str_eq(kind, STR("stream"))) {
        law_decode_stream(dialect, body, 0, 0, out);
        law_every_split(dialect, body);
    } else if (str_eq(kind, STR("response"))) {
        run_response(dialect, body, out);
    } else if (str_starts_with(kind, STR("error "))) {
        run_error(dialect, str_skip(kind, 6), body, out);
    } else if (!str_eq(kind, STR("note"))) {
        print_error("unknown section '%.*s'\n", STR_ARG(kind));
        fail();
    }
}

static void run_file(const struct dialect *dialect, const char *path)
{
    struct buf file, result;
    buf_init(&file, 2 * FILE_BYTES_MAX);
    buf_init(&result, FILE_BYTES_MAX);
    read_file(path, &file);
    struct str text = buf_str(&file), kind, body;
    while (next_section(&text, &kind, &body)) {
        if (!str_eq(kind, STR("events"))) {
            run_section(dialect, kind, body, &result);
            continue;
        }
        bool same = str_eq(str_trim(buf_str(&result)), str_trim(body));
        if (!same)
            print_error("%s\n--- expected\n%.*s\n--- got\n%.*s\n", path, STR_ARG(body),
                        STR_ARG(buf_str(&result)));
        assert_true(same);
    }
    assert_int_equal(text.len, 0);
    buf_done(&file);
    buf_done(&result);
}

void law_golden(const struct dialect *dialect, const char *folder)
{
    char path[1024];
    struct dirent **entries;
    char root[512];
    snprintf(root, sizeof root, "%s%s%s", folder[0] == '/' ? "" : LLM_TEST_FOLDER,
             folder[0] == '/' ? "" : "/", folder);
    int count = scandir(root, &entries, NULL, alphasort);
    int files = 0;
    assert_true(count >= 0);
    for (int i = 0; i < count; i++) {
        if (entries[i]->d_name[0] != '.') {
            snprintf(path, sizeof path, "%s/%s", root, entries[i]->d_name);
            run_file(dialect, path);
            files++;
        }
        free(entries[i]);
    }
    free(entries);
    assert_true(files > 0);
}
