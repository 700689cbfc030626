/* Groups of people: who shares limits, budgets and rights. */
#pragma once

#include "account/policy.h"

enum { ACCOUNT_GROUP_NAME_BYTES_MAX = 100 };

/* As account.h says of all changes; `group` is absent after a deletion. */
typedef void account_group_done_fn(void *user, enum err code, const struct error *error,
                                   const struct store_group *group);
/* ERR_CONFLICT: there is one of that name. */
void account_create_group(struct account *account, struct loop *loop, struct str name,
                          account_group_done_fn *done, void *user);
void account_rename_group(struct account *account, struct loop *loop, const struct id *group,
                          struct str name, account_group_done_fn *done, void *user);
void account_delete_group(struct account *account, struct loop *loop, const struct id *group,
                          account_done_fn *done, void *user);
/* Somebody is in POLICY_GROUPS_MAX groups at most (ERR_INVALID). Who is in it already, or is not, is
 * ERR_OK. */
void account_add_member(struct account *account, struct loop *loop, const struct id *group,
                        const struct id *person, account_done_fn *done, void *user);
void account_remove_member(struct account *account, struct loop *loop, const struct id *group,
                           const struct id *person, account_done_fn *done, void *user);

/* Copies in the arena. Memory only, any thread. */
MUST_USE enum err account_get_group(struct account *account, struct arena *arena,
                                    const struct id *group, struct store_group *ret_group);
MUST_USE enum err account_list_groups(struct account *account, struct arena *arena,
                                      struct store_group **ret_groups, size_t *ret_count);
MUST_USE enum err account_list_members(struct account *account, struct arena *arena,
                                       const struct id *group, struct store_user **ret_users,
                                       size_t *ret_count);
/* At most POLICY_GROUPS_MAX; how many. */
size_t account_groups_of(struct account *account, const struct id *person,
                         struct id ret_groups[POLICY_GROUPS_MAX]);
