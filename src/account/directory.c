/* The in-memory side of accounts: what every request asks, so a reader takes the lock shared and
 * looks up one map. */
#include "account/directory.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/map.h"

enum { USE_WRITTEN_EVERY_MS = 60 * 1000, SESSIONS_BEFORE_SWEEP = 1024 };

/* Each record is one allocation: the struct, then its strings. */
struct person {
    struct store_user record;
    char strings[];
};

struct session {
    struct store_session record;
    const struct person *person;
    char strings[];
};

struct key {
    struct store_key record; /* but for last_used_ms, which is below */
    const struct person *person;
    _Atomic int64_t last_used_ms;
    _Atomic int64_t written_ms;
    char strings[];
};

struct directory {
    pthread_rwlock_t lock;  /* guards everything below */
    struct map *people;     /* by id */
    struct map *emails;     /* the same people */
    struct map *sessions;   /* by token hash */
    struct map *keys;       /* by id */
    struct map *key_hashes; /* the same keys */
    size_t sweep_at;        /* sessions at which those that expired are thrown out */
};

/* Copies *text to *at and makes it the view of the copy. */
static void own(char **at, struct str *text)
{
    if (text->len)
        memcpy(*at, text->data, text->len);
    *text = STR_FROM(*at, text->len);
    *at += text->len;
}

struct directory *directory_new(void)
{
    struct directory *directory = calloc(1, sizeof *directory);
    ASSERT(directory);
    ASSERT(pthread_rwlock_init(&directory->lock, NULL) == 0);
    directory->people = map_new();
    directory->emails = map_new();
    directory->sessions = map_new();
    directory->keys = map_new();
    directory->key_hashes = map_new();
    directory->sweep_at = SESSIONS_BEFORE_SWEEP;
    return directory;
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
    free_values(directory->people);
    free_values(directory->sessions);
    free_values(directory->keys);
    map_free(directory->emails);
    map_free(directory->key_hashes);
    pthread_rwlock_destroy(&directory->lock);
    free(directory);
}

/* ---- Putting in and taking out -----------------------------------------------------------------
 */
void directory_add_person(struct directory *directory, const struct store_user *record)
{
    size_t bytes =
        record->email.len + record->name.len + record->role.len + record->password_hash.len;
    struct person *person = malloc(sizeof *person + bytes);
    ASSERT(person);
    person->record = *record;
    char *at = person->strings;
    own(&at, &person->record.email);
    own(&at, &person->record.name);
    own(&at, &person->record.role);
    own(&at, &person->record.password_hash);
    pthread_rwlock_wrlock(&directory->lock);
    ASSERT(!map_set(directory->people, id_str(&person->record.id), person));
    map_set(directory->emails, person->record.email, person);
    pthread_rwlock_unlock(&directory->lock);
}

static void sweep_sessions(struct directory *directory, int64_t now_ms)
{
    size_t position = 0, count = 0;
    struct session *session;
    struct session **expired = malloc(map_count(directory->sessions) * sizeof *expired);
    ASSERT(expired);
    while ((session = map_next(directory->sessions, &position, NULL)))
        if (session->record.expires_ms <= now_ms)
            expired[count++] = session;
    for (size_t i = 0; i < count; i++) {
        map_remove(directory->sessions, expired[i]->record.token_hash);
        free(expired[i]);
    }
    free(expired);
    directory->sweep_at = SESSIONS_BEFORE_SWEEP + 2 * map_count(directory->sessions);
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
        sweep_sessions(directory, now_ms);
    void *other = session;
    if (session->person)
        other = map_set(directory->sessions, session->record.token_hash, session);
    pthread_rwlock_unlock(&directory->lock);
    free(other);
}

void directory_add_key(struct directory *directory, const struct store_key *record)
{
    size_t bytes = record->name.len + record->prefix.len + record->key_hash.len;
    struct key *key = malloc(sizeof *key + bytes);
    ASSERT(key);
    key->record = *record;
    atomic_init(&key->last_used_ms, record->last_used_ms);
    atomic_init(&key->written_ms, record->last_used_ms);
    char *at = key->strings;
    own(&at, &key->record.name);
    own(&at, &key->record.prefix);
    own(&at, &key->record.key_hash);
    pthread_rwlock_wrlock(&directory->lock);
    key->person = map_get(directory->people, id_str(&record->owner));
    void *other = key;
    if (key->person) {
        other = map_set(directory->keys, id_str(&key->record.id), key);
        ASSERT(!other && !map_set(directory->key_hashes, key->record.key_hash, key));
    }
    pthread_rwlock_unlock(&directory->lock);
    free(other);
}

bool directory_remove_session(struct directory *directory, struct str token_hash)
{
    pthread_rwlock_wrlock(&directory->lock);
    struct session *session = map_remove(directory->sessions, token_hash);
    pthread_rwlock_unlock(&directory->lock);
    free(session);
    return session != NULL;
}

/* ---- Copying out -------------------------------------------------------------------------------
 */
static struct store_user copy_person(const struct person *person, struct arena *arena)
{
    struct store_user record = person->record;
    record.email = arena_str(arena, record.email);
    record.name = arena_str(arena, record.name);
    record.role = arena_str(arena, record.role);
    record.password_hash = arena_str(arena, record.password_hash);
    return record;
}

static struct store_key copy_key(const struct key *key, struct arena *arena)
{
    struct store_key record = key->record;
    record.name = arena_str(arena, record.name);
    record.prefix = arena_str(arena, record.prefix);
    record.key_hash = arena_str(arena, record.key_hash);
    record.last_used_ms = atomic_load_explicit(&key->last_used_ms, memory_order_relaxed);
    return record;
}

bool directory_revoke_key(struct directory *directory, const struct id *owner, const struct id *id,
                          struct arena *arena, struct store_key *ret_record)
{
    pthread_rwlock_wrlock(&directory->lock);
    struct key *key = map_get(directory->keys, id_str(id));
    bool found = key && (id_is_none(owner) || id_eq(owner, &key->record.owner));
    if (found) {
        key->record.revoked = true;
        *ret_record = copy_key(key, arena);
    }
    pthread_rwlock_unlock(&directory->lock);
    return found;
}

static bool copy_if_found(const struct person *person, struct arena *arena, struct store_user *ret)
{
    if (person)
        *ret = copy_person(person, arena);
    return person != NULL;
}

bool directory_copy_person(struct directory *directory, struct arena *arena, const struct id *id,
                           struct store_user *ret_record)
{
    pthread_rwlock_rdlock(&directory->lock);
    bool found = copy_if_found(map_get(directory->people, id_str(id)), arena, ret_record);
    pthread_rwlock_unlock(&directory->lock);
    return found;
}

bool directory_copy_person_by_email(struct directory *directory, struct arena *arena,
                                    struct str email, struct store_user *ret_record)
{
    pthread_rwlock_rdlock(&directory->lock);
    bool found = copy_if_found(map_get(directory->emails, email), arena, ret_record);
    pthread_rwlock_unlock(&directory->lock);
    return found;
}

size_t directory_person_count(struct directory *directory)
{
    pthread_rwlock_rdlock(&directory->lock);
    size_t count = map_count(directory->people);
    pthread_rwlock_unlock(&directory->lock);
    return count;
}

static int compare_made(int64_t a_ms, const struct id *a, int64_t b_ms, const struct id *b)
{
    return a_ms != b_ms ? (a_ms < b_ms ? -1 : 1) : str_compare(id_str(a), id_str(b));
}

static int compare_people(const void *left, const void *right)
{
    const struct store_user *a = left, *b = right;
    return compare_made(a->created_ms, &a->id, b->created_ms, &b->id);
}

static int compare_keys(const void *left, const void *right)
{
    const struct store_key *a = left, *b = right;
    return compare_made(a->created_ms, &a->id, b->created_ms, &b->id);
}

void directory_list_people(struct directory *directory, struct arena *arena,
                           struct store_user **ret_users, size_t *ret_count)
{
    size_t position = 0, count = 0;
    const struct person *person;
    pthread_rwlock_rdlock(&directory->lock);
    struct store_user *users =
        ARENA_NEW_ARRAY(arena, map_count(directory->people), struct store_user);
    while ((person = map_next(directory->people, &position, NULL)))
        users[count++] = copy_person(person, arena);
    pthread_rwlock_unlock(&directory->lock);
    qsort(users, count, sizeof *users, compare_people);
    *ret_users = users;
    *ret_count = count;
}

void directory_list_keys(struct directory *directory, struct arena *arena, const struct id *owner,
                         struct store_key **ret_keys, size_t *ret_count)
{
    size_t position = 0, count = 0;
    const struct key *key;
    pthread_rwlock_rdlock(&directory->lock);
    struct store_key *keys = ARENA_NEW_ARRAY(arena, map_count(directory->keys), struct store_key);
    while ((key = map_next(directory->keys, &position, NULL)))
        if (id_is_none(owner) || id_eq(owner, &key->record.owner))
            keys[count++] = copy_key(key, arena);
    pthread_rwlock_unlock(&directory->lock);
    qsort(keys, count, sizeof *keys, compare_keys);
    *ret_keys = keys;
    *ret_count = count;
}

/* ---- Who is this? ------------------------------------------------------------------------------
 */
static enum role role_of(const struct person *person)
{
    return str_eq(person->record.role, STR("admin")) ? ROLE_ADMIN : ROLE_USER;
}

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
                                            .role = role_of(session->person)};
    pthread_rwlock_unlock(&directory->lock);
    return found;
}

/* Whether this caller is the one to write the use. */
static bool note_use(struct key *key, int64_t now_ms)
{
    atomic_store_explicit(&key->last_used_ms, now_ms, memory_order_relaxed);
    int64_t written_ms = atomic_load_explicit(&key->written_ms, memory_order_relaxed);
    return now_ms - written_ms >= USE_WRITTEN_EVERY_MS &&
           atomic_compare_exchange_strong(&key->written_ms, &written_ms, now_ms);
}

bool directory_find_key(struct directory *directory, struct str key_hash, int pepper_version,
                        int64_t now_ms, struct principal *ret_principal, bool *ret_write)
{
    pthread_rwlock_rdlock(&directory->lock);
    struct key *key = map_get(directory->key_hashes, key_hash);
    bool found = key && key->record.pepper_version == pepper_version && !key->record.revoked &&
                 !key->person->record.disabled;
    if (found) {
        *ret_principal = (struct principal){.kind = PRINCIPAL_KEY,
                                            .user = key->record.owner,
                                            .key = key->record.id,
                                            .role = role_of(key->person)};
        *ret_write = note_use(key, now_ms);
    }
    pthread_rwlock_unlock(&directory->lock);
    return found;
}
