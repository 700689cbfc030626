/* Memo: small results that are the same whenever they are asked for, as the vector of a text: kept in
 * memory, for all loops; what was not used for longest goes when there is no room. Any thread. */
#pragma once

#include "base/arena.h"

struct memo;

/* What a result belongs to: the parts of which it is a pure function, and whose it is. Two keys are
 * the same when all their parts are. */
struct memo_key {
    unsigned char bytes[32];
};
/* `parts` in order. The first is the tenant: nothing crosses it. */
struct memo_key memo_key_of(const struct str *parts, size_t count);

struct memo *memo_new(size_t bytes_max);
/* NULL is allowed. */
void memo_free(struct memo *memo);

/* A copy in the arena, of what was kept no longer than its life ago. False: there is none. `memo` may
 * be NULL. */
bool memo_get(struct memo *memo, const struct memo_key *key, uint64_t now_ms, struct arena *arena,
              struct str *ret_value);
/* Keeps a copy in place of what was there. What is larger than a sixteenth of all room is not kept.
 * `memo` may be NULL. */
void memo_put(struct memo *memo, const struct memo_key *key, struct str value, uint64_t now_ms,
              uint64_t lives_ms);
/* Bytes in use, with what each entry costs beside its value. */
size_t memo_bytes(struct memo *memo);
