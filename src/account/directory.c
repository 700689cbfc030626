/* The in-memory side of accounts: a reader takes the lock shared and looks up one map. Policies and groups are in directory_policy.c; what is listed, in
 * directory_list.c. */
#include <stdlib.h>
#include <string.h>

#include "account/directory_internal.h"
#include "base/assert.h"

enum { USE_WRITTEN_EVERY_MS = 60 * 1000, SESSIONS_BEFORE_SWEEP = 1024 };

/* Copies *text to *at and makes it the view of the copy. */
static void own(char **at, struct str *text)
{
    if (text->len)
        memcpy(*at, text->data, text->len);
    *text = STR_FROM(*at, text->len);
    *at += text->len;
}

void *directory_own(struct str *const *texts, size_t count)
{
    size_t bytes = 0;
    for (size_t i = 0; i < count; i++)
        bytes += texts[i]->len;
    char *strings = malloc(bytes + 1), *at = strings;
    ASSERT(strings);
    for (size_t i = 0; i < count; i++)
        own(&at, texts[i]);
    return strings;
}

struct directory *directory_new(void)
{
    struct directory *directory = calloc(1, sizeof *directory);
    ASSERT(directory);
    ASSERT(pthread_rwlock_init(&directory->lock, NULL) == 0);
    directory->people = map_new();
    directory->emails = map_new();
    directory->groups = map_new();
    directory->sessions = map_new();
    directory->keys = map_new();
    directory->key_hashes = map_new();
    directory->sweep_at = SESSIONS_BEFORE_SWEEP;
    directory_init_policies(directory);
    return directory;
}

static void free_people(struct map *people)
{
    size_t position = 0;
    struct person *person;
    while ((person = map_next(people, &position, NULL))) {
        directory_retire(&person->policy);
        free(person->strings);
        free(person);
    }
    map_free(people);
}

static void free_keys(struct map *keys)
{
    size_t position = 0;
    struct key *key;
    while ((key = map_next(keys, &position, NULL))) {
        directory_retire(&key->policy);
        free(key->strings);
        free(key);
    }
    map_free(keys);
}

static void free_values(struct map *map)
{
    size_t position = 0;
    void *value;
    while ((value = map_next(map, &position, NULL)))
        free(value);
    map_free(map);
}

void directory_free(struct directory *directory)
{
    if (!directory)
        return;
    directory_done_policies(directory);
    free_people(directory->people);
    free_keys(directory->keys);
    free_values(directory->sessions);
    free_values(directory->groups);
    map_free(directory->emails);
    map_free(directory->key_hashes);
    pthread_rwlock_destroy(&directory->lock);
    free(directory);
}

/* ---- Putting in and taking out -----------------------------------------------------------------
 */
static void *own_person(struct store_user *record)
{
    return directory_own(
        (struct str *[]){&record->email, &record->name, &record->role, &record->password_hash}, 4);
}

void directory_put_person(struct directory *directory, const struct store_user *record)
{
    struct store_user copy = *record;
    char *strings = own_person(&copy);
    pthread_rwlock_wrlock(&directory->lock);
    struct person *person = map_get(directory->people, id_str(&copy.id));
    if (!person) {
        person = calloc(1, sizeof *person);
        ASSERT(person);
        map_set(directory->people, id_str(&copy.id), person);
    } else {
        ASSERT(str_eq(person->record.email, copy.email)); /* it is one's name for ever */
        directory_retire_person(person);
    }
    free(person->strings);
    person->record = copy;
    person->strings = strings;
    map_set(directory->emails, copy.email, person);
    pthread_rwlock_unlock(&directory->lock);
}

/* Removes those that expired, or with `user` all of that person, with the lock held for writing. */
static void sweep_sessions(struct directory *directory, int64_t now_ms, const struct id *user)
{
    size_t position = 0, count = 0;
    struct session *session;
    struct session **over = malloc((map_count(directory->sessions) + 1) * sizeof *over);
    ASSERT(over);
    while ((session = map_next(directory->sessions, &position, NULL)))
        if (user ? id_eq(&session->record.user, user) : session->record.expires_ms <= now_ms)
            over[count++] = session;
    for (size_t i = 0; i < count; i++) {
        map_remove(directory->sessions, over[i]->record.token_hash);
        free(over[i]);
    }
    free(over);
    directory->sweep_at = SESSIONS_BEFORE_SWEEP + 2 * map_count(directory->sessions);
}

void directory_end_sessions(struct directory *directory, const struct id *user)
{
    pthread_rwlock_wrlock(&directory->lock);
    sweep_sessions(directory, 0, user);
    pthread_rwlock_unlock(&directory->lock);
}

void directory_add_session(struct directory *directory, const struct store_session *record,
                           int64_t now_ms)
{
    struct session *session = malloc(sizeof *session + record->token_hash.len);
    ASSERT(session);
    session->record = *record;
    char *at = session->strings;
    own(&at, &session->record.token_hash);
    pthread_rwlock_wrlock(&directory->lock);
    session->person = map_get(directory->people, id_str(&record->user));
    if (map_count(directory->sessions) >= directory->sweep_at)
        sweep_sessions(directory, now_ms, NULL);
    void *other = session;
    if (session->person)
        other = map_set(directory->sessions, session->record.token_hash, session);
    pthread_rwlock_unlock(&directory->lock);
    free(other);
}

static void *own_key(struct store_key *record)
{
    return directory_own((struct str *[]){&record->name, &record->prefix, &record->key_hash,
                                          &record->models, &record->doors, &record->addresses},
                         6);
}

/* With the lock held for writing. */
static struct key *find_or_make_key(struct directory *directory, const struct store_key *record,
                                    struct person *owner)
{
    struct key *key = map_get(directory->keys, id_str(&record->id));
    if (key)
        return key;
    key = calloc(1, sizeof *key);
    ASSERT(key);
    key->person = owner;
    key->next = owner->keys;
    owner->keys = key;
    atomic_init(&key->last_used_ms, record->last_used_ms);
    atomic_init(&key->written_ms, record->last_used_ms);
    map_set(directory->keys, id_str(&record->id), key);
    ASSERT(!map_set(directory->key_hashes, record->key_hash, key));
    return key;
}

void directory_put_key(struct directory *directory, const struct store_key *record)
{
    struct store_key copy = *record;
    char *strings = own_key(&copy);
    pthread_rwlock_wrlock(&directory->lock);
    struct person *owner = map_get(directory->people, id_str(&copy.owner));
    char *unused = strings;
    if (owner) {
        struct key *key = find_or_make_key(directory, &copy, owner);
        copy.revoked |= key->record.revoked;
        directory_retire(&key->policy);
        unused = key->strings;
        key->record = copy;
        key->strings = strings;
    }
    pthread_rwlock_unlock(&directory->lock);
    free(unused);
}

bool directory_remove_session(struct directory *directory, struct str token_hash)
{
    pthread_rwlock_wrlock(&directory->lock);
    struct session *session = map_remove(directory->sessions, token_hash);
    pthread_rwlock_unlock(&directory->lock);
    free(session);
    return session != NULL;
}

bool directory_revoke_key(struct directory *directory, const struct id *owner, const struct id *id,
                          struct arena *arena, struct store_key *ret_record)
{
    pthread_rwlock_wrlock(&directory->lock);
    struct key *key = map_get(directory->keys, id_str(id));
    bool found = key && (id_is_none(owner) || id_eq(owner, &key->record.owner));
    if (found) {
        key->record.revoked = true;
        directory_retire(&key->policy);
        *ret_record = directory_copy_of_key(key, arena);
    }
    pthread_rwlock_unlock(&directory->lock);
    return found;
}

/* ---- Who is this? ------------------------------------------------------------------------------
 */
bool directory_find_session(struct directory *directory, struct str token_hash, int64_t now_ms,
                            struct principal *ret_principal)
{
    pthread_rwlock_rdlock(&directory->lock);
    const struct session *session = map_get(directory->sessions, token_hash);
    bool found =
        session && session->record.expires_ms > now_ms && !session->person->record.disabled;
    if (found)
        *ret_principal = (struct principal){.kind = PRINCIPAL_SESSION,
                                            .user = session->record.user,
                                            .role = directory_role(session->person)};
    pthread_rwlock_unlock(&directory->lock);
    return found;
}

bool directory_note_use(struct key *key, int64_t now_ms)
{
    atomic_store_explicit(&key->last_used_ms, now_ms, memory_order_relaxed);
    int64_t written_ms = atomic_load_explicit(&key->written_ms, memory_order_relaxed);
    return now_ms - written_ms >= USE_WRITTEN_EVERY_MS &&
           atomic_compare_exchange_strong(&key->written_ms, &written_ms, now_ms);
}

/* With the lock held, for reading at least. */
static bool use(struct key *key, int64_t now_ms, struct principal *ret_principal, bool *ret_write)
{
    if (!key || !directory_key_is_good(key, now_ms))
        return false;
    *ret_principal = directory_principal_of_key(key);
    *ret_write = directory_note_use(key, now_ms);
    return true;
}

struct key *directory_find_key(struct directory *directory, struct str key_hash, int pepper_version)
{
    pthread_rwlock_rdlock(&directory->lock);
    struct key *key = map_get(directory->key_hashes, key_hash);
    bool found = key && key->record.pepper_version == pepper_version;
    pthread_rwlock_unlock(&directory->lock);
    return found ? key : NULL;
}

bool directory_use_found_key(struct directory *directory, struct key *key, int64_t now_ms,
                             struct principal *ret_principal, bool *ret_write)
{
    pthread_rwlock_rdlock(&directory->lock);
    bool found = use(key, now_ms, ret_principal, ret_write);
    pthread_rwlock_unlock(&directory->lock);
    return found;
}

bool directory_use_key(struct directory *directory, const struct id *id, int64_t now_ms,
                       struct principal *ret_principal, bool *ret_write)
{
    pthread_rwlock_rdlock(&directory->lock);
    bool found = use(map_get(directory->keys, id_str(id)), now_ms, ret_principal, ret_write);
    pthread_rwlock_unlock(&directory->lock);
    return found;
}
