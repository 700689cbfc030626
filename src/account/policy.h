/* Policy: what a caller may reach, as the router and the doors obey it. The directory makes it from
 * a key, its owner and the owner's groups. Immutable but for `is_retired`; reference counted; any
 * thread. */
#pragma once

#include <stdatomic.h>

#include "account/account.h"

enum { POLICY_GROUPS_MAX = 16, POLICY_PATTERNS_MAX = 64 };

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
    /* Something was changed or revoked: who goes on for long asks account_policy again. */
    _Atomic bool is_retired;
};

/* Names of doors for scopes and the ledger: "openai", "anthropic", "gemini", "ollama" (what speaks
 * those dialects), "provider" (handing through), "parley" (its own API and web app). NULL at the
 * end. */
extern const char *const policy_doors[];

struct policy *policy_ref(struct policy *policy);
/* NULL is allowed. */
void policy_unref(struct policy *policy);

/* The caller's policy in force, referenced. The command line's and an anonymous caller's has no
 * groups and no limits. ERR_UNAUTHENTICATED: the key or session's person is not valid any more.
 * Memory only. */
MUST_USE enum err account_policy(struct account *account, const struct principal *who,
                                 struct policy **ret_policy);

/* Whether the caller may use a target that was asked for by the name `asked` (a route, a model, as
 * the caller wrote it; empty: the default): one of the two must fit the scope. */
bool policy_allows_model(const struct policy *policy, struct str asked, struct str target_id);
bool policy_allows_door(const struct policy *policy, struct str door);
/* `address`: as http_request.peer_address has it. */
bool policy_allows_address(const struct policy *policy, struct str address);
