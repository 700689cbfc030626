/* A set-associative table of counters, keyed by a keyed hash, so that nobody can choose who shares
 * a set. When a set is full the smallest count goes: what is close to its limit stays. */
#include "account/throttle.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/crypto.h"
#include "base/random.h"

enum { SETS = 4096, WAYS = 8 }; /* 0.8 MiB */

struct counter {
    uint64_t key; /* 0: free */
    uint64_t begun_ms;
    int count;
};

struct throttle {
    pthread_mutex_t lock; /* guards sets */
    unsigned char secret[32];
    struct counter sets[SETS][WAYS];
};

struct throttle *throttle_new(void)
{
    struct throttle *throttle = calloc(1, sizeof *throttle);
    ASSERT(throttle);
    pthread_mutex_init(&throttle->lock, NULL);
    random_bytes(throttle->secret, sizeof throttle->secret);
    return throttle;
}

void throttle_free(struct throttle *throttle)
{
    if (!throttle)
        return;
    pthread_mutex_destroy(&throttle->lock);
    free(throttle);
}

static uint64_t key_of(const struct throttle *throttle, char kind, struct str text)
{
    unsigned char code[SHA256_BYTES], bytes[1 + SHA256_BYTES];
    bytes[0] = (unsigned char)kind;
    sha256(text, bytes + 1);
    struct str secret = STR_FROM((const char *)throttle->secret, sizeof throttle->secret);
    hmac_sha256(secret, STR_FROM((const char *)bytes, sizeof bytes), code);
    uint64_t key;
    memcpy(&key, code, sizeof key);
    return key ? key : 1;
}

static uint64_t email_key(const struct throttle *throttle, struct str email)
{
    return key_of(throttle, 'e', email);
}

/* One person has a whole /64 of IPv6 addresses. */
static uint64_t address_key(const struct throttle *throttle, struct str address)
{
    char text[INET6_ADDRSTRLEN];
    unsigned char bytes[16];
    if (str_copy(address, text, sizeof text) && inet_pton(AF_INET6, text, bytes) == 1 &&
        !IN6_IS_ADDR_V4MAPPED((const struct in6_addr *)(const void *)bytes))
        return key_of(throttle, '6', STR_FROM((const char *)bytes, 8));
    return key_of(throttle, 'a', address);
}

/* Every loop has its own time of this turn: one may be a little behind what another wrote. */
static bool is_over(const struct counter *counter, uint64_t now_ms)
{
    return now_ms >= counter->begun_ms + THROTTLE_WINDOW_MS;
}

static struct counter *find(struct throttle *throttle, uint64_t key)
{
    struct counter *set = throttle->sets[key % SETS];
    for (int i = 0; i < WAYS; i++)
        if (set[i].key == key)
            return &set[i];
    return NULL;
}

static struct counter *find_or_make(struct throttle *throttle, uint64_t key, uint64_t now_ms)
{
    struct counter *counter = find(throttle, key);
    if (!counter) {
        struct counter *set = throttle->sets[key % SETS];
        counter = &set[0];
        for (int i = 0; i < WAYS; i++) {
            if (!set[i].key || is_over(&set[i], now_ms)) {
                counter = &set[i];
                break;
            }
            if (set[i].count < counter->count)
                counter = &set[i];
        }
    }
    if (counter->key != key || is_over(counter, now_ms))
        *counter = (struct counter){.key = key, .begun_ms = now_ms};
    return counter;
}

bool throttle_admit(struct throttle *throttle, struct str email, struct str address,
                    uint64_t now_ms, uint64_t *ret_wait_ms)
{
    const uint64_t keys[] = {email_key(throttle, email), address_key(throttle, address)};
    uint64_t wait_ms = 0;
    pthread_mutex_lock(&throttle->lock);
    for (int i = 0; i < 2; i++) {
        const struct counter *counter = find(throttle, keys[i]);
        if (!counter || is_over(counter, now_ms) || counter->count < THROTTLE_FAILURES_MAX)
            continue;
        uint64_t left_ms = counter->begun_ms + THROTTLE_WINDOW_MS - now_ms;
        wait_ms = left_ms > wait_ms ? left_ms : wait_ms;
    }
    for (int i = 0; i < 2 && !wait_ms; i++)
        find_or_make(throttle, keys[i], now_ms)->count++;
    pthread_mutex_unlock(&throttle->lock);
    if (wait_ms)
        *ret_wait_ms = wait_ms;
    return wait_ms == 0;
}

void throttle_forgive(struct throttle *throttle, struct str email, struct str address,
                      bool succeeded)
{
    const uint64_t keys[] = {email_key(throttle, email), address_key(throttle, address)};
    pthread_mutex_lock(&throttle->lock);
    for (int i = 0; i < 2; i++) {
        struct counter *counter = find(throttle, keys[i]);
        if (counter && counter->count > 0)
            counter->count = succeeded && i == 0 ? 0 : counter->count - 1;
    }
    pthread_mutex_unlock(&throttle->lock);
}
