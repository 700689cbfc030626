/* What a charge holds on to: keys and groups change while its attempts go on. */
#include "../account/helper_account.h"

#include "base/clock.h"
#include "route/governor.h"

static struct id make_person(struct fixture *f)
{
    struct answer answer = {0};
    account_create_user(f->account, f->loop, STR("ann@example.org"), STR(""), STR("Ann"), ROLE_USER,
                        STR_NONE, on_user, &answer);
    while (!answer.count)
        loop_run_once(f->loop);
    assert_int_equal(answer.code, ERR_OK);
    return answer.id;
}

static struct principal make_key(struct fixture *f, const struct id *owner)
{
    static const struct str models[] = {{"fake/*", 6}};
    const struct account_key_change settings = {
        .members = ACCOUNT_KEY_NAME | ACCOUNT_KEY_MODELS, .name = STR("k"), .models = {models, 1}};
    struct answer answer = {0};
    account_create_key(f->account, f->loop, owner, &settings, on_key, &answer);
    while (!answer.count)
        loop_run_once(f->loop);
    assert_int_equal(answer.code, ERR_OK);
    return (struct principal){.kind = PRINCIPAL_KEY, .user = *owner, .key = answer.id};
}

static void join_group(struct fixture *f, const struct id *person)
{
    struct answer group = {0}, member = {0};
    account_create_group(f->account, f->loop, STR("team"), on_group, &group);
    while (!group.count)
        loop_run_once(f->loop);
    account_add_member(f->account, f->loop, &group.id, person, on_plain, &member);
    while (!member.count)
        loop_run_once(f->loop);
    assert_int_equal(member.code, ERR_OK);
}

static void change_key(struct fixture *f, const struct id *key)
{
    const struct account_key_change change = {.members = ACCOUNT_KEY_NAME, .name = STR("other")};
    struct answer answer = {0};
    account_edit_key(f->account, f->loop, key, &change, on_key, &answer);
    while (!answer.count)
        loop_run_once(f->loop);
    assert_int_equal(answer.code, ERR_OK);
}

/* The row of an attempt waits for the next one, and shows the groups of a policy that may be gone by
 * then. */
static void test_policy_goes_between_attempts(void **state)
{
    struct fixture *f = *state;
    struct id ann = make_person(f);
    struct principal who = make_key(f, &ann);
    join_group(f, &ann);
    struct ledger *ledger =
        ledger_new(&(struct ledger_options){.loop = f->loop, .store = f->store});
    struct governor *governor = governor_new(
        &(struct governor_options){.loop = f->loop, .account = f->account, .ledger = ledger});
    struct governor_origin origin = {.door = STR("openai"), .request_id = STR("r1")};
    assert_int_equal(account_policy(f->account, &who, &origin.policy), ERR_OK);
    assert_int_equal(origin.policy->group_count, 1);
    const struct target target = {.id = STR("fake/m")};
    const struct flow_row row = {
        .target = &target, .number = 1, .outcome = FLOW_FAILED, .usage = LLM_USAGE_UNKNOWN};
    struct charge *charge = NULL;
    struct arena *arena = arena_new(SIZE_MAX);
    struct llm_error error = {0};
    const struct governor_ask ask = {.origin = &origin, .model = STR("fake/m")};
    assert_int_equal(governor_open(governor, &ask, arena, NULL, &charge, &error), ERR_OK);
    policy_unref(origin.policy);
    governor_begin(charge, 0, &target, 1, ROUTE_WHOLE, false);
    governor_end(charge, 0, &row);
    change_key(f, &who.key);
    assert_int_equal(governor_check(charge, &target, &error), ERR_OK);
    governor_begin(charge, 0, &target, 2, ROUTE_WHOLE, false); /* writes the row that waited */
    governor_end(charge, 0, &row);
    governor_close(charge);
    arena_free(arena);
    governor_free(governor);
    ledger_free(ledger);
}

/* Of a longer name a charge keeps the beginning: that alone must not open what the whole does not. */
static void test_long_name_is_no_way_in(void **state)
{
    struct fixture *f = *state;
    struct id ann = make_person(f);
    struct principal who = make_key(f, &ann);
    struct governor *governor =
        governor_new(&(struct governor_options){.loop = f->loop, .account = f->account});
    struct governor_origin origin = {.door = STR("openai"), .request_id = STR("r1")};
    char name[200];
    memset(name, 'x', sizeof name);
    memcpy(name, "fake/", 5);
    assert_int_equal(account_policy(f->account, &who, &origin.policy), ERR_OK);
    const struct governor_ask ask = {.origin = &origin, .model = STR_FROM(name, sizeof name)};
    const struct target inside = {.id = ask.model}, outside = {.id = STR("other/m")};
    struct charge *charge = NULL;
    struct arena *arena = arena_new(SIZE_MAX);
    struct llm_error error = {0};
    assert_int_equal(governor_open(governor, &ask, arena, NULL, &charge, &error), ERR_OK);
    assert_int_equal(governor_check(charge, &inside, &error), ERR_OK);
    assert_int_equal(governor_check(charge, &outside, &error), ERR_FORBIDDEN);
    governor_close(charge);
    arena_free(arena);
    policy_unref(origin.policy);
    governor_free(governor);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_policy_goes_between_attempts, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_long_name_is_no_way_in, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
