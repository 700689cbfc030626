/* Key memo: a direct-mapped table; a new key takes its place from an older one. */
#include "account/key_memo.h"

#include <pthread.h>
#include <sodium.h>
#include <stdlib.h>

#include "base/assert.h"

enum { PLACES = 1024 };

struct place {
    struct key_memo_tag tag;
    struct key *key; /* NULL: free */
};

struct key_memo {
    pthread_mutex_t lock;
    unsigned char seed[crypto_shorthash_siphashx24_KEYBYTES];
    struct place places[PLACES];
};

struct key_memo *key_memo_new(void)
{
    struct key_memo *memo = calloc(1, sizeof *memo);
    ASSERT(memo);
    pthread_mutex_init(&memo->lock, NULL);
    randombytes_buf(memo->seed, sizeof memo->seed);
    return memo;
}

void key_memo_free(struct key_memo *memo)
{
    if (!memo)
        return;
    pthread_mutex_destroy(&memo->lock);
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

struct key *key_memo_find(struct key_memo *memo, struct key_memo_tag tag)
{
    const struct place *place = &memo->places[tag.words[0] % PLACES];
    pthread_mutex_lock(&memo->lock);
    struct key *key = tag_is(&place->tag, &tag) ? place->key : NULL;
    pthread_mutex_unlock(&memo->lock);
    return key;
}

void key_memo_put(struct key_memo *memo, struct key_memo_tag tag, struct key *key)
{
    pthread_mutex_lock(&memo->lock);
    memo->places[tag.words[0] % PLACES] = (struct place){tag, key};
    pthread_mutex_unlock(&memo->lock);
}
