/* Changes of keys, people and groups: that two at once both hold, that what is revoked or last stays
 * so, and that everything is there again after a restart. */
#include "helper_account.h"

static struct answer edit_key(struct fixture *f, const struct id *key,
                              const struct account_key_change *change)
{
    struct answer answer = {0};
    account_edit_key(f->account, f->loop, key, change, on_key, &answer);
    return wait_for(f, &answer);
}

static struct answer rotate(struct fixture *f, const struct id *key, int64_t overlap_seconds)
{
    struct answer answer = {0};
    account_rotate_key(f->account, f->loop, key, overlap_seconds, on_key, &answer);
    return wait_for(f, &answer);
}

static struct store_key record_of(struct fixture *f, struct arena *arena, const struct id *key)
{
    struct store_key record = {0};
    assert_int_equal(account_get_key(f->account, arena, key, &record), ERR_OK);
    return record;
}

/* ---- Keys ------------------------------------------------------------------------------------ */

static void test_two_edits_at_once(void **state)
{
    struct fixture *f = *state;
    struct answer ann = create(f, "ann@b", "", "", STR_NONE), a = {0}, b = {0}, c = {0};
    struct answer key = create_key(f, &ann.id, "k");
    const struct account_key_change name = {.members = ACCOUNT_KEY_NAME, .name = STR("new")};
    const struct account_key_change hours = {.members = ACCOUNT_KEY_BODIES, .keep_bodies_hours = 7};
    account_edit_key(f->account, f->loop, &key.id, &name, on_key, &a);
    account_edit_key(f->account, f->loop, &key.id, &hours, on_key, &b);
    account_revoke_key(f->account, f->loop, &ann.id, &key.id, on_plain, &c);
    while (!a.count || !b.count || !c.count)
        loop_run_once(f->loop);
    assert_true(a.code == ERR_OK && b.code == ERR_OK && c.code == ERR_OK);
    struct arena *arena = arena_new(65536);
    for (int i = 0; i < 2; i++) {
        struct store_key record = record_of(f, arena, &key.id);
        assert_true(str_eq(record.name, STR("new")) && record.keep_bodies_hours == 7);
        assert_true(record.revoked); /* no edit that was under way brings it back */
        restart(f, 0);
    }
    assert_int_equal(edit_key(f, &key.id, &name).code, ERR_CONFLICT);
    assert_int_equal(rotate(f, &key.id, 0).code, ERR_CONFLICT);
    arena_free(arena);
}

static void test_rotation(void **state)
{
    struct fixture *f = *state;
    struct principal who;
    struct answer ann = create(f, "ann@b", "", "", STR_NONE);
    struct answer old = create_key(f, &ann.id, "k");
    int64_t end_ms = clock_wall_ms() + 3600 * 1000;
    const struct account_key_change change = {.members = ACCOUNT_KEY_EXPIRY, .expires_ms = end_ms};
    assert_int_equal(edit_key(f, &old.id, &change).code, ERR_OK);
    struct answer new = rotate(f, &old.id, 2 * 3600);
    assert_int_equal(new.code, ERR_OK);
    assert_string_not_equal(new.secret, old.secret);
    struct arena *arena = arena_new(65536);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(by_key(f, old.secret, &who), ERR_OK);
        assert_int_equal(by_key(f, new.secret, &who), ERR_OK);
        assert_true(id_eq(&who.key, &new.id));
        struct store_key record = record_of(f, arena, &new.id);
        assert_true(id_eq(&record.replaces, &old.id) && record.expires_ms == end_ms);
        assert_int_equal(record_of(f, arena, &old.id).expires_ms, end_ms); /* never later */
        restart(f, 0);
    }
    assert_int_equal(rotate(f, &new.id, 0).code, ERR_OK);
    assert_int_equal(by_key(f, new.secret, &who), ERR_UNAUTHENTICATED);
    assert_int_equal(rotate(f, &new.id, 0).code, ERR_CONFLICT);
    assert_int_equal(rotate(f, &old.id, -1).code, ERR_INVALID);
    assert_int_equal(rotate(f, &old.id, 30 * 86400 + 1).code, ERR_INVALID);
    struct id nobody = id_new(1);
    assert_int_equal(rotate(f, &nobody, 0).code, ERR_NOT_FOUND);
    arena_free(arena);
}

/* What goes on longer than a key asks who acts for it. */
static void test_in_force(void **state)
{
    struct fixture *f = *state;
    struct answer ann = create(f, "ann@b", "", "", STR_NONE);
    struct answer first = create_key(f, &ann.id, "k"), alone = create_key(f, &ann.id, "x");
    struct id none = {0}, nobody = id_new(1);
    struct answer second = rotate(f, &first.id, 3600), in_force = {0};
    in_force.id = account_key_in_force(f->account, &first.id);
    assert_true(id_eq(&in_force.id, &first.id)); /* it is still good */
    struct answer third = rotate(f, &second.id, 0);
    in_force.id = account_key_in_force(f->account, &second.id);
    assert_true(id_eq(&in_force.id, &third.id));
    for (int64_t before = clock_wall_ms(); clock_wall_ms() == before;)
        ;                                          /* the newest is told by its time */
    struct answer newer = rotate(f, &first.id, 0); /* the second that was made of it */
    for (int i = 0; i < 2; i++) {
        in_force.id = account_key_in_force(f->account, &first.id);
        assert_true(id_eq(&in_force.id, &newer.id));
        restart(f, 0);
    }
    struct answer revoked = {0};
    account_revoke_key(f->account, f->loop, &ann.id, &newer.id, on_plain, &revoked);
    wait_for(f, &revoked);
    in_force.id = account_key_in_force(f->account, &first.id); /* by way of the second */
    assert_true(id_eq(&in_force.id, &third.id));
    revoked = (struct answer){0};
    account_revoke_key(f->account, f->loop, &ann.id, &second.id, on_plain, &revoked);
    wait_for(f, &revoked);
    in_force.id = account_key_in_force(f->account, &second.id); /* nobody acts for a revoked one */
    assert_true(id_eq(&in_force.id, &second.id));
    in_force.id = account_key_in_force(f->account, &first.id);
    assert_true(id_eq(&in_force.id, &first.id));
    const struct id *others[] = {&alone.id, &nobody, &none};
    for (size_t i = 0; i < 3; i++) {
        in_force.id = account_key_in_force(f->account, others[i]);
        assert_true(id_eq(&in_force.id, others[i]));
    }
}

static void test_wrong_settings(void **state)
{
    struct fixture *f = *state;
    struct answer ann = create(f, "ann@b", "", "", STR_NONE);
    struct answer key = create_key(f, &ann.id, "k");
    const struct str bad[] = {STR("")};
    const struct policy_patterns list = {bad, 1};
    int64_t now_ms = clock_wall_ms();
    const struct {
        struct account_key_change change;
        const char *field;
    } rows[] = {
        {{.members = ACCOUNT_KEY_NAME, .name = STR(" ")}, "name"},
        {{.members = ACCOUNT_KEY_EXPIRY, .expires_ms = now_ms - 1}, "expires_at"},
        {{.members = ACCOUNT_KEY_EXPIRY, .expires_ms = -1}, "expires_at"},
        {{.members = ACCOUNT_KEY_EXPIRY, .expires_ms = INT64_MAX}, "expires_at"},
        {{.members = ACCOUNT_KEY_MODELS, .models = list}, "models"},
        {{.members = ACCOUNT_KEY_DOORS, .doors = list}, "doors"},
        {{.members = ACCOUNT_KEY_ADDRESSES, .addresses = list}, "addresses"},
        {{.members = ACCOUNT_KEY_BODIES, .keep_bodies_hours = UINT32_MAX}, "keep_bodies_hours"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct answer answer = edit_key(f, &key.id, &rows[i].change), made = {0};
        assert_int_equal(answer.code, ERR_INVALID);
        assert_string_equal(answer.field, rows[i].field);
        struct account_key_change settings = rows[i].change;
        if (!settings.name.data)
            settings.name = STR("n");
        account_create_key(f->account, f->loop, &ann.id, &settings, on_key, &made);
        assert_int_equal(wait_for(f, &made).code, ERR_INVALID);
        assert_string_equal(made.field, rows[i].field);
    }
}

static void test_acting_as_a_key(void **state)
{
    struct fixture *f = *state;
    struct principal who;
    struct answer ann = create(f, "ann@b", "", "", STR_NONE);
    struct answer key = create_key(f, &ann.id, "k");
    struct arena *arena = arena_new(65536);
    struct id nobody = id_new(1);
    assert_int_equal(account_act_as_key(f->account, &key.id, &who), ERR_OK);
    assert_true(who.kind == PRINCIPAL_KEY && id_eq(&who.user, &ann.id) && id_eq(&who.key, &key.id));
    assert_true(record_of(f, arena, &key.id).last_used_ms > 0);
    assert_int_equal(account_act_as_key(f->account, &nobody, &who), ERR_UNAUTHENTICATED);
    assert_int_equal(revoke_key(f, &ann.id, &key.id).code, ERR_OK);
    assert_int_equal(account_act_as_key(f->account, &key.id, &who), ERR_UNAUTHENTICATED);
    arena_free(arena);
}

/* ---- People ---------------------------------------------------------------------------------- */

static struct answer edit_user(struct fixture *f, const struct id *person,
                               const struct account_user_change *change)
{
    struct answer answer = {0};
    account_edit_user(f->account, f->loop, person, change, on_user, &answer);
    return wait_for(f, &answer);
}

static void test_people(void **state)
{
    struct fixture *f = *state;
    struct principal who;
    struct answer ann = create(f, "ann@b", "correct horse", "", STR_NONE);
    struct answer in = sign_in(f, "ann@b", "correct horse", "10.0.0.1");
    struct answer key = create_key(f, &ann.id, "k");
    const struct account_user_change promote = {
        .members = ACCOUNT_USER_ROLE | ACCOUNT_USER_NAME, .role = ROLE_ADMIN, .name = STR(" Ann ")};
    struct answer done = edit_user(f, &ann.id, &promote);
    assert_string_equal(done.role, "admin");
    assert_string_equal(done.name, "Ann");
    assert_int_equal(by_session(f, in.secret, &who), ERR_OK); /* still signed in */
    assert_int_equal(who.role, ROLE_ADMIN);
    const struct account_user_change password = {.members = ACCOUNT_USER_PASSWORD,
                                                 .password = STR("battery staple")};
    assert_int_equal(edit_user(f, &ann.id, &password).code, ERR_OK);
    assert_int_equal(by_session(f, in.secret, &who), ERR_UNAUTHENTICATED);
    assert_int_equal(by_key(f, key.secret, &who), ERR_OK);
    assert_int_equal(sign_in(f, "ann@b", "correct horse", "10.0.0.1").code, ERR_UNAUTHENTICATED);
    in = sign_in(f, "ann@b", "battery staple", "10.0.0.1");
    assert_int_equal(in.code, ERR_OK);
    restart(f, 0);
    assert_int_equal(by_session(f, in.secret, &who), ERR_OK);
    assert_int_equal(who.role, ROLE_ADMIN);
    const struct account_user_change none = {.members = ACCOUNT_USER_PASSWORD};
    assert_int_equal(edit_user(f, &ann.id, &none).code, ERR_OK);
    assert_int_equal(sign_in(f, "ann@b", "battery staple", "10.0.0.1").code, ERR_UNAUTHENTICATED);
    const struct account_user_change nameless = {.members = ACCOUNT_USER_NAME, .name = STR(" ")};
    assert_string_equal(edit_user(f, &ann.id, &nameless).field, "name");
    struct id nobody = id_new(1);
    assert_int_equal(edit_user(f, &nobody, &none).code, ERR_NOT_FOUND);
}

/* Both at once would leave nobody: the transaction tells them apart. */
static void test_last_administrator(void **state)
{
    struct fixture *f = *state;
    const struct account_user_change promote = {.members = ACCOUNT_USER_ROLE, .role = ROLE_ADMIN};
    const struct account_user_change demote = {.members = ACCOUNT_USER_ROLE, .role = ROLE_USER};
    const struct account_user_change disable = {.members = ACCOUNT_USER_DISABLED, .disabled = true};
    struct answer ann = create(f, "ann@b", "", "", STR_NONE), a = {0};
    struct answer bob = create(f, "bob@b", "", "", STR_NONE), b = {0};
    assert_int_equal(edit_user(f, &ann.id, &promote).code, ERR_OK);
    assert_int_equal(edit_user(f, &bob.id, &promote).code, ERR_OK);
    account_edit_user(f->account, f->loop, &ann.id, &demote, on_user, &a);
    account_edit_user(f->account, f->loop, &bob.id, &disable, on_user, &b);
    while (!a.count || !b.count)
        loop_run_once(f->loop);
    assert_int_equal((a.code == ERR_OK) + (b.code == ERR_OK), 1);
    assert_int_equal((a.code == ERR_CONFLICT) + (b.code == ERR_CONFLICT), 1);
    assert_int_equal(edit_user(f, &bob.id, &disable).code, ERR_CONFLICT);
    assert_int_equal(edit_user(f, &ann.id, &disable).code, ERR_OK); /* is none any more */
}

/* ---- Groups ---------------------------------------------------------------------------------- */

static struct answer make_group(struct fixture *f, const char *name)
{
    struct answer answer = {0};
    account_create_group(f->account, f->loop, str_from_cstr(name), on_group, &answer);
    return wait_for(f, &answer);
}

typedef void change_member_fn(struct account *account, struct loop *loop, const struct id *group,
                              const struct id *person, account_done_fn *done, void *user);
static enum err change_member(struct fixture *f, change_member_fn *change, const struct id *group,
                              const struct id *person)
{
    struct answer answer = {0};
    change(f->account, f->loop, group, person, on_plain, &answer);
    return wait_for(f, &answer).code;
}

static size_t members_of(struct fixture *f, const struct id *group)
{
    struct arena *arena = arena_new(65536);
    struct store_user *users;
    size_t count;
    assert_int_equal(account_list_members(f->account, arena, group, &users, &count), ERR_OK);
    arena_free(arena);
    return count;
}

static void test_groups(void **state)
{
    struct fixture *f = *state;
    struct answer ann = create(f, "ann@b", "", "", STR_NONE), renamed = {0};
    struct answer team = make_group(f, " team "), crew = make_group(f, "crew");
    assert_string_equal(team.name, "team");
    assert_int_equal(make_group(f, "team").code, ERR_CONFLICT);
    assert_int_equal(make_group(f, "").code, ERR_INVALID);
    account_rename_group(f->account, f->loop, &team.id, STR("crew"), on_group, &renamed);
    assert_int_equal(wait_for(f, &renamed).code, ERR_CONFLICT);
    struct id nobody = id_new(1);
    assert_int_equal(change_member(f, account_add_member, &team.id, &nobody), ERR_NOT_FOUND);
    assert_int_equal(change_member(f, account_add_member, &nobody, &ann.id), ERR_NOT_FOUND);
    for (int i = 0; i < 2; i++)
        assert_int_equal(change_member(f, account_add_member, &team.id, &ann.id), ERR_OK);
    assert_int_equal(change_member(f, account_add_member, &crew.id, &ann.id), ERR_OK);
    restart(f, 0);
    struct id groups[POLICY_GROUPS_MAX];
    assert_int_equal(members_of(f, &team.id), 1);
    assert_int_equal(account_groups_of(f->account, &ann.id, groups), 2);
    assert_int_equal(account_groups_of(f->account, &nobody, groups), 0);
    for (int i = 0; i < 2; i++)
        assert_int_equal(change_member(f, account_remove_member, &crew.id, &ann.id), ERR_OK);
    assert_int_equal(members_of(f, &crew.id), 0);
    struct answer deleted = {0};
    account_delete_group(f->account, f->loop, &team.id, on_plain, &deleted);
    assert_int_equal(wait_for(f, &deleted).code, ERR_OK);
    assert_int_equal(account_groups_of(f->account, &ann.id, groups), 0);
    restart(f, 0);
    struct arena *arena = arena_new(65536);
    struct store_group *list;
    size_t count;
    assert_int_equal(account_list_groups(f->account, arena, &list, &count), ERR_OK);
    assert_true(count == 1 && str_eq(list[0].name, STR("crew")));
    assert_int_equal(account_get_group(f->account, arena, &team.id, &list[0]), ERR_NOT_FOUND);
    arena_free(arena);
}

static void test_too_many_groups(void **state)
{
    struct fixture *f = *state;
    struct answer ann = create(f, "ann@b", "", "", STR_NONE), group = {0};
    for (int i = 0; i <= POLICY_GROUPS_MAX; i++) {
        char name[16];
        snprintf(name, sizeof name, "g%d", i);
        group = make_group(f, name);
        assert_int_equal(change_member(f, account_add_member, &group.id, &ann.id),
                         i < POLICY_GROUPS_MAX ? ERR_OK : ERR_INVALID);
    }
    assert_int_equal(members_of(f, &group.id), 0);
    restart(f, 0);
    assert_int_equal(members_of(f, &group.id), 0);
}

int main(void)
{
    crypto_init();
    const struct CMUnitTest tests[] = {
        WITH_ACCOUNT(test_two_edits_at_once),  WITH_ACCOUNT(test_rotation),
        WITH_ACCOUNT(test_in_force),           WITH_ACCOUNT(test_wrong_settings),
        WITH_ACCOUNT(test_acting_as_a_key),    WITH_ACCOUNT(test_people),
        WITH_ACCOUNT(test_last_administrator), WITH_ACCOUNT(test_groups),
        WITH_ACCOUNT(test_too_many_groups),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
