/* For tests of kept answers: entries. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "route/block.h"
#include "route/cache.h"
#include "route/tape.h"

static inline const struct cache_answer *cache_find_text(struct cache *cache, struct str key,
                                                         uint64_t now_ms, uint64_t age_max_ms)
{
    const struct parts parts = {&key, 1};
    struct cache_client *client = cache_client_new(cache);
    const struct cache_wanted wanted = {.id = {.key = parts, .hash = cache_hash(client, parts)},
                                        .now_ms = now_ms,
                                        .age_max_ms = age_max_ms};
    struct cache_name name;
    struct arena *arena = arena_new(SIZE_MAX);
    const struct cache_answer *answer = cache_find(client, &wanted, arena, &name);
    cache_stem_unpin(name.stem);
    arena_free(arena);
    cache_client_free(client);
    return answer;
}

/* `bytes_of`: its tape has the bytes of a stream of that dialect; NULL: events. */
static inline void cache_keep_tape(struct cache *cache, const char *key, const struct tape *tape,
                                   const struct dialect *bytes_of, uint64_t now_ms,
                                   uint64_t lives_ms)
{
    const struct str whole = str_from_cstr(key);
    const struct parts parts = {&whole, 1};
    struct cache_client *client = cache_client_new(cache);
    const struct cache_id id = {.key = parts, .hash = cache_hash(client, parts)};
    struct cache_answer answer = {.flags = STR("f"),
                                  .tape = tape->first,
                                  .target = STR("fake/m"),
                                  .provider = STR("fake"),
                                  .kept_ms = now_ms,
                                  .lives_ms = lives_ms};
    if (bytes_of) {
        answer.is_raw = true;
        answer.is_streamed = true;
        answer.dialect = bytes_of;
        answer.content_type = STR("t/t");
        answer.usage = LLM_USAGE_UNKNOWN;
    }
    cache_keep(client, &id, (struct cache_name){0}, &answer);
    cache_client_free(client);
}

/* An answer of that text. */
static inline void cache_keep_text(struct cache *cache, const char *key, struct str text,
                                   uint64_t now_ms, uint64_t lives_ms)
{
    struct tape tape;
    tape_init(&tape, NULL, 16 * 1024 * 1024);
    tape_add_bytes(&tape, text);
    cache_keep_tape(cache, key, &tape, NULL, now_ms, lives_ms);
    tape_done(&tape);
}

/* The value of a series ("name{labels} "). */
static inline int64_t cache_metric(struct metric_registry *metrics, const char *series)
{
    struct buf text;
    buf_init(&text, 1024 * 1024);
    metric_registry_write(metrics, &text);
    size_t at = str_find(buf_str(&text), str_from_cstr(series));
    assert_true(at != SIZE_MAX);
    int64_t value = strtoll(text.data + at + strlen(series), NULL, 10);
    buf_done(&text);
    return value;
}
