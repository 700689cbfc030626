/* Policies: what fits a scope; that a policy is made once, retired by everything that changes it,
 * and good to ask from many threads meanwhile. */
#include <pthread.h>
#include <stdatomic.h>

#include "helper_account.h"

#define PATTERNS(...)                                                                              \
    (struct policy_patterns)                                                                       \
    {                                                                                              \
        (const struct str[]){__VA_ARGS__},                                                         \
            sizeof((const struct str[]){__VA_ARGS__}) / sizeof(struct str)                         \
    }

/* ---- What fits ------------------------------------------------------------------------------- */

static void test_models(void **state)
{
    (void)state;
    static const struct {
        const char *pattern, *asked, *target;
        bool allowed;
    } cases[] = {
        {"openai/gpt-4o", "openai/gpt-4o", "openai/gpt-4o", true},
        {"openai/gpt-4o", "gpt-4o", "openai/gpt-4o", true},
        {"openai/gpt-4o", "gpt-4o", "azure/gpt-4o", false},
        {"openai/gpt-4o", "openai/gpt-4o-mini", "openai/gpt-4o-mini", false},
        {"openai/*", "x", "openai/y", true},
        {"openai/*", "x", "openrouter/openai/y", false},
        {"*/y", "x", "openrouter/openai/y", true},
        {"fast", "fast", "any/model", true},
        {"fast", "", "any/model", false},
        {"fast", "faster", "any/model", false},
        {"gpt-4o", "azure/gpt-4o", "azure/gpt-4o", true},
        {"gpt-*", "azure/gpt-4o", "azure/gpt-4o", true},
        {"gpt-*-mini", "gpt-mini-x-mini", "", true},
        {"gpt-*-mini", "gpt-mini", "", false},
        {"*", "", "any/model", true},
        {"**a**b", "xxaxxb", "", true},
        {"**a**b", "xxaxxbx", "", false},
        {"", "x", "y/z", false},
        {"a*", "A", "", false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        const struct policy like = {.models = PATTERNS(str_from_cstr(cases[i].pattern))};
        struct policy *policy = policy_new(&like);
        if (policy_allows_model(policy, str_from_cstr(cases[i].asked),
                                str_from_cstr(cases[i].target)) != cases[i].allowed)
            fail_msg("%s, %s, %s", cases[i].pattern, cases[i].asked, cases[i].target);
        policy_unref(policy);
    }
}

/* Backtracking goes back to one star only: this ends at once. */
static void test_hostile_pattern(void **state)
{
    (void)state;
    char text[POLICY_PATTERN_BYTES_MAX], pattern[POLICY_PATTERN_BYTES_MAX];
    memset(text, 'a', sizeof text);
    for (size_t i = 0; i < sizeof pattern; i++)
        pattern[i] = i % 2 ? 'a' : '*';
    pattern[sizeof pattern - 1] = 'b';
    const struct policy like = {.models = PATTERNS(STR_FROM(pattern, sizeof pattern))};
    struct policy *policy = policy_new(&like);
    assert_false(policy_allows_model(policy, STR_FROM(text, sizeof text), STR_NONE));
    policy_unref(policy);
}

static void test_doors_and_addresses(void **state)
{
    (void)state;
    const struct policy like = {
        .doors = PATTERNS(STR("openai"), STR("ollama")),
        .addresses = PATTERNS(STR("10.0.0.0/8"), STR("2001:db8::/32"), STR("192.0.2.7")),
    };
    struct policy *policy = policy_new(&like);
    assert_true(policy_allows_door(policy, STR("openai")));
    assert_true(policy_allows_door(policy, STR("ollama")));
    assert_false(policy_allows_door(policy, STR("parley")));
    assert_false(policy_allows_door(policy, STR("")));
    assert_true(policy_allows_address(policy, STR("10.9.8.7")));
    assert_true(policy_allows_address(policy, STR("::ffff:10.9.8.7")));
    assert_true(policy_allows_address(policy, STR("2001:db8:5::1")));
    assert_true(policy_allows_address(policy, STR("192.0.2.7")));
    assert_false(policy_allows_address(policy, STR("192.0.2.8")));
    assert_false(policy_allows_address(policy, STR("unix")));
    assert_false(policy_allows_address(policy, STR_NONE));
    assert_true(policy_allows_model(policy, STR("anything"), STR("a/b")));
    policy_unref(policy);
    /* What cannot be read allows nobody. */
    const struct policy broken = {.addresses = PATTERNS(STR("nonsense"))};
    policy = policy_new(&broken);
    assert_false(policy_allows_address(policy, STR("10.9.8.7")));
    policy_unref(policy);
    policy_unref(NULL);
}

static void test_stored_form(void **state)
{
    (void)state;
    struct arena *arena = arena_new(65536);
    struct policy_patterns read, none = {0};
    const struct policy_patterns written = PATTERNS(STR("a\"b"), STR("*"), STR("\xC3\xA4"));
    struct str json = policy_patterns_write(arena, &written);
    assert_true(str_eq(json, STR("[\"a\\\"b\",\"*\",\"\xC3\xA4\"]")));
    assert_int_equal(policy_patterns_read(arena, json, &read), ERR_OK);
    assert_true(read.count == 3 && str_eq(read.items[0], STR("a\"b")));
    assert_int_equal(policy_patterns_write(arena, &none).len, 0);
    assert_int_equal(policy_patterns_read(arena, STR(""), &read), ERR_OK);
    assert_int_equal(read.count, 0);
    static const struct str bad[] = {{"{}", 2}, {"[1]", 3}, {"[", 1}, {"[null]", 6}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(policy_patterns_read(arena, bad[i], &read), ERR_CORRUPT);
    arena_free(arena);
}

static void test_checks(void **state)
{
    (void)state;
    struct error error = {0};
    struct str many[POLICY_PATTERNS_MAX + 1];
    for (size_t i = 0; i <= POLICY_PATTERNS_MAX; i++)
        many[i] = STR("x");
    struct policy_patterns all = {many, POLICY_PATTERNS_MAX},
                           more = {many, POLICY_PATTERNS_MAX + 1};
    char text[POLICY_PATTERN_BYTES_MAX + 1];
    memset(text, 'x', sizeof text);
    assert_int_equal(policy_check_models(&all, "models", &error), ERR_OK);
    assert_int_equal(policy_check_models(&more, "models", &error), ERR_INVALID);
    assert_string_equal(error.field, "models");
    const struct policy_patterns rows[] = {PATTERNS(STR("")), PATTERNS(STR("a\n")),
                                           PATTERNS(STR_FROM(text, sizeof text))};
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(policy_check_models(&rows[i], "models", &error), ERR_INVALID);
    struct policy_patterns doors = PATTERNS(STR("openai"), STR("parley"));
    assert_int_equal(policy_check_doors(&doors, "doors", &error), ERR_OK);
    doors = PATTERNS(STR("open*"));
    assert_int_equal(policy_check_doors(&doors, "doors", &error), ERR_INVALID);
    assert_non_null(strstr(error.message, "open*"));
    struct policy_patterns addresses = PATTERNS(STR("10.0.0.0/8"), STR("::1"));
    assert_int_equal(policy_check_addresses(&addresses, "addresses", &error), ERR_OK);
    addresses = PATTERNS(STR("10.0.0.0/40"));
    assert_int_equal(policy_check_addresses(&addresses, "addresses", &error), ERR_INVALID);
}

/* ---- In force -------------------------------------------------------------------------------- */

static struct policy *policy_of(struct fixture *f, const struct principal *who)
{
    struct policy *policy = NULL;
    enum err code = account_policy(f->account, who, &policy);
    assert_true(code == ERR_OK || (code == ERR_UNAUTHENTICATED && !policy));
    return policy;
}

static void test_nobody_and_local(void **state)
{
    struct fixture *f = *state;
    struct principal local = {.kind = PRINCIPAL_LOCAL, .role = ROLE_ADMIN},
                     nobody = PRINCIPAL_NOBODY;
    struct policy *a = policy_of(f, &local), *b = policy_of(f, &nobody), *c = policy_of(f, &local);
    assert_ptr_equal(a, c);
    assert_true(a->who.kind == PRINCIPAL_LOCAL && a->group_count == 0 && !a->keeps_bodies);
    assert_int_equal(b->who.kind, PRINCIPAL_ANONYMOUS);
    assert_true(policy_allows_model(a, STR("x"), STR("y/z")));
    policy_unref(a);
    policy_unref(b);
    policy_unref(c);
    struct principal ghost = {.kind = PRINCIPAL_SESSION, .user = id_new(1)};
    assert_null(policy_of(f, &ghost));
    ghost = (struct principal){.kind = PRINCIPAL_KEY, .key = id_new(1)};
    assert_null(policy_of(f, &ghost));
}

/* Gives `old` back; it must be retired, and another be in force. */
static struct policy *renewed(struct fixture *f, const struct principal *who, struct policy *old)
{
    assert_true(atomic_load(&old->is_retired));
    assert_false(policy_is_current(old, 0));
    struct policy *policy = policy_of(f, who);
    assert_true(policy && policy != old && policy_is_current(policy, 0));
    policy_unref(old);
    return policy;
}

static void edit(struct fixture *f, const struct id *key, const struct account_key_change *change)
{
    struct answer answer = {0};
    account_edit_key(f->account, f->loop, key, change, on_key, &answer);
    assert_int_equal(wait_for(f, &answer).code, ERR_OK);
}

static void test_key_policy(void **state)
{
    struct fixture *f = *state;
    struct principal who;
    struct answer ann = create(f, "ann@b", "", "", STR_NONE);
    struct answer key = create_key(f, &ann.id, "k"), other = create_key(f, &ann.id, "other");
    assert_int_equal(by_key(f, key.secret, &who), ERR_OK);
    struct policy *policy = policy_of(f, &who), *again = policy_of(f, &who);
    assert_ptr_equal(policy, again);
    policy_unref(again);
    assert_true(id_eq(&policy->who.key, &key.id) && id_eq(&policy->who.user, &ann.id));
    struct principal second = who;
    second.key = other.id;
    struct policy *others = policy_of(f, &second);
    const struct account_key_change change = {.members = ACCOUNT_KEY_MODELS | ACCOUNT_KEY_BODIES,
                                              .models = PATTERNS(STR("openai/*")),
                                              .keep_bodies_hours = 5};
    edit(f, &key.id, &change);
    assert_false(atomic_load(&others->is_retired)); /* what did not change stays */
    policy = renewed(f, &who, policy);
    assert_false(policy_allows_model(policy, STR("x"), STR("y/z")));
    assert_true(policy->keeps_bodies && policy->keep_bodies_hours == 5);
    policy_unref(policy);
    restart(f, 0);
    policy = policy_of(f, &who);
    assert_true(policy_allows_model(policy, STR("x"), STR("openai/z")));
    assert_false(policy_allows_model(policy, STR("x"), STR("y/z")));
    assert_int_equal(revoke_key(f, &ann.id, &key.id).code, ERR_OK);
    assert_true(atomic_load(&policy->is_retired));
    assert_null(policy_of(f, &who));
    policy_unref(policy);
    policy_unref(others); /* outlives the directory that made it */
}

static enum err at(struct fixture *f, struct key_memo *memo, const struct answer *key,
                   int64_t now_ms, struct principal *ret_who, struct policy **ret_policy)
{
    *ret_policy = NULL;
    return account_authenticate_key(f->account, memo, str_from_cstr(key->secret), now_ms, ret_who,
                                    ret_policy);
}

static void disable(struct fixture *f, const struct id *person, bool disabled)
{
    struct answer answer = {0};
    const struct account_user_change change = {.members = ACCOUNT_USER_DISABLED,
                                               .disabled = disabled};
    account_edit_user(f->account, f->loop, person, &change, on_user, &answer);
    assert_int_equal(wait_for(f, &answer).code, ERR_OK);
}

/* Who is remembered is known by the policy, and not for longer than it is in force. */
static void test_keys_are_remembered(void **state)
{
    struct fixture *f = *state;
    struct principal who, again;
    struct policy *first, *second;
    struct answer ann = create(f, "ann@b", "", "", STR_NONE);
    struct answer key = create_key(f, &ann.id, "k");
    int64_t now_ms = clock_wall_ms();
    assert_int_equal(at(f, f->memo, &key, now_ms, &who, &first), ERR_OK);
    assert_int_equal(at(f, f->memo, &key, now_ms, &again, &second), ERR_OK);
    assert_ptr_equal(first, second);
    assert_true(who.kind == again.kind && who.role == again.role);
    assert_true(id_eq(&who.key, &again.key) && id_eq(&who.user, &again.user));
    policy_unref(second);
    const struct account_key_change expiry = {.members = ACCOUNT_KEY_EXPIRY,
                                              .expires_ms = now_ms + 60000};
    edit(f, &key.id, &expiry);
    assert_int_equal(at(f, f->memo, &key, now_ms + 59999, &who, &second), ERR_OK);
    assert_ptr_not_equal(first, second);
    assert_true(second->expires_ms == now_ms + 60000);
    policy_unref(first);
    policy_unref(second);
    assert_int_equal(at(f, f->memo, &key, now_ms + 60000, &who, &first), ERR_UNAUTHENTICATED);
    disable(f, &ann.id, true);
    assert_int_equal(at(f, f->memo, &key, now_ms, &who, &first), ERR_UNAUTHENTICATED);
    disable(f, &ann.id, false);
    assert_int_equal(at(f, f->memo, &key, now_ms, &who, &first), ERR_OK);
    policy_unref(first);
    assert_int_equal(revoke_key(f, &ann.id, &key.id).code, ERR_OK);
    assert_int_equal(at(f, f->memo, &key, now_ms, &who, &first), ERR_UNAUTHENTICATED);
    assert_null(first);
}

/* As many as there are, each is itself, wherever they push each other out. */
static void test_memo_of_many(void **state)
{
    (void)state;
    enum { TEXTS = 3000 };
    struct key_memo *memo = key_memo_new();
    const struct policy like = {.who = {.kind = PRINCIPAL_KEY}, .expires_ms = 100};
    struct policy *policies[3];
    size_t found = 0;
    for (int i = 0; i < 3; i++)
        policies[i] = policy_new(&like);
    for (int i = 0; i < TEXTS; i++) {
        char text[16];
        snprintf(text, sizeof text, "key %d", i);
        struct key_memo_tag tag = key_memo_tag(memo, str_from_cstr(text));
        assert_null(key_memo_find(memo, tag, 0));
        key_memo_put(memo, tag, (struct key *)&policies[i % 3], policies[i % 3]);
        assert_ptr_equal(key_memo_find(memo, tag, 99)->policy, policies[i % 3]);
        assert_null(key_memo_find(memo, tag, 100));
    }
    for (int i = 0; i < TEXTS; i++) {
        char text[16];
        snprintf(text, sizeof text, "key %d", i);
        const struct key_memo_entry *entry =
            key_memo_find(memo, key_memo_tag(memo, str_from_cstr(text)), 0);
        assert_true(!entry || entry->policy == policies[i % 3]);
        found += entry != NULL;
    }
    assert_in_range(found, 500, 1024);
    key_memo_free(memo);
    for (int i = 0; i < 3; i++)
        policy_unref(policies[i]);
}

static void test_expiry(void **state)
{
    struct fixture *f = *state;
    struct principal who;
    struct answer ann = create(f, "ann@b", "", "", STR_NONE);
    struct answer key = create_key(f, &ann.id, "k");
    assert_int_equal(by_key(f, key.secret, &who), ERR_OK);
    int64_t end_ms = clock_wall_ms() + 200;
    const struct account_key_change change = {.members = ACCOUNT_KEY_EXPIRY, .expires_ms = end_ms};
    edit(f, &key.id, &change);
    struct policy *policy = policy_of(f, &who);
    assert_true(policy && policy->expires_ms == end_ms);
    assert_true(policy_is_current(policy, end_ms - 1));
    assert_false(policy_is_current(policy, end_ms));
    while (clock_wall_ms() < end_ms)
        continue;
    assert_null(policy_of(f, &who));
    assert_int_equal(by_key(f, key.secret, &who), ERR_UNAUTHENTICATED);
    policy_unref(policy);
}

static void test_groups_and_people(void **state)
{
    struct fixture *f = *state;
    struct answer ann = create(f, "ann@b", "", "", STR_NONE);
    struct answer key = create_key(f, &ann.id, "k"), group = {0}, done = {0};
    struct principal session = {.kind = PRINCIPAL_SESSION, .user = ann.id};
    struct principal by = {.kind = PRINCIPAL_KEY, .user = ann.id, .key = key.id};
    struct policy *a = policy_of(f, &session), *b = policy_of(f, &by);
    account_create_group(f->account, f->loop, STR("team"), on_group, &group);
    wait_for(f, &group);
    account_add_member(f->account, f->loop, &group.id, &ann.id, on_plain, &done);
    assert_int_equal(wait_for(f, &done).code, ERR_OK);
    a = renewed(f, &session, a);
    b = renewed(f, &by, b);
    assert_true(b->group_count == 1 && id_eq(&b->groups[0], &group.id));
    assert_true(a->group_count == 1 && id_eq(&a->groups[0], &group.id));
    done = (struct answer){0};
    account_delete_group(f->account, f->loop, &group.id, on_plain, &done);
    assert_int_equal(wait_for(f, &done).code, ERR_OK);
    a = renewed(f, &session, a);
    b = renewed(f, &by, b);
    assert_int_equal(b->group_count, 0);
    const struct account_user_change off = {.members = ACCOUNT_USER_DISABLED, .disabled = true};
    done = (struct answer){0};
    account_edit_user(f->account, f->loop, &ann.id, &off, on_user, &done);
    assert_int_equal(wait_for(f, &done).code, ERR_OK);
    assert_true(atomic_load(&a->is_retired) && atomic_load(&b->is_retired));
    assert_null(policy_of(f, &session));
    assert_null(policy_of(f, &by));
    policy_unref(a);
    policy_unref(b);
}

/* ---- Many threads ---------------------------------------------------------------------------- */
struct asker {
    struct fixture *f;
    struct principal who;
    atomic_bool stop;
    size_t asked, wide, narrow;
};

static void *ask(void *user)
{
    struct asker *asker = user;
    do {
        struct policy *policy = policy_of(asker->f, &asker->who);
        if (!policy)
            break;
        asker->asked++;
        bool is_wide = policy_allows_model(policy, STR("x"), STR("y/z"));
        asker->wide += is_wide;
        asker->narrow += !is_wide && policy_allows_model(policy, STR("x"), STR("openai/z"));
        policy_unref(policy);
    } while (!atomic_load(&asker->stop));
    return NULL;
}

static void test_many_threads(void **state)
{
    struct fixture *f = *state;
    struct answer ann = create(f, "ann@b", "", "", STR_NONE);
    struct answer key = create_key(f, &ann.id, "k");
    struct asker askers[3];
    pthread_t threads[3];
    for (int i = 0; i < 3; i++) {
        askers[i] =
            (struct asker){.f = f, .who = {.kind = PRINCIPAL_KEY, .user = ann.id, .key = key.id}};
        assert_int_equal(pthread_create(&threads[i], NULL, ask, &askers[i]), 0);
    }
    for (int i = 0; i < 50; i++) {
        const struct account_key_change change = {.members = ACCOUNT_KEY_MODELS,
                                                  .models = i % 2 ? (struct policy_patterns){0}
                                                                  : PATTERNS(STR("openai/*"))};
        edit(f, &key.id, &change);
    }
    assert_int_equal(revoke_key(f, &ann.id, &key.id).code, ERR_OK);
    for (int i = 0; i < 3; i++) {
        pthread_join(threads[i], NULL); /* ended by the revocation alone */
        assert_true(askers[i].asked > 0);
        assert_int_equal(askers[i].asked, askers[i].wide + askers[i].narrow);
    }
}

int main(void)
{
    crypto_init();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_models),
        cmocka_unit_test(test_hostile_pattern),
        cmocka_unit_test(test_doors_and_addresses),
        cmocka_unit_test(test_stored_form),
        cmocka_unit_test(test_checks),
        WITH_ACCOUNT(test_nobody_and_local),
        WITH_ACCOUNT(test_key_policy),
        WITH_ACCOUNT(test_expiry),
        WITH_ACCOUNT(test_keys_are_remembered),
        cmocka_unit_test(test_memo_of_many),
        WITH_ACCOUNT(test_groups_and_people),
        WITH_ACCOUNT(test_many_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
