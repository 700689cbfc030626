/* Policy: what a caller may reach, as the router and the doors obey it. The directory makes it from
 * a key, its owner and the owner's groups. Immutable but for `is_retired`; reference counted; any
 * thread. */
#pragma once

#include <stdatomic.h>

#include "account/account.h"

enum { POLICY_GROUPS_MAX = 16, POLICY_PATTERNS_MAX = 64, POLICY_PATTERN_BYTES_MAX = 300 };

/* A list of patterns; none: everything is allowed. A pattern is a text in which '*' stands for any
 * number of characters. */
struct policy_patterns {
    const struct str *items;
    size_t count;
};

struct policy {
    struct principal who;
    const struct id *groups; /* of the person, at most POLICY_GROUPS_MAX */
    size_t group_count;
    struct policy_patterns models;    /* "provider/model", routes, bare names */
    struct policy_patterns doors;     /* names of policy_doors */
    struct policy_patterns addresses; /* of callers: "192.0.2.7", "10.0.0.0/8", "2001:db8::/32" */
    bool keeps_bodies;                /* the request log keeps what is asked and answered */
    uint32_t keep_bodies_hours;
    int64_t expires_ms; /* of the key; 0: never */
    /* Something was changed or revoked: who goes on for long asks account_policy again. */
    _Atomic bool is_retired;
};

/* Names of doors for scopes and the ledger: "openai", "anthropic", "gemini", "ollama" (what speaks
 * those dialects), "provider" (handing through), "parley" (its own API and web app). NULL at the
 * end. */
extern const char *const policy_doors[];

/* A copy of all that `like` shows, with one reference. Addresses that are none allow nobody. */
struct policy *policy_new(const struct policy *like);
struct policy *policy_ref(struct policy *policy);
/* NULL is allowed. */
void policy_unref(struct policy *policy);

/* The caller's policy in force, referenced. The command line's and an anonymous caller's has no
 * groups and no limits. ERR_UNAUTHENTICATED: the key or session's person is not valid any more.
 * Memory only. */
MUST_USE enum err account_policy(struct account *account, const struct principal *who,
                                 struct policy **ret_policy);

/* Neither retired nor expired; else ask account_policy again. */
bool policy_is_current(const struct policy *policy, int64_t now_ms);

/* Whether the caller may use a target that was asked for by the name `asked` (a route, a model, as
 * the caller wrote it; empty: the default): one of the two must fit the scope. A pattern without '/' is
 * a bare name: it also fits the model of that name at any provider. */
bool policy_allows_model(const struct policy *policy, struct str asked, struct str target_id);
bool policy_allows_door(const struct policy *policy, struct str door);
/* `address`: as http_request.peer_address has it. */
bool policy_allows_address(const struct policy *policy, struct str address);

/* ---- Scopes as they are stored --------------------------------------------------------------- */
/* A JSON list of texts; empty: none. Read into the arena; ERR_CORRUPT. */
MUST_USE enum err policy_patterns_read(struct arena *arena, struct str json,
                                       struct policy_patterns *ret);
struct str policy_patterns_write(struct arena *arena, const struct policy_patterns *patterns);
/* How many, how long, and that each is one: ERR_INVALID. The error's field is set to `field`. */
MUST_USE enum err policy_check_models(const struct policy_patterns *patterns, const char *field,
                                      struct error *error);
MUST_USE enum err policy_check_doors(const struct policy_patterns *patterns, const char *field,
                                     struct error *error);
MUST_USE enum err policy_check_addresses(const struct policy_patterns *patterns, const char *field,
                                         struct error *error);
