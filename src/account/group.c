/* Groups: making, renaming, deleting, and who is in them. */
#include "account/group.h"

#include "account/operation.h"
#include "base/clock.h"

static void answer_group(struct operation *operation)
{
    bool good = operation->code == ERR_OK;
    operation->done.group(operation->user, operation->code, good ? NULL : &operation->error,
                          good ? &operation->group : NULL);
}

static void on_group_written(struct operation *operation)
{
    directory_put_group(operation->account->directory, &operation->group);
}

static struct operation *group_operation(struct account *account, struct loop *loop,
                                         account_group_done_fn *done, void *user)
{
    struct operation *operation = operation_new(account, loop, answer_group, user);
    operation->done.group = done;
    return operation;
}

static struct operation *plain_operation(struct account *account, struct loop *loop,
                                         account_done_fn *done, void *user)
{
    struct operation *operation = operation_new(account, loop, operation_answer_plain, user);
    operation->done.plain = done;
    return operation;
}

/* Writes, or says what operation->code says. */
static void write_if_good(struct operation *operation,
                          enum err (*run)(struct store_tx *tx, void *user, struct error *error),
                          void (*committed)(struct operation *operation))
{
    if (operation->code == ERR_OK)
        operation_write(operation, run, committed);
    else
        operation_answer_later(operation);
}

/* ---- Groups ------------------------------------------------------------------------------------
 */
static enum err set_name(struct operation *operation, struct str name)
{
    operation->group.name = arena_str(operation->arena, str_trim(name));
    if (operation->group.name.len == 0)
        return error_set(&operation->error, ERR_INVALID, "name", "must not be empty");
    return account_check_text(operation->group.name, ACCOUNT_GROUP_NAME_BYTES_MAX, "name",
                              &operation->error);
}

static enum err name_conflict(enum err code, struct error *error)
{
    if (code == ERR_CONFLICT)
        error_set(error, ERR_CONFLICT, "name", "there is a group of that name already");
    return code;
}

static enum err run_insert(struct store_tx *tx, void *user, struct error *error)
{
    const struct operation *operation = user;
    return name_conflict(store_group_insert(tx, &operation->group, error), error);
}

static enum err run_rename(struct store_tx *tx, void *user, struct error *error)
{
    const struct operation *operation = user;
    return name_conflict(store_group_update(tx, &operation->group, error), error);
}

void account_create_group(struct account *account, struct loop *loop, struct str name,
                          account_group_done_fn *done, void *user)
{
    struct operation *operation = group_operation(account, loop, done, user);
    int64_t now_ms = clock_wall_ms();
    operation->group = (struct store_group){.id = id_new(now_ms), .created_ms = now_ms};
    operation->code = set_name(operation, name);
    write_if_good(operation, run_insert, on_group_written);
}

static enum err find_group(struct operation *operation, const struct id *group)
{
    if (directory_copy_group(operation->account->directory, operation->arena, group,
                             &operation->group))
        return ERR_OK;
    return error_set(&operation->error, ERR_NOT_FOUND, NULL, "no such group");
}

void account_rename_group(struct account *account, struct loop *loop, const struct id *group,
                          struct str name, account_group_done_fn *done, void *user)
{
    struct operation *operation = group_operation(account, loop, done, user);
    operation->code = find_group(operation, group);
    if (operation->code == ERR_OK)
        operation->code = set_name(operation, name);
    write_if_good(operation, run_rename, on_group_written);
}

static enum err run_delete(struct store_tx *tx, void *user, struct error *error)
{
    const struct operation *operation = user;
    return store_group_delete(tx, &operation->group.id, error);
}

static void on_deleted(struct operation *operation)
{
    directory_remove_group(operation->account->directory, &operation->group.id);
}

void account_delete_group(struct account *account, struct loop *loop, const struct id *group,
                          account_done_fn *done, void *user)
{
    struct operation *operation = plain_operation(account, loop, done, user);
    operation->code = find_group(operation, group);
    write_if_good(operation, run_delete, on_deleted);
}

/* ---- Members -----------------------------------------------------------------------------------
 */
static enum err find_member(struct operation *operation, const struct id *group,
                            const struct id *person)
{
    operation->member = (struct store_member){.group = *group, .user = *person};
    enum err code = find_group(operation, group);
    if (code != ERR_OK)
        return code;
    if (!directory_copy_person(operation->account->directory, operation->arena, person,
                               &operation->person))
        return error_set(&operation->error, ERR_NOT_FOUND, NULL, "no such person");
    return ERR_OK;
}

static enum err run_join(struct store_tx *tx, void *user, struct error *error)
{
    const struct operation *operation = user;
    int64_t count = 0;
    enum err code = store_member_insert(tx, &operation->member, error);
    if (code == ERR_CONFLICT)
        return ERR_OK; /* is in it already */
    if (code == ERR_OK)
        code = store_member_count(tx, &operation->member.user, &count, error);
    if (code == ERR_OK && count > POLICY_GROUPS_MAX)
        return error_set(error, ERR_INVALID, NULL, "somebody can be in %d groups at most",
                         (int)POLICY_GROUPS_MAX);
    return code;
}

static void on_joined(struct operation *operation)
{
    directory_add_member(operation->account->directory, &operation->member);
}

void account_add_member(struct account *account, struct loop *loop, const struct id *group,
                        const struct id *person, account_done_fn *done, void *user)
{
    struct operation *operation = plain_operation(account, loop, done, user);
    operation->code = find_member(operation, group, person);
    write_if_good(operation, run_join, on_joined);
}

static enum err run_leave(struct store_tx *tx, void *user, struct error *error)
{
    const struct operation *operation = user;
    enum err code = store_member_delete(tx, &operation->member, error);
    return code == ERR_NOT_FOUND ? ERR_OK : code; /* was not in it */
}

static void on_left(struct operation *operation)
{
    directory_remove_member(operation->account->directory, &operation->member);
}

void account_remove_member(struct account *account, struct loop *loop, const struct id *group,
                           const struct id *person, account_done_fn *done, void *user)
{
    struct operation *operation = plain_operation(account, loop, done, user);
    operation->code = find_member(operation, group, person);
    write_if_good(operation, run_leave, on_left);
}

/* ---- Lists -------------------------------------------------------------------------------------
 */
enum err account_get_group(struct account *account, struct arena *arena, const struct id *group,
                           struct store_group *ret_group)
{
    bool found = directory_copy_group(account->directory, arena, group, ret_group);
    return found ? ERR_OK : ERR_NOT_FOUND;
}

enum err account_list_groups(struct account *account, struct arena *arena,
                             struct store_group **ret_groups, size_t *ret_count)
{
    struct store_group *groups;
    size_t count;
    directory_list_groups(account->directory, arena, &groups, &count);
    if (arena_exceeded(arena))
        return ERR_TOO_BIG;
    *ret_groups = groups;
    *ret_count = count;
    return ERR_OK;
}

enum err account_list_members(struct account *account, struct arena *arena, const struct id *group,
                              struct store_user **ret_users, size_t *ret_count)
{
    struct store_user *users;
    size_t count;
    directory_list_members(account->directory, arena, group, &users, &count);
    if (arena_exceeded(arena))
        return ERR_TOO_BIG;
    *ret_users = users;
    *ret_count = count;
    return ERR_OK;
}

size_t account_groups_of(struct account *account, const struct id *person,
                         struct id ret_groups[POLICY_GROUPS_MAX])
{
    return directory_groups_of(account->directory, person, ret_groups);
}
