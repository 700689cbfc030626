/* Directory: people, sessions and keys in memory, behind one read-write lock. Records go in after
 * they are committed, and are copied out; a person, once in, stays. Every function: any thread. */
#pragma once

#include "account/account.h"

struct directory;

struct directory *directory_new(void);
void directory_free(struct directory *directory);

/* A copy of the record goes in. A session or key of a person who is not in is ignored. */
void directory_add_person(struct directory *directory, const struct store_user *record);
void directory_add_session(struct directory *directory, const struct store_session *record,
                           int64_t now_ms);
void directory_add_key(struct directory *directory, const struct store_key *record);
/* Whether it was there. */
bool directory_remove_session(struct directory *directory, struct str token_hash);
/* Refuses the key from now on, and copies its record; false when there is no such key of `owner`
 * (none: anybody's). */
bool directory_revoke_key(struct directory *directory, const struct id *owner, const struct id *key,
                          struct arena *arena, struct store_key *ret_record);

/* Who holds this; false when nobody, expired, revoked, or disabled. */
bool directory_find_session(struct directory *directory, struct str token_hash, int64_t now_ms,
                            struct principal *ret_principal);
/* Also notes the use. *ret_write: the last written use is so long ago that this one should be
 * written (said to one caller only). */
bool directory_find_key(struct directory *directory, struct str key_hash, int pepper_version,
                        int64_t now_ms, struct principal *ret_principal, bool *ret_write);

size_t directory_person_count(struct directory *directory);
bool directory_copy_person(struct directory *directory, struct arena *arena, const struct id *id,
                           struct store_user *ret_record);
bool directory_copy_person_by_email(struct directory *directory, struct arena *arena,
                                    struct str email, struct store_user *ret_record);
/* In the order they were made. */
void directory_list_people(struct directory *directory, struct arena *arena,
                           struct store_user **ret_users, size_t *ret_count);
void directory_list_keys(struct directory *directory, struct arena *arena, const struct id *owner,
                         struct store_key **ret_keys, size_t *ret_count);
