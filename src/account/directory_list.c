/* What the directory shows: copies of records, in an arena of whoever asks. */
#include <stdlib.h>

#include "account/directory_internal.h"

static struct store_user copy_person(const struct person *person, struct arena *arena)
{
    struct store_user record = person->record;
    record.email = arena_str(arena, record.email);
    record.name = arena_str(arena, record.name);
    record.role = arena_str(arena, record.role);
    record.password_hash = arena_str(arena, record.password_hash);
    return record;
}

struct store_key directory_copy_of_key(const struct key *key, struct arena *arena)
{
    struct store_key record = key->record;
    record.name = arena_str(arena, record.name);
    record.prefix = arena_str(arena, record.prefix);
    record.key_hash = arena_str(arena, record.key_hash);
    record.models = arena_str(arena, record.models);
    record.doors = arena_str(arena, record.doors);
    record.addresses = arena_str(arena, record.addresses);
    record.last_used_ms = atomic_load_explicit(&key->last_used_ms, memory_order_relaxed);
    return record;
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

bool directory_copy_key(struct directory *directory, struct arena *arena, const struct id *id,
                        struct store_key *ret_record)
{
    pthread_rwlock_rdlock(&directory->lock);
    const struct key *key = map_get(directory->keys, id_str(id));
    if (key)
        *ret_record = directory_copy_of_key(key, arena);
    pthread_rwlock_unlock(&directory->lock);
    return key != NULL;
}

static struct store_group copy_group(const struct group *group, struct arena *arena)
{
    struct store_group record = group->record;
    record.name = arena_str(arena, record.name);
    return record;
}

bool directory_copy_group(struct directory *directory, struct arena *arena, const struct id *id,
                          struct store_group *ret_record)
{
    pthread_rwlock_rdlock(&directory->lock);
    const struct group *group = map_get(directory->groups, id_str(id));
    if (group)
        *ret_record = copy_group(group, arena);
    pthread_rwlock_unlock(&directory->lock);
    return group != NULL;
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

void directory_list_members(struct directory *directory, struct arena *arena,
                            const struct id *group, struct store_user **ret_users,
                            size_t *ret_count)
{
    size_t position = 0, count = 0;
    const struct person *person;
    pthread_rwlock_rdlock(&directory->lock);
    struct store_user *users =
        ARENA_NEW_ARRAY(arena, map_count(directory->people), struct store_user);
    while ((person = map_next(directory->people, &position, NULL)))
        if (directory_is_member(person, group))
            users[count++] = copy_person(person, arena);
    pthread_rwlock_unlock(&directory->lock);
    qsort(users, count, sizeof *users, compare_people);
    *ret_users = users;
    *ret_count = count;
}

static int compare_groups(const void *left, const void *right)
{
    const struct store_group *a = left, *b = right;
    return str_compare(a->name, b->name);
}

void directory_list_groups(struct directory *directory, struct arena *arena,
                           struct store_group **ret_groups, size_t *ret_count)
{
    size_t position = 0, count = 0;
    const struct group *group;
    pthread_rwlock_rdlock(&directory->lock);
    struct store_group *groups =
        ARENA_NEW_ARRAY(arena, map_count(directory->groups), struct store_group);
    while ((group = map_next(directory->groups, &position, NULL)))
        groups[count++] = copy_group(group, arena);
    pthread_rwlock_unlock(&directory->lock);
    qsort(groups, count, sizeof *groups, compare_groups);
    *ret_groups = groups;
    *ret_count = count;
}

size_t directory_groups_of(struct directory *directory, const struct id *user,
                           struct id ret_groups[POLICY_GROUPS_MAX])
{
    pthread_rwlock_rdlock(&directory->lock);
    const struct person *person = map_get(directory->people, id_str(user));
    size_t count = person ? person->group_count : 0;
    for (size_t i = 0; i < count; i++)
        ret_groups[i] = person->groups[i];
    pthread_rwlock_unlock(&directory->lock);
    return count;
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
            keys[count++] = directory_copy_of_key(key, arena);
    pthread_rwlock_unlock(&directory->lock);
    qsort(keys, count, sizeof *keys, compare_keys);
    *ret_keys = keys;
    *ret_count = count;
}

size_t directory_count_keys(struct directory *directory, const struct id *owner)
{
    size_t count = 0;
    pthread_rwlock_rdlock(&directory->lock);
    const struct person *person = map_get(directory->people, id_str(owner));
    for (const struct key *key = person ? person->keys : NULL; key; key = key->next)
        count++;
    pthread_rwlock_unlock(&directory->lock);
    return count;
}
