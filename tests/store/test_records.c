/* Records: what goes in comes out, owners are kept apart, the tree is in order, refusals. */
#include "support.h"

#include "store/record_kept.h"

struct fixture {
    char *directory;
    struct store *store;
    struct arena *arena;
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    f->directory = directory_new();
    f->store = open_store(f->directory);
    f->arena = arena_new(16 << 20);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    store_close(f->store);
    directory_remove(f->directory);
    arena_free(f->arena);
    free(f);
    return 0;
}

/* Each test is one transaction function; its asserts run on the writer's thread, so it reports by
 * code: EXPECT returns ERR_INTERNAL with the line. */
#define EXPECT(condition)                                                                          \
    do {                                                                                           \
        if (!(condition))                                                                          \
            return error_set(error, ERR_INTERNAL, NULL, "line %d: %s", __LINE__, #condition);      \
    } while (0)

static void run_transaction(void **state,
                            enum err (*run)(struct store_tx *tx, void *user, struct error *error))
{
    struct fixture *f = *state;
    struct error error = {0};
    if (store_write_now(f->store, run, f, &error) != ERR_OK)
        fail_msg("%s", error_message(&error));
}

static bool user_eq(const struct store_user *a, const struct store_user *b)
{
    return id_eq(&a->id, &b->id) && str_eq(a->email, b->email) && str_eq(a->name, b->name) &&
           str_eq(a->role, b->role) && str_eq(a->password_hash, b->password_hash) &&
           a->created_ms == b->created_ms && a->disabled == b->disabled;
}

static enum err users(struct store_tx *tx, void *user, struct error *error)
{
    struct fixture *f = user;
    struct store_user ann = make_user("ann@example.org"), bob = make_user("bob@example.org");
    bob.created_ms = ann.created_ms + 1;
    bob.name = STR("B\0b \xF0\x9F\x98\x80"); /* a NUL inside is kept */
    EXPECT(store_user_insert(tx, &bob, error) == ERR_OK);
    EXPECT(store_user_insert(tx, &ann, error) == ERR_OK);
    EXPECT(store_user_insert(tx, &ann, error) == ERR_CONFLICT);
    struct store_user twin = make_user("ann@example.org");
    EXPECT(store_user_insert(tx, &twin, error) == ERR_CONFLICT);
    twin.role = STR("emperor");
    twin.email = STR("emperor@example.org");
    EXPECT(store_user_insert(tx, &twin, error) == ERR_INVALID);
    ann.disabled = true;
    ann.role = STR("admin");
    EXPECT(store_user_update(tx, &ann, error) == ERR_OK);
    ann.email = bob.email;
    EXPECT(store_user_update(tx, &ann, error) == ERR_CONFLICT);
    ann.email = STR("ann@example.org");
    EXPECT(store_user_update(tx, &twin, error) == ERR_INVALID ||
           store_user_update(tx, &twin, error) == ERR_NOT_FOUND);
    struct store_user *list;
    size_t count;
    EXPECT(store_user_list(tx, f->arena, &list, &count, error) == ERR_OK);
    EXPECT(count == 2);
    EXPECT(user_eq(&list[0], &ann) && user_eq(&list[1], &bob));
    return ERR_OK;
}

static enum err sessions(struct store_tx *tx, void *user, struct error *error)
{
    struct fixture *f = user;
    struct store_user ann = make_user("ann@example.org");
    EXPECT(store_user_insert(tx, &ann, error) == ERR_OK);
    char hash[32] = {1, 0, 2};
    struct store_session session = {
        .token_hash = STR_FROM(hash, 32), .user = ann.id, .created_ms = 10, .expires_ms = 1000};
    EXPECT(store_session_insert(tx, &session, error) == ERR_OK);
    EXPECT(store_session_insert(tx, &session, error) == ERR_CONFLICT);
    char other[32] = {2};
    struct store_session late = session;
    late.token_hash = STR_FROM(other, 32);
    late.expires_ms = 2000;
    EXPECT(store_session_insert(tx, &late, error) == ERR_OK);
    struct store_session *list;
    size_t count;
    EXPECT(store_session_list(tx, 999, f->arena, &list, &count, error) == ERR_OK && count == 2);
    EXPECT(str_eq(list[0].token_hash, session.token_hash) && id_eq(&list[0].user, &ann.id) &&
           list[0].created_ms == 10 && list[0].expires_ms == 1000);
    EXPECT(store_session_list(tx, 1000, f->arena, &list, &count, error) == ERR_OK && count == 1);
    EXPECT(list[0].expires_ms == 2000);
    EXPECT(store_session_delete(tx, session.token_hash, error) == ERR_NOT_FOUND);
    EXPECT(store_session_delete(tx, late.token_hash, error) == ERR_OK);
    struct id nobody = id_new(1);
    late.user = nobody;
    EXPECT(store_session_insert(tx, &late, error) == ERR_NOT_FOUND);
    late.user = ann.id;
    late.token_hash = STR("short");
    EXPECT(store_session_insert(tx, &late, error) == ERR_INVALID);
    return ERR_OK;
}

static enum err keys(struct store_tx *tx, void *user, struct error *error)
{
    struct fixture *f = user;
    struct store_user ann = make_user("ann@example.org");
    EXPECT(store_user_insert(tx, &ann, error) == ERR_OK);
    char hash[32] = {7};
    struct store_key key = {.owner = ann.id,
                            .id = id_new(5),
                            .name = STR("laptop"),
                            .prefix = STR("sk-parley-abcd"),
                            .key_hash = STR_FROM(hash, 32),
                            .pepper_version = 3,
                            .created_ms = 5};
    EXPECT(store_key_insert(tx, &key, error) == ERR_OK);
    EXPECT(store_key_insert(tx, &key, error) == ERR_CONFLICT);
    EXPECT(store_key_touch(tx, &key.owner, &key.id, 100, error) == ERR_OK);
    EXPECT(store_key_touch(tx, &key.owner, &key.id, 50, error) == ERR_OK); /* earlier: ignored */
    struct store_key *list;
    size_t count;
    EXPECT(store_key_list(tx, f->arena, &list, &count, error) == ERR_OK && count == 1);
    EXPECT(list[0].last_used_ms == 100 && list[0].pepper_version == 3 && !list[0].revoked);
    EXPECT(str_eq(list[0].name, key.name) && str_eq(list[0].prefix, key.prefix) &&
           str_eq(list[0].key_hash, key.key_hash) && id_eq(&list[0].owner, &ann.id));
    EXPECT(list[0].expires_ms == 0 && list[0].models.len == 0 && list[0].doors.len == 0 &&
           list[0].addresses.len == 0 && list[0].keep_bodies_hours == 0 &&
           id_is_none(&list[0].replaces));
    list[0].revoked = true;
    list[0].expires_ms = 77;
    list[0].models = STR("[\"m\"]");
    list[0].doors = STR("[\"d\"]");
    list[0].addresses = STR("[\"a\"]");
    list[0].keep_bodies_hours = 9;
    EXPECT(store_key_update(tx, &list[0], error) == ERR_OK);
    struct store_key got;
    EXPECT(store_key_get(tx, f->arena, &ann.id, &key.id, &got, error) == ERR_OK);
    EXPECT(got.revoked && got.expires_ms == 77 && got.keep_bodies_hours == 9 &&
           str_eq(got.models, STR("[\"m\"]")) && str_eq(got.doors, STR("[\"d\"]")) &&
           str_eq(got.addresses, STR("[\"a\"]")) && str_eq(got.key_hash, key.key_hash));
    got.id = id_new(8);
    EXPECT(store_key_get(tx, f->arena, &got.id, &key.id, &got, error) == ERR_NOT_FOUND);
    key.id = id_new(6);
    EXPECT(store_key_update(tx, &key, error) == ERR_NOT_FOUND);
    EXPECT(store_key_insert(tx, &key, error) == ERR_CONFLICT); /* the same secret twice */
    return ERR_OK;
}

static enum err groups(struct store_tx *tx, void *user, struct error *error)
{
    struct fixture *f = user;
    struct store_user ann = make_user("ann@example.org");
    struct store_group team = {.id = id_new(1), .name = STR("team"), .created_ms = 5}, *list;
    struct store_group crew = {.id = id_new(2), .name = STR("team"), .created_ms = 6};
    struct store_member *members, one = {.group = team.id, .user = ann.id};
    size_t count;
    int64_t number;
    EXPECT(store_user_insert(tx, &ann, error) == ERR_OK);
    EXPECT(store_user_count_admins(tx, &number, error) == ERR_OK && number == 0);
    EXPECT(store_group_insert(tx, &team, error) == ERR_OK);
    EXPECT(store_group_insert(tx, &crew, error) == ERR_CONFLICT);
    crew.name = STR("crew");
    EXPECT(store_group_update(tx, &crew, error) == ERR_NOT_FOUND);
    EXPECT(store_group_insert(tx, &crew, error) == ERR_OK);
    EXPECT(store_member_insert(tx, &one, error) == ERR_OK);
    EXPECT(store_member_insert(tx, &one, error) == ERR_CONFLICT);
    one.group = crew.id;
    EXPECT(store_member_insert(tx, &one, error) == ERR_OK);
    EXPECT(store_member_count(tx, &ann.id, &number, error) == ERR_OK && number == 2);
    EXPECT(store_member_delete(tx, &one, error) == ERR_OK);
    EXPECT(store_member_delete(tx, &one, error) == ERR_NOT_FOUND);
    one.group = id_new(9);
    EXPECT(store_member_insert(tx, &one, error) == ERR_NOT_FOUND);
    EXPECT(store_member_list(tx, f->arena, &members, &count, error) == ERR_OK && count == 1);
    EXPECT(id_eq(&members[0].group, &team.id) && id_eq(&members[0].user, &ann.id));
    EXPECT(store_group_delete(tx, &team.id, error) == ERR_OK); /* with its members */
    EXPECT(store_group_delete(tx, &team.id, error) == ERR_NOT_FOUND);
    EXPECT(store_member_count(tx, &ann.id, &number, error) == ERR_OK && number == 0);
    EXPECT(store_group_list(tx, f->arena, &list, &count, error) == ERR_OK && count == 1);
    EXPECT(str_eq(list[0].name, STR("crew")) && list[0].created_ms == 6);
    return ERR_OK;
}

static enum err settings(struct store_tx *tx, void *user, struct error *error)
{
    struct fixture *f = user;
    EXPECT(store_setting_set(tx, STR("port"), STR("8080"), error) == ERR_OK);
    EXPECT(store_setting_set(tx, STR("log.level"), STR(""), error) == ERR_OK);
    EXPECT(store_setting_set(tx, STR("port"), STR("9090"), error) == ERR_OK);
    struct store_setting *list;
    size_t count;
    EXPECT(store_setting_list(tx, f->arena, &list, &count, error) == ERR_OK && count == 2);
    EXPECT(str_eq(list[0].key, STR("log.level")) && list[0].value.len == 0);
    EXPECT(str_eq(list[1].value, STR("9090")));
    EXPECT(store_setting_delete(tx, STR("port"), error) == ERR_OK);
    EXPECT(store_setting_delete(tx, STR("port"), error) == ERR_OK);
    EXPECT(store_setting_list(tx, f->arena, &list, &count, error) == ERR_OK && count == 1);
    return ERR_OK;
}

static enum err quotas(struct store_tx *tx, void *user, struct error *error)
{
    struct fixture *f = user;
    struct store_quota quota = {STR("user"), STR("b"), STR("{}")}, *list;
    size_t count;
    EXPECT(store_quota_set(tx, &quota, error) == ERR_OK);
    quota.id = STR("a");
    EXPECT(store_quota_set(tx, &quota, error) == ERR_OK);
    quota.quota = STR("{\"streams\":1}");
    EXPECT(store_quota_set(tx, &quota, error) == ERR_OK);
    EXPECT(store_quota_list(tx, f->arena, &list, &count, error) == ERR_OK && count == 2);
    EXPECT(str_eq(list[0].kind, STR("user")) && str_eq(list[0].id, STR("a")) &&
           str_eq(list[0].quota, quota.quota) && str_eq(list[1].quota, STR("{}")));
    EXPECT(store_quota_delete(tx, STR("key"), STR("a"), error) == ERR_NOT_FOUND);
    EXPECT(store_quota_delete(tx, STR("user"), STR("a"), error) == ERR_OK);
    EXPECT(store_quota_list(tx, f->arena, &list, &count, error) == ERR_OK && count == 1);
    return ERR_OK;
}

static enum err conversations(struct store_tx *tx, void *user, struct error *error)
{
    struct fixture *f = user;
    struct id ann = id_new(1), bob = id_new(1);
    struct store_conversation made = make_conversation(&ann, 1000), got;
    EXPECT(store_conversation_insert(tx, &made, error) == ERR_OK);
    EXPECT(store_conversation_insert(tx, &made, error) == ERR_CONFLICT);
    EXPECT(store_conversation_get(tx, f->arena, &ann, &made.id, &got, error) == ERR_OK);
    EXPECT(str_eq(got.title, made.title) && str_eq(got.model, made.model) &&
           id_is_none(&got.leaf) && got.created_ms == 1000 && got.updated_ms == 1000);
    EXPECT(store_conversation_get(tx, f->arena, &bob, &made.id, &got, error) == ERR_NOT_FOUND);
    made.title = STR("Another");
    made.updated_ms = 2000;
    made.leaf = id_new(3);
    EXPECT(store_conversation_update(tx, &made, error) == ERR_OK);
    EXPECT(store_conversation_get(tx, f->arena, &ann, &made.id, &got, error) == ERR_OK);
    EXPECT(str_eq(got.title, STR("Another")) && got.updated_ms == 2000 &&
           id_eq(&got.leaf, &made.leaf));
    struct store_conversation stolen = made;
    stolen.owner = bob;
    EXPECT(store_conversation_update(tx, &stolen, error) == ERR_NOT_FOUND);
    EXPECT(store_conversation_delete(tx, &bob, &made.id, error) == ERR_NOT_FOUND);
    struct store_message message = make_message(&made, NULL), read;
    EXPECT(store_message_insert(tx, &message, error) == ERR_OK);
    EXPECT(store_conversation_delete(tx, &ann, &made.id, error) == ERR_OK);
    EXPECT(store_message_get(tx, f->arena, &ann, &made.id, &message.id, &read, error) ==
           ERR_NOT_FOUND);
    EXPECT(store_message_insert(tx, &message, error) == ERR_NOT_FOUND);
    return ERR_OK;
}

static enum err pages(struct store_tx *tx, void *user, struct error *error)
{
    struct fixture *f = user;
    struct id ann = id_new(1), bob = id_new(1);
    enum { COUNT = 25 };
    for (int i = 0; i < COUNT; i++) { /* many at the same time: the id decides */
        struct store_conversation c = make_conversation(&ann, 1000 + i / 7);
        EXPECT(store_conversation_insert(tx, &c, error) == ERR_OK);
        c = make_conversation(&bob, 1000 + i);
        EXPECT(store_conversation_insert(tx, &c, error) == ERR_OK);
    }
    struct store_conversation *rows, last = {0};
    struct str next = STR("");
    size_t count, total = 0, page = 0;
    do {
        EXPECT(store_conversation_list(tx, f->arena, &ann, next, 4, &rows, &count, &next, error) ==
               ERR_OK);
        for (size_t i = 0; i < count; i++) {
            EXPECT(id_eq(&rows[i].owner, &ann));
            EXPECT(total + i == 0 || rows[i].updated_ms < last.updated_ms ||
                   (rows[i].updated_ms == last.updated_ms &&
                    str_compare(id_str(&rows[i].id), id_str(&last.id)) < 0));
            last = rows[i];
        }
        total += count;
        page++;
    } while (next.len);
    EXPECT(total == COUNT && page == 7);
    EXPECT(store_conversation_list(tx, f->arena, &ann, STR("1-x"), 4, &rows, &count, &next,
                                   error) == ERR_INVALID);
    EXPECT(strcmp(error->field, "before") == 0);
    EXPECT(store_conversation_list(tx, f->arena, &ann, STR(""), -1, &rows, &count, &next, error) ==
               ERR_OK &&
           count == 1);
    return ERR_OK;
}

static enum err messages(struct store_tx *tx, void *user, struct error *error)
{
    struct fixture *f = user;
    struct id ann = id_new(1), bob = id_new(1);
    struct store_conversation c = make_conversation(&ann, 1000), d = make_conversation(&ann, 1001);
    EXPECT(store_conversation_insert(tx, &c, error) == ERR_OK);
    EXPECT(store_conversation_insert(tx, &d, error) == ERR_OK);
    struct store_message first = make_message(&c, NULL), got;
    EXPECT(store_message_insert(tx, &first, error) == ERR_OK);
    EXPECT(store_message_insert(tx, &first, error) == ERR_CONFLICT);
    struct store_message answer = make_message(&c, &first.id);
    answer.role = STR("assistant");
    answer.status = STORE_STATUS_STREAMING;
    answer.run = id_new(9);
    EXPECT(store_message_insert(tx, &answer, error) == ERR_OK);
    struct store_message elsewhere = make_message(&d, &first.id);
    EXPECT(store_message_insert(tx, &elsewhere, error) == ERR_NOT_FOUND);
    EXPECT(strcmp(error->field, "parent_id") == 0);
    struct store_message *list;
    size_t count;
    EXPECT(store_message_list_streaming(tx, f->arena, &list, &count, error) == ERR_OK &&
           count == 1 && id_eq(&list[0].id, &answer.id) && id_eq(&list[0].run, &answer.run));
    answer.status = STORE_STATUS_FAILED;
    answer.content = STR("[]");
    answer.model = STR("openai/gpt-5.5");
    answer.finish = STR("stop");
    answer.error = STR("{\"code\":\"network\"}");
    answer.usage = STR("{\"input\":1}");
    answer.route = STR("{\"attempts\":2}");
    answer.run = (struct id){0};
    EXPECT(store_message_update(tx, &answer, error) == ERR_OK);
    EXPECT(store_message_get(tx, f->arena, &ann, &c.id, &answer.id, &got, error) == ERR_OK);
    EXPECT(got.status == STORE_STATUS_FAILED && str_eq(got.content, answer.content) &&
           str_eq(got.model, answer.model) && str_eq(got.finish, answer.finish) &&
           str_eq(got.error, answer.error) && str_eq(got.usage, answer.usage) &&
           str_eq(got.route, answer.route) && id_is_none(&got.run) &&
           id_eq(&got.parent, &first.id) && str_eq(got.role, STR("assistant")));
    EXPECT(store_message_list_streaming(tx, f->arena, &list, &count, error) == ERR_OK &&
           count == 0);
    EXPECT(store_message_get(tx, f->arena, &bob, &c.id, &answer.id, &got, error) == ERR_NOT_FOUND);
    EXPECT(store_message_get(tx, f->arena, &ann, &d.id, &answer.id, &got, error) == ERR_NOT_FOUND);
    answer.owner = bob;
    EXPECT(store_message_update(tx, &answer, error) == ERR_NOT_FOUND);
    return ERR_OK;
}

/* A tree whose ids do not follow its shape: children made with smaller ids than their parents. */
static enum err tree(struct store_tx *tx, void *user, struct error *error)
{
    struct fixture *f = user;
    struct id ann = id_new(1);
    struct store_conversation c = make_conversation(&ann, 1000);
    EXPECT(store_conversation_insert(tx, &c, error) == ERR_OK);
    enum { COUNT = 200 };
    static const int spread = 37; /* no divisor of COUNT: ids in another order than insertion */
    struct id ids[COUNT];
    for (int i = 0; i < COUNT; i++) {
        struct store_message m = make_message(&c, i ? &ids[(i - 1) / 3] : NULL);
        m.id = ids[i] = id_new(5000 + i * spread % COUNT);
        EXPECT(store_message_insert(tx, &m, error) == ERR_OK);
    }
    struct store_message *list, *path;
    size_t count, length;
    EXPECT(store_message_list(tx, f->arena, &ann, &c.id, &list, &count, error) == ERR_OK);
    EXPECT(count == COUNT && id_is_none(&list[0].parent));
    for (size_t i = 1; i < count; i++) {
        bool parent_before = false;
        for (size_t j = 0; j < i; j++) {
            parent_before |= id_eq(&list[j].id, &list[i].parent);
            EXPECT(!id_eq(&list[j].id, &list[i].id));
            EXPECT(!id_eq(&list[j].parent, &list[i].parent) ||
                   str_compare(id_str(&list[j].id), id_str(&list[i].id)) < 0);
        }
        EXPECT(parent_before);
    }
    EXPECT(store_message_path(tx, f->arena, &ann, &c.id, &ids[COUNT - 1], &path, &length, error) ==
           ERR_OK);
    int expected = COUNT - 1;
    for (size_t i = length; i > 0; i--, expected = (expected - 1) / 3)
        EXPECT(id_eq(&path[i - 1].id, &ids[expected]));
    EXPECT(id_is_none(&path[0].parent) && length == 6);
    struct id nothing = id_new(1);
    EXPECT(store_message_path(tx, f->arena, &ann, &c.id, &nothing, &path, &length, error) ==
           ERR_NOT_FOUND);
    EXPECT(store_message_list(tx, f->arena, &ann, &nothing, &list, &count, error) == ERR_OK &&
           count == 0);
    return ERR_OK;
}

static enum err too_big(struct store_tx *tx, void *user, struct error *error)
{
    (void)user;
    struct id ann = id_new(1);
    struct store_conversation c = make_conversation(&ann, 1000);
    EXPECT(store_conversation_insert(tx, &c, error) == ERR_OK);
    struct id parent = {0};
    for (int i = 0; i < 50; i++) {
        struct store_message m = make_message(&c, i ? &parent : NULL);
        parent = m.id;
        EXPECT(store_message_insert(tx, &m, error) == ERR_OK);
    }
    struct arena *small = arena_new(2000);
    struct store_message *list;
    size_t count;
    enum err listed = store_message_list(tx, small, &ann, &c.id, &list, &count, error);
    enum err followed = store_message_path(tx, small, &ann, &c.id, &parent, &list, &count, error);
    arena_free(small);
    EXPECT(listed == ERR_TOO_BIG && followed == ERR_TOO_BIG);
    return ERR_OK;
}

static enum err put_object(struct store_tx *tx, const struct id *owner, const char *id,
                           int64_t created_ms, struct error *error)
{
    return store_relay_object_put(tx,
                                  &(struct store_relay_object){.owner = *owner,
                                                               .kind = STR("job"),
                                                               .id = str_from_cstr(id),
                                                               .provider = STR("openai"),
                                                               .created_ms = created_ms},
                                  error);
}

static enum err relay_objects(struct store_tx *tx, void *user, struct error *error)
{
    struct fixture *f = user;
    struct id ann = id_new(1), bob = id_new(2), nobody = {{0}};
    struct store_relay_object one, *list;
    size_t count;
    EXPECT(put_object(tx, &ann, "a", 10, error) == ERR_OK);
    EXPECT(put_object(tx, &ann, "b", 20, error) == ERR_OK);
    EXPECT(put_object(tx, &ann, "c", 20, error) == ERR_OK);
    EXPECT(put_object(tx, &bob, "d", 30, error) == ERR_OK);
    EXPECT(put_object(tx, &nobody, "e", 5, error) == ERR_OK);
    EXPECT(put_object(tx, &ann, "a", 11, error) == ERR_OK); /* replaced */
    EXPECT(store_relay_object_get(tx, f->arena, &ann, STR("job"), STR("a"), &one, error) == ERR_OK);
    EXPECT(id_eq(&one.owner, &ann) && str_eq(one.provider, STR("openai")) && one.created_ms == 11);
    EXPECT(store_relay_object_get(tx, f->arena, &bob, STR("job"), STR("a"), &one, error) ==
           ERR_NOT_FOUND);
    EXPECT(store_relay_object_get(tx, f->arena, &ann, STR("other"), STR("a"), &one, error) ==
           ERR_NOT_FOUND);
    EXPECT(store_relay_object_get(tx, f->arena, NULL, STR("job"), STR("d"), &one, error) == ERR_OK);
    EXPECT(store_relay_object_get(tx, f->arena, &nobody, STR("job"), STR("e"), &one, error) ==
           ERR_OK);
    EXPECT(id_is_none(&one.owner));
    EXPECT(store_relay_object_get(tx, f->arena, &nobody, STR("job"), STR("a"), &one, error) ==
           ERR_NOT_FOUND);
    EXPECT(store_relay_object_list(tx, f->arena, &ann, STR("job"), STR(""), 2, &list, &count,
                                   error) == ERR_OK);
    EXPECT(count == 2 && str_eq(list[0].id, STR("c")) && str_eq(list[1].id, STR("b")));
    EXPECT(store_relay_object_list(tx, f->arena, &ann, STR("job"), STR("b"), 2, &list, &count,
                                   error) == ERR_OK);
    EXPECT(count == 1 && str_eq(list[0].id, STR("a")));
    EXPECT(store_relay_object_list(tx, f->arena, NULL, STR("job"), STR(""), 9, &list, &count,
                                   error) == ERR_OK);
    EXPECT(count == 5 && str_eq(list[0].id, STR("d")));
    EXPECT(store_relay_object_list(tx, f->arena, &bob, STR("job"), STR("a"), 9, &list, &count,
                                   error) == ERR_OK);
    EXPECT(count == 0); /* behind another's: nothing is told */
    return ERR_OK;
}

static struct store_response make_response(const struct id *owner, const char *id,
                                           const char *previous, int64_t expires_ms)
{
    return (struct store_response){.owner = *owner,
                                   .id = str_from_cstr(id),
                                   .previous = str_from_cstr(previous),
                                   .created_ms = 1,
                                   .expires_ms = expires_ms,
                                   .model = STR("m"),
                                   .input = STR("[1]"),
                                   .answer = STR("{}"),
                                   .parts = STR("[]")};
}

static enum err responses(struct store_tx *tx, void *user, struct error *error)
{
    struct fixture *f = user;
    struct id ann = id_new(1), bob = id_new(2);
    struct store_response a = make_response(&ann, "resp_1", "", 100), got;
    struct store_response b = make_response(&bob, "resp_1", "resp_0", 200);
    EXPECT(store_response_put(tx, &a, error) == ERR_OK);
    EXPECT(store_response_put(tx, &b, error) == ERR_OK);
    a.answer = STR("{\"new\":1}");
    EXPECT(store_response_put(tx, &a, error) == ERR_OK); /* the newest */
    EXPECT(store_response_get(tx, f->arena, &ann, a.id, 99, &got, error) == ERR_OK);
    EXPECT(id_eq(&got.owner, &ann) && str_eq(got.id, a.id) && !got.previous.len);
    EXPECT(got.created_ms == 1 && got.expires_ms == 100 && str_eq(got.model, a.model));
    EXPECT(str_eq(got.input, a.input) && str_eq(got.answer, a.answer) &&
           str_eq(got.parts, a.parts));
    EXPECT(store_response_get(tx, f->arena, &bob, a.id, 99, &got, error) == ERR_OK);
    EXPECT(str_eq(got.previous, STR("resp_0")) && str_eq(got.answer, STR("{}")));
    EXPECT(store_response_get(tx, f->arena, &ann, a.id, 100, &got, NULL) == ERR_NOT_FOUND);
    EXPECT(store_response_get(tx, f->arena, &ann, STR("resp_2"), 1, &got, NULL) == ERR_NOT_FOUND);
    EXPECT(store_response_delete(tx, &ann, a.id, 100, NULL) == ERR_NOT_FOUND);
    EXPECT(store_response_delete(tx, &ann, a.id, 99, error) == ERR_OK);
    EXPECT(store_response_delete(tx, &ann, a.id, 99, NULL) == ERR_NOT_FOUND);
    EXPECT(store_response_get(tx, f->arena, &bob, a.id, 99, &got, error) == ERR_OK);
    return ERR_OK;
}

static enum err expiry(struct store_tx *tx, void *user, struct error *error)
{
    struct fixture *f = user;
    struct id ann = id_new(1);
    struct store_response got;
    int removed = -1;
    char id[20];
    for (int i = 0; i < 7; i++) {
        snprintf(id, sizeof id, "resp_%d", i);
        struct store_response one = make_response(&ann, id, "", 10 + i);
        EXPECT(store_response_put(tx, &one, error) == ERR_OK);
    }
    EXPECT(store_response_expire(tx, 9, 3, &removed, error) == ERR_OK && removed == 0);
    EXPECT(store_response_expire(tx, 14, 3, &removed, error) == ERR_OK && removed == 3);
    EXPECT(store_response_expire(tx, 14, 3, &removed, error) == ERR_OK && removed == 2);
    EXPECT(store_response_get(tx, f->arena, &ann, STR("resp_4"), 0, &got, NULL) == ERR_NOT_FOUND);
    EXPECT(store_response_get(tx, f->arena, &ann, STR("resp_5"), 0, &got, error) == ERR_OK);
    return ERR_OK;
}

/* What is kept is counted as it comes, is replaced and goes; the oldest make room. */
static enum err kept(struct store_tx *tx, void *user, struct error *error)
{
    struct fixture *f = user;
    struct id ann = id_new(1), bob = id_new(2);
    struct store_response got;
    int64_t bytes = -1, one = 0;
    char id[20];
    EXPECT(store_kept_bytes(tx, KEPT_RESPONSE, &ann, &bytes, error) == ERR_OK && bytes == 0);
    for (int i = 0; i < 5; i++) {
        snprintf(id, sizeof id, "resp_%d", i);
        struct store_response row = make_response(&ann, id, "", 50 - i); /* the last goes first */
        EXPECT(store_response_put(tx, &row, error) == ERR_OK);
        EXPECT(store_response_put(tx, &row, error) == ERR_OK);
        row.owner = bob;
        EXPECT(store_response_put(tx, &row, error) == ERR_OK);
        EXPECT(store_kept_bytes(tx, KEPT_RESPONSE, &ann, &bytes, error) == ERR_OK);
        one = one ? one : bytes;
        EXPECT(one > 500 && bytes == (i + 1) * one);
    }
    EXPECT(store_kept_make_room(tx, KEPT_RESPONSE, &ann, 5 * one, error) == ERR_OK);
    EXPECT(store_response_get(tx, f->arena, &ann, STR("resp_4"), 0, &got, error) == ERR_OK);
    EXPECT(store_kept_make_room(tx, KEPT_RESPONSE, &ann, 3 * one, error) == ERR_OK);
    EXPECT(store_kept_bytes(tx, KEPT_RESPONSE, &ann, &bytes, error) == ERR_OK && bytes == 3 * one);
    EXPECT(store_response_get(tx, f->arena, &ann, STR("resp_3"), 0, &got, NULL) == ERR_NOT_FOUND);
    EXPECT(store_response_get(tx, f->arena, &ann, STR("resp_2"), 0, &got, error) == ERR_OK);
    EXPECT(store_kept_bytes(tx, KEPT_RESPONSE, &bob, &bytes, error) == ERR_OK && bytes == 5 * one);
    EXPECT(store_response_delete(tx, &ann, STR("resp_2"), 0, error) == ERR_OK);
    EXPECT(store_kept_bytes(tx, KEPT_RESPONSE, &ann, &bytes, error) == ERR_OK && bytes == 2 * one);
    return ERR_OK;
}

static enum err kept_requests(struct store_tx *tx, void *user, struct error *error)
{
    struct fixture *f = user;
    struct id key = id_new(1);
    struct store_request *list;
    struct id ids[4];
    size_t count;
    int64_t bytes = 0;
    for (int i = 0; i < 4; i++) {
        ids[i] = id_new(10 + i);
        const struct store_request row = {.key = key,
                                          .id = ids[i],
                                          .owner = key,
                                          .request_id = STR("r"),
                                          .expires_ms = 100,
                                          .method = STR("POST"),
                                          .path = STR("/"),
                                          .request = STR("1234567890"),
                                          .answer = STR("")};
        EXPECT(store_request_insert(tx, &row, error) == ERR_OK);
    }
    EXPECT(store_kept_bytes(tx, KEPT_REQUEST, &key, &bytes, error) == ERR_OK && bytes == 4 * 522);
    EXPECT(store_kept_make_room(tx, KEPT_REQUEST, &key, 2 * 522, error) == ERR_OK);
    EXPECT(store_request_list(tx, f->arena, &key, STR(""), 0, 10, &list, &count, error) == ERR_OK);
    EXPECT(count == 2 && id_eq(&list[0].id, &ids[3]) && id_eq(&list[1].id, &ids[2]));
    EXPECT(store_request_delete_expired(tx, 100, error) == ERR_OK);
    EXPECT(store_kept_bytes(tx, KEPT_REQUEST, &key, &bytes, error) == ERR_OK && bytes == 0);
    return ERR_OK;
}

#define TEST(name)                                                                                 \
    static void test_##name(void **state)                                                          \
    {                                                                                              \
        run_transaction(state, name);                                                              \
    }
TEST(users)
TEST(kept)
TEST(kept_requests)
TEST(sessions)
TEST(keys)
TEST(groups)
TEST(settings)
TEST(quotas)
TEST(conversations)
TEST(pages)
TEST(messages)
TEST(tree)
TEST(too_big)
TEST(relay_objects)
TEST(responses)
TEST(expiry)

/* The plans that the schema was made for: no table is read whole, nothing is sorted. */
static enum err plan_of(struct store_tx *tx, const char *sql, struct arena *arena, struct str *ret,
                        struct error *error)
{
    struct query query = query_begin(tx->sqlite, sql);
    *ret = STR("");
    while (query_next(&query)) {
        query.next_column = 3;
        struct str detail = query_text(&query, arena);
        *ret = arena_printf(arena, "%.*s%.*s;", STR_ARG(*ret), STR_ARG(detail));
    }
    return query_end(&query, error);
}

static enum err plans(struct store_tx *tx, void *user, struct error *error)
{
    struct fixture *f = user;
    static const struct {
        const char *sql, *uses;
    } rows[] = {
        {"EXPLAIN QUERY PLAN SELECT * FROM conversations WHERE owner = ? AND (updated_ms, id) <"
         " (?, ?) ORDER BY updated_ms DESC, id DESC LIMIT 5",
         "USING INDEX conversations_by_time (owner=? AND (updated_ms,id)<(?,?))"},
        {"EXPLAIN QUERY PLAN SELECT * FROM messages WHERE owner = ? AND conversation = ?"
         " ORDER BY id",
         "USING PRIMARY KEY (owner=? AND conversation=?)"},
        {"EXPLAIN QUERY PLAN SELECT * FROM messages WHERE status = 1", "messages_streaming"},
        {"EXPLAIN QUERY PLAN DELETE FROM sessions WHERE expires_ms <= ?", "sessions_by_expiry"},
        {"EXPLAIN QUERY PLAN SELECT owner, id FROM stored_responses WHERE expires_ms <= ?"
         " ORDER BY expires_ms LIMIT ?",
         "stored_responses_by_expiry"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct str plan;
        EXPECT(plan_of(tx, rows[i].sql, f->arena, &plan, error) == ERR_OK);
        if (str_find(plan, str_from_cstr(rows[i].uses)) == SIZE_MAX ||
            str_find(plan, STR("TEMP B-TREE")) != SIZE_MAX)
            return error_set(error, ERR_INTERNAL, NULL, "plan %zu: %.*s", i, STR_ARG(plan));
    }
    return ERR_OK;
}
TEST(plans)

static void test_status_names(void **state)
{
    (void)state;
    assert_string_equal(store_status_name(STORE_STATUS_COMPLETE), "complete");
    assert_string_equal(store_status_name(STORE_STATUS_INTERRUPTED), "interrupted");
    assert_string_equal(store_status_name((enum store_status)77), "unknown");
}

#define WITH_STORE(name) cmocka_unit_test_setup_teardown(test_##name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_STORE(kept),          WITH_STORE(kept_requests), WITH_STORE(users),
        WITH_STORE(sessions),      WITH_STORE(keys),          WITH_STORE(groups),
        WITH_STORE(settings),      WITH_STORE(quotas),        WITH_STORE(conversations),
        WITH_STORE(pages),         WITH_STORE(messages),      WITH_STORE(tree),
        WITH_STORE(relay_objects), WITH_STORE(too_big),       WITH_STORE(responses),
        WITH_STORE(expiry),        WITH_STORE(plans),         cmocka_unit_test(test_status_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
