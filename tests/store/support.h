/* What the tests of this floor share: a data directory of their own, and records to put in it. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/crypto.h"
#include "store/records.h"
#include "store/sqlite.h"
#include "store/store.h"

/* A new folder under /tmp (or TMPDIR); remove it with directory_remove. */
static inline char *directory_new(void)
{
    const char *parent = getenv("TMPDIR");
    char *path = NULL;
    assert_true(asprintf(&path, "%s/parley-test-XXXXXX", parent ? parent : "/tmp") > 0);
    assert_non_null(mkdtemp(path));
    return path;
}

static inline void directory_remove(char *path)
{
    char *command = NULL;
    assert_true(asprintf(&command, "rm -rf '%s'", path) > 0);
    assert_int_equal(system(command), 0);
    free(command);
    free(path);
}

static inline struct store *open_store(const char *directory)
{
    struct store *store = NULL;
    struct error error = {0};
    const struct store_options options = {.directory = directory};
    if (store_open(&options, &store, &error) != ERR_OK)
        fail_msg("store_open: %s", error_message(&error));
    return store;
}

static inline struct store_user make_user(const char *email)
{
    return (struct store_user){.id = id_new(clock_wall_ms()),
                               .email = str_from_cstr(email),
                               .name = STR("Name"),
                               .role = STR("user"),
                               .password_hash = STR("$argon2id$"),
                               .created_ms = clock_wall_ms()};
}

static inline struct store_conversation make_conversation(const struct id *owner, int64_t time_ms)
{
    return (struct store_conversation){.owner = *owner,
                                       .id = id_new(time_ms),
                                       .title = STR("A title"),
                                       .model = STR("eliza/eliza"),
                                       .created_ms = time_ms,
                                       .updated_ms = time_ms};
}

static inline struct store_message make_message(const struct store_conversation *conversation,
                                                const struct id *parent)
{
    return (struct store_message){.owner = conversation->owner,
                                  .conversation = conversation->id,
                                  .id = id_new(clock_wall_ms()),
                                  .parent = parent ? *parent : (struct id){0},
                                  .role = STR("user"),
                                  .content = STR("[{\"type\":\"text\",\"text\":\"hello\"}]"),
                                  .created_ms = clock_wall_ms()};
}

/* "ok", or the first thing wrong with the whole database. */
static inline enum err check_integrity(struct store_tx *tx, void *user, struct error *error)
{
    (void)user;
    struct arena *arena = arena_new(65536);
    struct query query = query_begin(tx->sqlite, "PRAGMA integrity_check(1)");
    struct str text = query_next(&query) ? query_text(&query, arena) : STR("no answer");
    bool good = str_eq(text, STR("ok"));
    if (!good)
        print_error("integrity_check: %.*s\n", STR_ARG(text));
    enum err code = query_end(&query, error);
    arena_free(arena);
    return code == ERR_OK && !good ? ERR_CORRUPT : code;
}
