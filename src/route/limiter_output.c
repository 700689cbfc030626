/* Outputs: what the limiter expects of an answer that nobody has read yet. */
#include "route/limiter_output.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/crypto.h"
#include "base/list.h"
#include "base/map.h"
#include "base/random.h"

enum {
    STEPS = 8, /* ranges in each doubling */
    STEP_BITS = 3,
    DOUBLINGS = 20,
    RANGES = STEPS * DOUBLINGS,
    SAMPLES_MAX = 512, /* counts are halved then, so that old answers fade */
    SEEN = 256,
    NEWS_SHARE = 32 /* the percentile is found again when one in so many is new */
};

struct model {
    struct list link; /* in `recent`, the latest first */
    int64_t p95;      /* of all but the last `news` */
    uint32_t count;
    uint32_t news;
    uint16_t ranges[RANGES];
    size_t name_length; /* 0: free */
    char name[OUTPUTS_NAME_BYTES_MAX];
};

struct outputs {
    pthread_mutex_t lock; /* guards all below */
    struct map *by_name;
    struct model *seen[SEEN]; /* found last under a hash: a glance, before by_name is asked */
    unsigned char secret[FAST_HASH_SECRET_BYTES];
    struct list recent;
    struct model models[OUTPUTS_MODELS_MAX];
};

struct outputs *outputs_new(void)
{
    struct outputs *outputs = calloc(1, sizeof *outputs);
    ASSERT(outputs);
    pthread_mutex_init(&outputs->lock, NULL);
    outputs->by_name = map_new();
    random_bytes(outputs->secret, sizeof outputs->secret);
    list_init(&outputs->recent);
    for (size_t i = 0; i < OUTPUTS_MODELS_MAX; i++)
        list_append(&outputs->recent, &outputs->models[i].link);
    return outputs;
}

void outputs_free(struct outputs *outputs)
{
    if (!outputs)
        return;
    map_free(outputs->by_name);
    pthread_mutex_destroy(&outputs->lock);
    free(outputs);
}

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
    uint32_t above = model->count / 20, seen = 0;
    size_t range = RANGES;
    while (range > 0 && seen <= above)
        seen += model->ranges[--range];
    return range_end(range);
}

static void halve(struct model *model)
{
    model->count = 0;
    for (size_t i = 0; i < RANGES; i++)
        model->count += model->ranges[i] /= 2;
}

static struct str name_of(const struct model *model)
{
    return STR_FROM(model->name, model->name_length);
}

static struct model *find(struct outputs *outputs, struct str name)
{
    struct model **seen = &outputs->seen[fast_hash(outputs->secret, name) % SEEN];
    if (*seen && str_eq(name_of(*seen), name)) /* what has been replaced has another name */
        return *seen;
    struct model *model = map_get(outputs->by_name, name);
    return model ? *seen = model : NULL;
}

/* The one that answered least recently becomes this one. */
static struct model *replace_oldest(struct outputs *outputs, struct str name)
{
    struct model *model = LIST_ENTRY(outputs->recent.previous, struct model, link);
    struct list link = model->link;
    if (model->name_length)
        map_remove(outputs->by_name, name_of(model));
    *model = (struct model){.link = link, .name_length = name.len};
    memcpy(model->name, name.data, name.len);
    map_set(outputs->by_name, name, model);
    return model;
}

void outputs_note(struct outputs *outputs, struct str name, int64_t tokens)
{
    if (name.len == 0 || name.len > OUTPUTS_NAME_BYTES_MAX)
        return;
    pthread_mutex_lock(&outputs->lock);
    struct model *model = find(outputs, name);
    if (!model)
        model = replace_oldest(outputs, name);
    list_remove(&model->link);
    list_prepend(&outputs->recent, &model->link);
    model->ranges[range_of(tokens)]++;
    if (++model->count >= SAMPLES_MAX)
        halve(model);
    model->news++;
    pthread_mutex_unlock(&outputs->lock);
}

int64_t outputs_p95(struct outputs *outputs, struct str name)
{
    pthread_mutex_lock(&outputs->lock);
    struct model *model = find(outputs, name);
    if (model && model->news * NEWS_SHARE >= model->count) {
        model->p95 = percentile(model);
        model->news = 0;
    }
    int64_t p95 = model && model->count >= OUTPUTS_SAMPLES_MIN ? model->p95 : 0;
    pthread_mutex_unlock(&outputs->lock);
    return p95;
}
