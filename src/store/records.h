/* Records: the rows of the store as plain structs, and the functions on them, each to be called
 * inside a transaction (store_job.run). Owner and time lead every key, so that one person's data
 * can be moved, partitioned by month, and sharded without a new schema.
 *
 * Strings read are in the arena given. A function that changes a row which does not exist gives
 * ERR_NOT_FOUND; one that inserts a row which does, ERR_CONFLICT. */
#pragma once

#include "base/arena.h"
#include "base/err.h"
#include "base/id.h"
#include "store/store.h"

/* ---- People -------------------------------------------------------------------------------------
 */
struct store_user {
    struct id id;
    struct str email; /* lower case; unique */
    struct str name;
    struct str role;          /* "admin" or "user" */
    struct str password_hash; /* libsodium's string form; empty: cannot sign in with a password */
    int64_t created_ms;
    bool disabled;
};
MUST_USE enum err store_user_insert(struct store_tx *tx, const struct store_user *user,
                                    struct error *error);
MUST_USE enum err store_user_list(struct store_tx *tx, struct arena *arena,
                                  struct store_user **ret_users, size_t *ret_count,
                                  struct error *error);
MUST_USE enum err store_user_update(struct store_tx *tx, const struct store_user *user,
                                    struct error *error);
MUST_USE enum err store_user_get(struct store_tx *tx, struct arena *arena, const struct id *id,
                                 struct store_user *ret_user, struct error *error);
/* Administrators who are not disabled. */
MUST_USE enum err store_user_count_admins(struct store_tx *tx, int64_t *ret_count,
                                          struct error *error);

/* ---- Groups of people ------------------------------------------------------------------------ */
struct store_group {
    struct id id;
    struct str name; /* unique */
    int64_t created_ms;
};
struct store_member {
    struct id group;
    struct id user;
};
MUST_USE enum err store_group_insert(struct store_tx *tx, const struct store_group *group,
                                     struct error *error);
/* Its name. */
MUST_USE enum err store_group_update(struct store_tx *tx, const struct store_group *group,
                                     struct error *error);
/* With its memberships. */
MUST_USE enum err store_group_delete(struct store_tx *tx, const struct id *id, struct error *error);
MUST_USE enum err store_group_list(struct store_tx *tx, struct arena *arena,
                                   struct store_group **ret_groups, size_t *ret_count,
                                   struct error *error);
/* ERR_CONFLICT: is one already; ERR_NOT_FOUND: there is no such group or person. */
MUST_USE enum err store_member_insert(struct store_tx *tx, const struct store_member *member,
                                      struct error *error);
MUST_USE enum err store_member_delete(struct store_tx *tx, const struct store_member *member,
                                      struct error *error);
/* In how many groups somebody is. */
MUST_USE enum err store_member_count(struct store_tx *tx, const struct id *user, int64_t *ret_count,
                                     struct error *error);
MUST_USE enum err store_member_list(struct store_tx *tx, struct arena *arena,
                                    struct store_member **ret_members, size_t *ret_count,
                                    struct error *error);

/* ---- Sessions and API keys: secrets are stored as hashes only -------------------------------- */
struct store_session {
    struct str token_hash; /* 32 bytes */
    struct id user;
    int64_t created_ms;
    int64_t expires_ms;
};
MUST_USE enum err store_session_insert(struct store_tx *tx, const struct store_session *session,
                                       struct error *error);
MUST_USE enum err store_session_delete(struct store_tx *tx, struct str token_hash,
                                       struct error *error);
/* All of one person; none is ERR_OK. */
MUST_USE enum err store_session_delete_of(struct store_tx *tx, const struct id *user,
                                          struct error *error);
/* Deletes what had expired by `now_ms`, then lists the rest. */
MUST_USE enum err store_session_list(struct store_tx *tx, int64_t now_ms, struct arena *arena,
                                     struct store_session **ret_sessions, size_t *ret_count,
                                     struct error *error);
struct store_key {
    struct id owner;
    struct id id;
    struct str name;
    struct str prefix;   /* the first characters, to recognise it by */
    struct str key_hash; /* 32 bytes */
    int pepper_version;
    int64_t created_ms;
    int64_t last_used_ms; /* 0: never */
    bool revoked;
    int64_t expires_ms;         /* 0: never */
    struct str models;          /* what it may be used for, each a JSON list of texts; empty: all */
    struct str doors;           /* the same */
    struct str addresses;       /* from where; the same */
    uint32_t keep_bodies_hours; /* how long the request log keeps bodies; 0: it keeps none */
    struct id replaces;         /* the key that it was rotated from; or none */
};
MUST_USE enum err store_key_insert(struct store_tx *tx, const struct store_key *key,
                                   struct error *error);
MUST_USE enum err store_key_update(struct store_tx *tx, const struct store_key *key,
                                   struct error *error);
MUST_USE enum err store_key_get(struct store_tx *tx, struct arena *arena, const struct id *owner,
                                const struct id *id, struct store_key *ret_key,
                                struct error *error);
/* Sets last_used_ms alone, when it is later than what is stored; a key that is gone is ERR_OK. */
MUST_USE enum err store_key_touch(struct store_tx *tx, const struct id *owner, const struct id *id,
                                  int64_t last_used_ms, struct error *error);
MUST_USE enum err store_key_list(struct store_tx *tx, struct arena *arena,
                                 struct store_key **ret_keys, size_t *ret_count,
                                 struct error *error);

/* ---- Settings changed in the browser --------------------------------------------------------- */
struct store_setting {
    struct str key;
    struct str value; /* as text; secrets sealed by the caller */
};
MUST_USE enum err store_setting_set(struct store_tx *tx, struct str key, struct str value,
                                    struct error *error);
/* Deleting what is not there is ERR_OK. */
MUST_USE enum err store_setting_delete(struct store_tx *tx, struct str key, struct error *error);
MUST_USE enum err store_setting_list(struct store_tx *tx, struct arena *arena,
                                     struct store_setting **ret_settings, size_t *ret_count,
                                     struct error *error);

/* ---- Limits and budgets ---------------------------------------------------------------------- */
struct store_quota {
    struct str kind;
    struct str id;
    struct str quota; /* JSON object, as route's quota_write makes it */
};
MUST_USE enum err store_quota_set(struct store_tx *tx, const struct store_quota *quota,
                                  struct error *error);
MUST_USE enum err store_quota_delete(struct store_tx *tx, struct str kind, struct str id,
                                     struct error *error);
MUST_USE enum err store_quota_list(struct store_tx *tx, struct arena *arena,
                                   struct store_quota **ret_quotas, size_t *ret_count,
                                   struct error *error);

/* ---- Conversations: a tree of messages ------------------------------------------------------- */
struct store_conversation {
    struct id owner;
    struct id id;
    struct str title;
    struct str model;
    struct id leaf; /* the message last looked at, or none */
    int64_t created_ms;
    int64_t updated_ms;
};
MUST_USE enum err store_conversation_insert(struct store_tx *tx,
                                            const struct store_conversation *conversation,
                                            struct error *error);
/* Of this owner only: another owner's is ERR_NOT_FOUND. */
MUST_USE enum err store_conversation_get(struct store_tx *tx, struct arena *arena,
                                         const struct id *owner, const struct id *id,
                                         struct store_conversation *ret, struct error *error);
/* Title, model, leaf, updated_ms. */
MUST_USE enum err store_conversation_update(struct store_tx *tx,
                                            const struct store_conversation *conversation,
                                            struct error *error);
/* With all its messages. */
MUST_USE enum err store_conversation_delete(struct store_tx *tx, const struct id *owner,
                                            const struct id *id, struct error *error);
/* Newest (updated_ms, then id) first; `before` continues after a page: "" or what *ret_next was.
 * *ret_next is empty at the end. */
MUST_USE enum err store_conversation_list(struct store_tx *tx, struct arena *arena,
                                          const struct id *owner, struct str before, int limit,
                                          struct store_conversation **ret, size_t *ret_count,
                                          struct str *ret_next, struct error *error);

enum store_status {
    STORE_STATUS_COMPLETE,
    STORE_STATUS_STREAMING,
    STORE_STATUS_STOPPED,
    STORE_STATUS_FAILED,
    STORE_STATUS_INTERRUPTED
};
const char *store_status_name(enum store_status status);

struct store_message {
    struct id owner;
    struct id conversation;
    struct id id;
    struct id parent; /* none for the first */
    struct str role;  /* "user" or "assistant" */
    enum store_status status;
    struct str content; /* JSON list of parts, as chat writes it */
    struct str model;   /* who answered, or was asked */
    struct str finish;  /* name of llm_finish, or empty */
    struct str error;   /* JSON object, or empty */
    struct str usage;   /* JSON object, or empty */
    struct str route;   /* JSON object: how it came to be, see route_write_story; or empty */
    struct id run;      /* of the answer being written, or last written; or none */
    int64_t created_ms;
};
/* ERR_NOT_FOUND (field "parent_id") when the parent is not in the same conversation. */
MUST_USE enum err store_message_insert(struct store_tx *tx, const struct store_message *message,
                                       struct error *error);
MUST_USE enum err store_message_get(struct store_tx *tx, struct arena *arena,
                                    const struct id *owner, const struct id *conversation,
                                    const struct id *id, struct store_message *ret,
                                    struct error *error);
/* Everything but the ids, role and created_ms. */
MUST_USE enum err store_message_update(struct store_tx *tx, const struct store_message *message,
                                       struct error *error);
/* The whole tree, parents before children, siblings by id. */
MUST_USE enum err store_message_list(struct store_tx *tx, struct arena *arena,
                                     const struct id *owner, const struct id *conversation,
                                     struct store_message **ret, size_t *ret_count,
                                     struct error *error);
/* From the root to `leaf`, both included. */
MUST_USE enum err store_message_path(struct store_tx *tx, struct arena *arena,
                                     const struct id *owner, const struct id *conversation,
                                     const struct id *leaf, struct store_message **ret,
                                     size_t *ret_count, struct error *error);
/* All messages still marked streaming, of everybody: what a crash left behind. */
MUST_USE enum err store_message_list_streaming(struct store_tx *tx, struct arena *arena,
                                               struct store_message **ret, size_t *ret_count,
                                               struct error *error);

/* ---- The request log: what keys that keep their bodies have asked and heard ------------------- */
struct store_request {
    struct id key;
    struct id id; /* carries its time */
    struct id owner;
    struct str request_id;
    int64_t expires_ms;
    struct str method;
    struct str path;
    int status;
    int64_t duration_ms;
    struct str request; /* the bodies, cut; not read by store_request_list */
    struct str answer;
    int64_t request_bytes; /* of the whole bodies */
    int64_t answer_bytes;
};
MUST_USE enum err store_request_insert(struct store_tx *tx, const struct store_request *request,
                                       struct error *error);
MUST_USE enum err store_request_delete_expired(struct store_tx *tx, int64_t now_ms,
                                               struct error *error);
/* Newest first; `before`: the id of the last one seen, or empty. Bodies are left out, and what has
 * expired. */
MUST_USE enum err store_request_list(struct store_tx *tx, struct arena *arena, const struct id *key,
                                     struct str before, int64_t now_ms, int limit,
                                     struct store_request **ret_requests, size_t *ret_count,
                                     struct error *error);
MUST_USE enum err store_request_get(struct store_tx *tx, struct arena *arena, const struct id *key,
                                    const struct id *id, int64_t now_ms, struct store_request *ret,
                                    struct error *error);

/* ---- What people made at providers, by requests that were handed through --------------------- */
struct store_relay_object {
    struct id owner; /* none: the command line */
    struct str kind; /* "fine_tuning.job" */
    struct str id;   /* as the provider names it */
    struct str provider;
    int64_t created_ms;
};
/* What is there already is replaced. */
MUST_USE enum err store_relay_object_put(struct store_tx *tx,
                                         const struct store_relay_object *object,
                                         struct error *error);
/* `owner` NULL: anybody's, the newest. */
MUST_USE enum err store_relay_object_get(struct store_tx *tx, struct arena *arena,
                                         const struct id *owner, struct str kind, struct str id,
                                         struct store_relay_object *ret, struct error *error);
/* Newest first, at most `limit`, behind the one with the id `after` (empty: from the beginning). */
MUST_USE enum err store_relay_object_list(struct store_tx *tx, struct arena *arena,
                                          const struct id *owner, struct str kind, struct str after,
                                          int limit, struct store_relay_object **ret,
                                          size_t *ret_count, struct error *error);

/* ---- Stored responses: answers that a program may go on from by their id ---------------------- */
struct store_response {
    struct id owner;
    struct str id;       /* as its client saw it: the provider's, or one of ours */
    struct str previous; /* the answer that it went on from; empty: none */
    int64_t created_ms;
    int64_t expires_ms;
    struct str model;  /* that was asked for */
    struct str input;  /* JSON list of items */
    struct str answer; /* JSON: the response object */
    struct str parts;  /* JSON list of parts of the answer, as chat writes it */
};
/* Replaces one of the same owner and id: the newest is what its client saw last. */
MUST_USE enum err store_response_put(struct store_tx *tx, const struct store_response *response,
                                     struct error *error);
/* The same when there is one; else ERR_NOT_FOUND: it was deleted while its answer was written. */
MUST_USE enum err store_response_replace(struct store_tx *tx, const struct store_response *response,
                                         struct error *error);
/* Of this owner only, and not expired by `now_ms`: else ERR_NOT_FOUND. */
MUST_USE enum err store_response_get(struct store_tx *tx, struct arena *arena,
                                     const struct id *owner, struct str id, int64_t now_ms,
                                     struct store_response *ret, struct error *error);
MUST_USE enum err store_response_delete(struct store_tx *tx, const struct id *owner, struct str id,
                                        int64_t now_ms, struct error *error);
/* Removes up to `limit` of everybody's that had expired by `now_ms`, and says how many. */
MUST_USE enum err store_response_expire(struct store_tx *tx, int64_t now_ms, int limit,
                                        int *ret_removed, struct error *error);
