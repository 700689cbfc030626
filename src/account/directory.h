/* Directory: people, groups, sessions and keys in memory, behind one read-write lock, and the policy
 * that follows from them. Records go in after they are committed, in the order of the commits, and are
 * copied out; a person and a key, once in, stay. What changes something retires the policies that
 * rested on it. Every function: any thread. */
#pragma once

#include "account/policy.h"

struct directory;

struct directory *directory_new(void);
void directory_free(struct directory *directory);

/* A copy of the record goes in, in place of the one that was there. A session or key of a person who
 * is not in is ignored. */
void directory_put_person(struct directory *directory, const struct store_user *record);
void directory_add_session(struct directory *directory, const struct store_session *record,
                           int64_t now_ms);
/* A key that was refused stays so. */
void directory_put_key(struct directory *directory, const struct store_key *record);
void directory_put_group(struct directory *directory, const struct store_group *record);
void directory_remove_group(struct directory *directory, const struct id *id);
/* Ignored when there is no such person or group, or no room (POLICY_GROUPS_MAX). */
void directory_add_member(struct directory *directory, const struct store_member *member);
void directory_remove_member(struct directory *directory, const struct store_member *member);
/* Of one person, all of them. */
void directory_end_sessions(struct directory *directory, const struct id *user);
/* Whether it was there. */
bool directory_remove_session(struct directory *directory, struct str token_hash);
/* Refuses the key from now on, and copies its record; false when there is no such key of `owner`
 * (none: anybody's). */
bool directory_revoke_key(struct directory *directory, const struct id *owner, const struct id *key,
                          struct arena *arena, struct store_key *ret_record);

/* Who holds this; false when nobody, expired, revoked, or disabled. */
bool directory_find_session(struct directory *directory, struct str token_hash, int64_t now_ms,
                            struct principal *ret_principal);
/* The key of that hash, or NULL: good or not, and the same for as long as the directory lives. */
struct key *directory_find_key(struct directory *directory, struct str key_hash,
                               int pepper_version);
/* Who holds the key; also notes the use. *ret_write: the last written use is so long ago that this
 * one should be written (said to one caller only). */
bool directory_use_found_key(struct directory *directory, struct key *key, int64_t now_ms,
                             struct principal *ret_principal, bool *ret_write);
/* Notes the use of a key that is known to be good; returns what *ret_write is. Takes no lock. */
bool directory_note_use(struct key *key, int64_t now_ms);
/* The same by the key's id. */
bool directory_use_key(struct directory *directory, const struct id *id, int64_t now_ms,
                       struct principal *ret_principal, bool *ret_write);
/* The key itself while it is good, or has no successor; where it has expired behind a rotation, the one
 * that took its place. */
struct id directory_key_in_force(struct directory *directory, const struct id *id, int64_t now_ms);
/* The policy in force, referenced; NULL: not valid any more. */
struct policy *directory_policy(struct directory *directory, const struct principal *who,
                                int64_t now_ms);

size_t directory_person_count(struct directory *directory);
bool directory_copy_person(struct directory *directory, struct arena *arena, const struct id *id,
                           struct store_user *ret_record);
bool directory_copy_person_by_email(struct directory *directory, struct arena *arena,
                                    struct str email, struct store_user *ret_record);
/* In the order they were made. */
void directory_list_people(struct directory *directory, struct arena *arena,
                           struct store_user **ret_users, size_t *ret_count);
bool directory_copy_key(struct directory *directory, struct arena *arena, const struct id *id,
                        struct store_key *ret_record);
void directory_list_keys(struct directory *directory, struct arena *arena, const struct id *owner,
                         struct store_key **ret_keys, size_t *ret_count);
/* Of one person, with those that are revoked. */
size_t directory_count_keys(struct directory *directory, const struct id *owner);
bool directory_copy_group(struct directory *directory, struct arena *arena, const struct id *id,
                          struct store_group *ret_record);
/* By name. */
void directory_list_groups(struct directory *directory, struct arena *arena,
                           struct store_group **ret_groups, size_t *ret_count);
/* People in a group, in the order they were made. */
void directory_list_members(struct directory *directory, struct arena *arena,
                            const struct id *group, struct store_user **ret_users,
                            size_t *ret_count);
/* Of a person, at most POLICY_GROUPS_MAX; how many. */
size_t directory_groups_of(struct directory *directory, const struct id *user,
                           struct id ret_groups[POLICY_GROUPS_MAX]);
