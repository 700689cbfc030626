/* The directory's insides, for its own files alone. */
#pragma once

#include <pthread.h>

#include "account/directory.h"
#include "base/map.h"

/* People and keys stay where they are for ever; their strings lie beside them and are replaced with
 * the record. */
struct person {
    struct store_user record;
    void *strings;
    struct id groups[POLICY_GROUPS_MAX];
    size_t group_count;
    struct policy *policy; /* of sessions; NULL: not asked for since the last change */
    struct key *keys;      /* all of them, the newest first */
};

struct session {
    struct store_session record;
    const struct person *person;
    char strings[];
};

struct key {
    struct store_key record; /* but for last_used_ms, which is below */
    void *strings;
    struct person *person;
    struct key *next;      /* of the same person */
    struct policy *policy; /* as person's */
    _Atomic int64_t last_used_ms;
    _Atomic int64_t written_ms;
};

struct group {
    struct store_group record;
    char strings[];
};

struct directory {
    pthread_rwlock_t lock;  /* guards everything below */
    struct map *people;     /* by id */
    struct map *emails;     /* the same people */
    struct map *groups;     /* by id */
    struct map *sessions;   /* by token hash */
    struct map *keys;       /* by id */
    struct map *key_hashes; /* the same keys */
    size_t sweep_at;        /* sessions at which those that expired are thrown out */
    /* Of those who are no person: for ever the same. */
    struct policy *local;
    struct policy *anonymous;
};

/* ---- directory.c ----------------------------------------------------------------------------- */
/* Copies the texts into one new allocation, and makes them views of it. */
void *directory_own(struct str *const *texts, size_t count);

/* ---- directory_list.c ------------------------------------------------------------------------ */
struct store_key directory_copy_of_key(const struct key *key, struct arena *arena);

/* ---- directory_policy.c: with the lock held -------------------------------------------------- */
void directory_init_policies(struct directory *directory);
void directory_done_policies(struct directory *directory);
/* Says to whoever holds it that it is past, and drops it; for writing. */
void directory_retire(struct policy **policy);
/* The person's and those of all the person's keys; for writing. */
void directory_retire_person(struct person *person);
enum role directory_role(const struct person *person);
bool directory_is_member(const struct person *person, const struct id *group);
/* Neither revoked nor expired nor of somebody disabled. */
bool directory_key_is_good(const struct key *key, int64_t now_ms);
struct principal directory_principal_of_key(const struct key *key);
