/* Outputs: what the limiter expects of an answer that nobody has read yet.
 *
 * Asked and told by every request of every loop, so without a lock but where a model is new: numbers
 * are read and written one by one, and two threads that count the same model at once may count one
 * answer for both, which an estimate bears. A model is known by a hash of its name that nobody can
 * aim at; two with the same one would share an estimate. */
#include "route/limiter_output.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/crypto.h"
#include "base/random.h"

enum {
    STEPS = 8, /* ranges in each doubling */
    STEP_BITS = 3,
    DOUBLINGS = 20,
    RANGES = STEPS * DOUBLINGS,
    SAMPLES_MAX = 512, /* counts are halved then, so that old answers fade */
    SEEN = 1024,
    NEWS_SHARE = 32 /* the percentile is found again when one in so many is new */
};

struct model {
    _Atomic int64_t p95; /* of all but the last `news` */
    _Atomic uint32_t count;
    _Atomic uint32_t news;
    _Atomic uint16_t ranges[RANGES];
};

struct outputs {
    pthread_mutex_t lock; /* of whoever puts another model into a place */
    unsigned char secret[FAST_HASH_SECRET_BYTES];
    _Atomic uint64_t notes;                     /* answers so far */
    _Atomic uint16_t seen[SEEN];                /* by key: the place that was found last */
    _Atomic uint64_t keys[OUTPUTS_MODELS_MAX];  /* whose place it is; 0: nobody's */
    _Atomic uint64_t noted[OUTPUTS_MODELS_MAX]; /* the last of the notes that was its own */
    struct model models[OUTPUTS_MODELS_MAX];
};

#define GET(number)        atomic_load_explicit(&(number), memory_order_relaxed)
#define SET(number, value) atomic_store_explicit(&(number), (value), memory_order_relaxed)

struct outputs *outputs_new(void)
{
    struct outputs *outputs = calloc(1, sizeof *outputs);
    ASSERT(outputs);
    pthread_mutex_init(&outputs->lock, NULL);
    random_bytes(outputs->secret, sizeof outputs->secret);
    return outputs;
}

void outputs_free(struct outputs *outputs)
{
    if (!outputs)
        return;
    pthread_mutex_destroy(&outputs->lock);
    free(outputs);
}

/* ---- One model --------------------------------------------------------------------------------- */

/* Ranges 0 to 7 hold one length each; from there on, the leading four bits say which. */
static size_t range_of(int64_t tokens)
{
    if (tokens < STEPS)
        return tokens > 0 ? (size_t)tokens : 0;
    int doubling = 63 - __builtin_clzll((unsigned long long)tokens) - STEP_BITS;
    size_t range = (size_t)(doubling + 1) * STEPS + ((size_t)(tokens >> doubling) & (STEPS - 1));
    return range < RANGES ? range : RANGES - 1;
}

/* The longest length in it. */
static int64_t range_end(size_t range)
{
    if (range < STEPS)
        return (int64_t)range;
    int doubling = (int)(range / STEPS) - 1;
    return ((int64_t)(STEPS + range % STEPS + 1) << doubling) - 1;
}

static int64_t percentile(const struct model *model)
{
    uint32_t above = GET(model->count) / 20, seen = 0;
    size_t range = RANGES;
    while (range > 0 && seen <= above)
        seen += GET(model->ranges[--range]);
    return range_end(range);
}

static void halve(struct model *model)
{
    uint32_t count = 0;
    for (size_t i = 0; i < RANGES; i++) {
        uint16_t half = (uint16_t)(GET(model->ranges[i]) / 2);
        SET(model->ranges[i], half);
        count += half;
    }
    SET(model->count, count);
}

static void add(struct model *model, int64_t tokens)
{
    _Atomic uint16_t *range = &model->ranges[range_of(tokens)];
    SET(*range, (uint16_t)(GET(*range) + 1));
    SET(model->count, GET(model->count) + 1);
    if (GET(model->count) >= SAMPLES_MAX)
        halve(model);
    SET(model->news, GET(model->news) + 1);
}

static void clear(struct model *model)
{
    SET(model->p95, 0);
    SET(model->count, 0);
    SET(model->news, 0);
    for (size_t i = 0; i < RANGES; i++)
        SET(model->ranges[i], 0);
}

/* ---- All of them ------------------------------------------------------------------------------- */

static uint64_t key_of(const struct outputs *outputs, struct str name)
{
    uint64_t hash = fast_hash(outputs->secret, name);
    return hash ? hash : 1;
}

/* OUTPUTS_MODELS_MAX: it has none. */
static size_t find(struct outputs *outputs, uint64_t key)
{
    _Atomic uint16_t *seen = &outputs->seen[key % SEEN];
    size_t place = GET(*seen);
    if (GET(outputs->keys[place]) == key)
        return place;
    for (place = 0; place < OUTPUTS_MODELS_MAX && GET(outputs->keys[place]) != key;)
        place++;
    if (place < OUTPUTS_MODELS_MAX)
        SET(*seen, (uint16_t)place);
    return place;
}

/* In the place of the one that has answered least recently. */
static size_t find_or_make(struct outputs *outputs, uint64_t key)
{
    size_t oldest = 0, place = find(outputs, key);
    if (place < OUTPUTS_MODELS_MAX)
        return place;
    pthread_mutex_lock(&outputs->lock);
    place = find(outputs, key);
    for (size_t i = 1; place == OUTPUTS_MODELS_MAX && i < OUTPUTS_MODELS_MAX; i++)
        if (GET(outputs->noted[i]) < GET(outputs->noted[oldest]))
            oldest = i;
    if (place == OUTPUTS_MODELS_MAX) {
        place = oldest;
        clear(&outputs->models[place]);
        SET(outputs->noted[place], GET(outputs->notes) + 1);
        SET(outputs->keys[place], key);
    }
    pthread_mutex_unlock(&outputs->lock);
    return place;
}

void outputs_note(struct outputs *outputs, struct str name, int64_t tokens)
{
    if (name.len == 0)
        return;
    size_t place = find_or_make(outputs, key_of(outputs, name));
    uint64_t number = GET(outputs->notes) + 1;
    SET(outputs->notes, number);
    SET(outputs->noted[place], number);
    add(&outputs->models[place], tokens);
}

int64_t outputs_p95(struct outputs *outputs, struct str name)
{
    size_t place = find(outputs, key_of(outputs, name));
    if (place == OUTPUTS_MODELS_MAX)
        return 0;
    struct model *model = &outputs->models[place];
    uint32_t count = GET(model->count);
    if (GET(model->news) * NEWS_SHARE >= count) {
        SET(model->p95, percentile(model));
        SET(model->news, 0);
    }
    return count >= OUTPUTS_SAMPLES_MIN ? GET(model->p95) : 0;
}
