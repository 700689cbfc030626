/* Policies and groups. A policy is made when it is first asked for, and kept until something that it
 * rests on changes:
 *
 *   none --directory_policy--> kept --directory_retire (key, person, groups)--> none
 *
 * so that a request pays for one lock, one map and one counter; and one that holds a policy already,
 * or whose loop remembers it (key_memo.h), for none of them: that it is not retired says all. */
#include <stdlib.h>
#include <string.h>

#include "account/directory_internal.h"
#include "base/assert.h"

enum { SCOPE_BYTES_MAX = 1024 * 1024 };
enum { ROTATIONS_MAX = 1000 }; /* of one key, behind each other */

static struct policy *new_plain(enum principal_kind kind, enum role role)
{
    const struct policy like = {.who = {.kind = kind, .role = role}};
    return policy_new(&like);
}

void directory_init_policies(struct directory *directory)
{
    directory->local = new_plain(PRINCIPAL_LOCAL, ROLE_ADMIN);
    directory->anonymous = new_plain(PRINCIPAL_ANONYMOUS, ROLE_USER);
}

void directory_done_policies(struct directory *directory)
{
    directory_retire(&directory->local);
    directory_retire(&directory->anonymous);
}

/* ---- Retiring -------------------------------------------------------------------------------- */

void directory_retire(struct policy **policy)
{
    if (!*policy)
        return;
    atomic_store_explicit(&(*policy)->is_retired, true, memory_order_release);
    policy_unref(*policy);
    *policy = NULL;
}

void directory_retire_person(struct person *person)
{
    directory_retire(&person->policy);
    for (struct key *key = person->keys; key; key = key->next)
        directory_retire(&key->policy);
}

/* ---- Making ---------------------------------------------------------------------------------- */

enum role directory_role(const struct person *person)
{
    return str_eq(person->record.role, STR("admin")) ? ROLE_ADMIN : ROLE_USER;
}

bool directory_key_is_good(const struct key *key, int64_t now_ms)
{
    const struct store_key *record = &key->record;
    return !record->revoked && !key->person->record.disabled &&
           (record->expires_ms == 0 || now_ms < record->expires_ms);
}

struct principal directory_principal_of_key(const struct key *key)
{
    return (struct principal){.kind = PRINCIPAL_KEY,
                              .user = key->record.owner,
                              .key = key->record.id,
                              .role = directory_role(key->person)};
}

/* NULL: its scopes cannot be read, and so it may nothing. */
static struct policy *new_of_key(const struct key *key)
{
    struct arena *scratch = arena_new(SCOPE_BYTES_MAX);
    const struct store_key *record = &key->record;
    struct policy like = {.who = directory_principal_of_key(key),
                          .groups = key->person->groups,
                          .group_count = key->person->group_count,
                          .keeps_bodies = record->keep_bodies_hours > 0,
                          .keep_bodies_hours = record->keep_bodies_hours,
                          .expires_ms = record->expires_ms};
    bool good = policy_patterns_read(scratch, record->models, &like.models) == ERR_OK &&
                policy_patterns_read(scratch, record->doors, &like.doors) == ERR_OK &&
                policy_patterns_read(scratch, record->addresses, &like.addresses) == ERR_OK;
    struct policy *policy = good ? policy_new(&like) : NULL;
    arena_free(scratch);
    return policy;
}

static struct policy *new_of_person(const struct person *person)
{
    const struct policy like = {.who = {.kind = PRINCIPAL_SESSION,
                                        .user = person->record.id,
                                        .role = directory_role(person)},
                                .groups = person->groups,
                                .group_count = person->group_count};
    return policy_new(&like);
}

/* Where the policy is kept; NULL there: it is to be made. NULL: not valid. With the lock held. */
static struct policy **find_place(struct directory *directory, const struct principal *who,
                                  int64_t now_ms)
{
    struct person *person;
    struct key *key;
    switch (who->kind) {
    case PRINCIPAL_LOCAL:
        return &directory->local;
    case PRINCIPAL_ANONYMOUS:
        return &directory->anonymous;
    case PRINCIPAL_SESSION:
        person = map_get(directory->people, id_str(&who->user));
        return person && !person->record.disabled ? &person->policy : NULL;
    case PRINCIPAL_KEY:
        key = map_get(directory->keys, id_str(&who->key));
        return key && directory_key_is_good(key, now_ms) ? &key->policy : NULL;
    }
    return NULL;
}

/* With the lock held for writing. */
static void make(struct directory *directory, const struct principal *who, struct policy **place)
{
    if (who->kind == PRINCIPAL_KEY)
        *place = new_of_key(map_get(directory->keys, id_str(&who->key)));
    else
        *place = new_of_person(map_get(directory->people, id_str(&who->user)));
}

static struct policy *find_or_make(struct directory *directory, const struct principal *who,
                                   int64_t now_ms)
{
    pthread_rwlock_wrlock(&directory->lock);
    struct policy **place = find_place(directory, who, now_ms);
    if (place && !*place)
        make(directory, who, place);
    struct policy *policy = place && *place ? policy_ref(*place) : NULL;
    pthread_rwlock_unlock(&directory->lock);
    return policy;
}

struct policy *directory_policy(struct directory *directory, const struct principal *who,
                                int64_t now_ms)
{
    pthread_rwlock_rdlock(&directory->lock);
    struct policy **place = find_place(directory, who, now_ms);
    struct policy *policy = place && *place ? policy_ref(*place) : NULL;
    pthread_rwlock_unlock(&directory->lock);
    return policy || !place ? policy : find_or_make(directory, who, now_ms);
}

/* ---- Rotation -------------------------------------------------------------------------------- */

/* The newest that was made of it, and is not revoked. */
static const struct key *successor_of(const struct key *key)
{
    for (const struct key *other = key->person->keys; other; other = other->next)
        if (id_eq(&other->record.replaces, &key->record.id) && !other->record.revoked)
            return other;
    return NULL;
}

/* A key that was revoked has none: whoever did that means all that is done in its name. */
struct id directory_key_in_force(struct directory *directory, const struct id *id, int64_t now_ms)
{
    struct id in_force = *id;
    pthread_rwlock_rdlock(&directory->lock);
    const struct key *key = map_get(directory->keys, id_str(id));
    for (int i = 0; key && i < ROTATIONS_MAX && !key->record.revoked; i++) {
        in_force = key->record.id;
        if (directory_key_is_good(key, now_ms))
            break;
        key = successor_of(key);
    }
    pthread_rwlock_unlock(&directory->lock);
    return in_force;
}

/* ---- Groups ---------------------------------------------------------------------------------- */

void directory_put_group(struct directory *directory, const struct store_group *record)
{
    struct group *group = malloc(sizeof *group + record->name.len);
    ASSERT(group);
    group->record = *record;
    if (record->name.len)
        memcpy(group->strings, record->name.data, record->name.len);
    group->record.name = STR_FROM(group->strings, record->name.len);
    pthread_rwlock_wrlock(&directory->lock);
    struct group *old = map_set(directory->groups, id_str(&record->id), group);
    pthread_rwlock_unlock(&directory->lock);
    free(old);
}

static size_t find_member(const struct person *person, const struct id *group)
{
    for (size_t i = 0; i < person->group_count; i++)
        if (id_eq(&person->groups[i], group))
            return i;
    return SIZE_MAX;
}

bool directory_is_member(const struct person *person, const struct id *group)
{
    return find_member(person, group) != SIZE_MAX;
}

static void leave(struct person *person, const struct id *group)
{
    size_t index = find_member(person, group);
    if (index == SIZE_MAX)
        return;
    person->group_count--;
    memmove(&person->groups[index], &person->groups[index + 1],
            (person->group_count - index) * sizeof person->groups[0]);
    directory_retire_person(person);
}

void directory_remove_group(struct directory *directory, const struct id *id)
{
    size_t position = 0;
    struct person *person;
    pthread_rwlock_wrlock(&directory->lock);
    while ((person = map_next(directory->people, &position, NULL)))
        leave(person, id);
    struct group *group = map_remove(directory->groups, id_str(id));
    pthread_rwlock_unlock(&directory->lock);
    free(group);
}

void directory_add_member(struct directory *directory, const struct store_member *member)
{
    pthread_rwlock_wrlock(&directory->lock);
    struct person *person = map_get(directory->people, id_str(&member->user));
    bool is_new = person && map_get(directory->groups, id_str(&member->group)) &&
                  !directory_is_member(person, &member->group) &&
                  person->group_count < POLICY_GROUPS_MAX;
    if (is_new) {
        person->groups[person->group_count++] = member->group;
        directory_retire_person(person);
    }
    pthread_rwlock_unlock(&directory->lock);
}

void directory_remove_member(struct directory *directory, const struct store_member *member)
{
    pthread_rwlock_wrlock(&directory->lock);
    struct person *person = map_get(directory->people, id_str(&member->user));
    if (person)
        leave(person, &member->group);
    pthread_rwlock_unlock(&directory->lock);
}
