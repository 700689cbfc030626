/* For tests of kept answers: facts of one, and entries. */
#pragma once

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "llm/provider.h"
#include "route/block.h"
#include "route/cache.h"
#include "route/tape.h"

/* Of an answer of "fake/m"; give it back with facts_unref. */
static inline struct facts *cache_facts(void)
{
    struct provider provider = {.name = STR("fake")};
    const struct target target = {.id = STR("fake/m"), .provider = &provider};
    const struct target *const targets[] = {&target};
    const struct route_group group = {.targets = targets, .count = 1};
    return facts_of_plan(&(struct route_plan){.groups = &group, .group_count = 1});
}

static inline struct cache_entry *cache_find_text(struct cache *cache, struct str key,
                                                  uint64_t now_ms, uint64_t age_max_ms)
{
    return cache_find(cache, key, cache_hash(cache, key), now_ms, age_max_ms);
}

/* `bytes_of`: its tape has the bytes of a stream of that dialect; NULL: events. */
static inline void cache_keep_tape(struct cache *cache, const char *key, struct str tape,
                                   const struct dialect *bytes_of, uint64_t now_ms,
                                   uint64_t lives_ms)
{
    struct facts *facts = cache_facts();
    size_t key_len = strlen(key);
    char *text = malloc(key_len + 1), *bytes = malloc(tape.len + 1);
    assert_non_null(text);
    assert_non_null(bytes);
    memcpy(text, key, key_len);
    text[key_len] = 'f';
    if (tape.len)
        memcpy(bytes, tape.data, tape.len);
    struct cache_entry entry = {.hash = cache_hash(cache, str_from_cstr(key)),
                                .text = text,
                                .key = STR_FROM(text, key_len),
                                .flags = STR_FROM(text + key_len, 1),
                                .tape = STR_FROM(bytes, tape.len),
                                .facts = facts,
                                .kept_ms = now_ms,
                                .lives_ms = lives_ms};
    if (bytes_of) {
        entry.is_raw = true;
        entry.is_streamed = true;
        entry.dialect = bytes_of;
        entry.content_type = STR("t/t");
        entry.usage = LLM_USAGE_UNKNOWN;
    }
    cache_keep(cache, &entry);
}

static inline void cache_keep_text(struct cache *cache, const char *key, struct str tape,
                                   uint64_t now_ms, uint64_t lives_ms)
{
    cache_keep_tape(cache, key, tape, NULL, now_ms, lives_ms);
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
