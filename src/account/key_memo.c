/* Key memo: a direct-mapped table; a new key takes its place from an older one. */
#include "account/key_memo.h"

#include <pthread.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>

#include "account/key.h"
#include "base/assert.h"

enum { PLACES = 1024, TAG_BYTES = crypto_shorthash_siphashx24_BYTES };

struct place {
    unsigned char tag[TAG_BYTES];
    int version; /* 0: free */
    unsigned char hash[SHA256_BYTES];
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

void key_memo_hash(struct key_memo *memo, struct str key, int version,
                   const unsigned char pepper[SHA256_BYTES], unsigned char ret[SHA256_BYTES])
{
    unsigned char tag[TAG_BYTES];
    crypto_shorthash_siphashx24(tag, (const unsigned char *)key.data, key.len, memo->seed);
    struct place *place = &memo->places[(tag[0] | tag[1] << 8) % PLACES];
    pthread_mutex_lock(&memo->lock);
    bool known = place->version == version && sodium_memcmp(place->tag, tag, TAG_BYTES) == 0;
    if (known)
        memcpy(ret, place->hash, SHA256_BYTES);
    pthread_mutex_unlock(&memo->lock);
    if (known)
        return;
    key_hash(key, pepper, ret);
    pthread_mutex_lock(&memo->lock);
    memcpy(place->tag, tag, TAG_BYTES);
    memcpy(place->hash, ret, SHA256_BYTES);
    place->version = version;
    pthread_mutex_unlock(&memo->lock);
}
