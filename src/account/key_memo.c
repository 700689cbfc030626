/* Key memo: a direct-mapped table; a new key takes its place from an older one. */
#include "account/key_memo.h"

#include <sodium.h>
#include <stdlib.h>

#include "base/assert.h"

enum { PLACES = 1024 };

struct key_memo {
    unsigned char seed[crypto_shorthash_siphashx24_KEYBYTES];
    struct key_memo_entry places[PLACES];
};

struct key_memo *key_memo_new(void)
{
    struct key_memo *memo = calloc(1, sizeof *memo);
    ASSERT(memo);
    randombytes_buf(memo->seed, sizeof memo->seed);
    return memo;
}

void key_memo_free(struct key_memo *memo)
{
    if (!memo)
        return;
    for (size_t i = 0; i < PLACES; i++)
        policy_unref(memo->places[i].policy);
    sodium_memzero(memo, sizeof *memo);
    free(memo);
}

struct key_memo_tag key_memo_tag(const struct key_memo *memo, struct str text)
{
    struct key_memo_tag tag;
    _Static_assert(sizeof tag == crypto_shorthash_siphashx24_BYTES, "it fills the tag");
    crypto_shorthash_siphashx24((unsigned char *)&tag, (const unsigned char *)text.data, text.len,
                                memo->seed);
    return tag;
}

/* In the same time wherever the difference is. */
static bool tag_is(const struct key_memo_tag *a, const struct key_memo_tag *b)
{
    return !((a->words[0] ^ b->words[0]) | (a->words[1] ^ b->words[1]));
}

const struct key_memo_entry *key_memo_find(const struct key_memo *memo, struct key_memo_tag tag,
                                           int64_t now_ms)
{
    const struct key_memo_entry *place = &memo->places[tag.words[0] % PLACES];
    bool is_known = place->policy && tag_is(&place->tag, &tag);
    return is_known && policy_is_current(place->policy, now_ms) ? place : NULL;
}

void key_memo_put(struct key_memo *memo, struct key_memo_tag tag, struct key *key,
                  struct policy *policy)
{
    struct key_memo_entry *place = &memo->places[tag.words[0] % PLACES];
    policy_unref(place->policy);
    *place = (struct key_memo_entry){tag, key, policy_ref(policy)};
}
