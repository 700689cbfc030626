/* REST: limits and budgets: who has which, what was used of them, and changing them. */
#include "account/api_key.h"
#include "account/group.h"
#include "api/request.h"
#include "base/clock.h"
#include "base/utf8.h"
#include "base/vec.h"
#include "route/quotas.h"

static struct limiter *limiter_of(const struct api_request *request)
{
    return request->api->options.limiter;
}

static struct account *account_of(const struct api_request *request)
{
    return request->api->options.account;
}

/* ---- Telling --------------------------------------------------------------------------------- */

static void write_used(struct json_writer *w, struct limiter *limiter,
                       struct limiter_subject subject, int64_t wall_ms)
{
    json_key_object(w, "used");
    for (int period = 0; period < QUOTA_PERIODS; period++) {
        struct limiter_used used = {0};
        limiter_used(limiter, subject, (enum quota_period)period, wall_ms, &used);
        json_key_object(w, quota_period_name((enum quota_period)period));
        json_key_int(w, "requests", used.requests);
        json_key_int(w, "tokens", used.tokens);
        json_key_double(w, "cost_usd", (double)used.cost_nano / (double)QUOTA_NANO_PER_USD);
        json_end_object(w);
    }
    json_end_object(w);
}

static void key_limited(struct json_writer *w, const char *key, int64_t value)
{
    if (value < 0)
        json_key_null(w, key);
    else
        json_key_int(w, key, value);
}

static void write_now(struct json_writer *w, struct limiter *limiter,
                      struct limiter_subject subject, struct limiter_time now)
{
    struct limiter_view view = {.requests_remaining = -1, .tokens_remaining = -1};
    int64_t streams = 0;
    limiter_look(limiter, subject, now, &streams, &view);
    json_key_object(w, "now");
    json_key_int(w, "streams", streams);
    key_limited(w, "requests_remaining", view.requests_remaining);
    key_limited(w, "tokens_remaining", view.tokens_remaining);
    json_end_object(w);
}

static void write_limit(struct json_writer *w, struct limiter *limiter,
                        struct limiter_subject subject, const struct quota *quota, bool is_own)
{
    struct limiter_time now = {clock_monotonic_ns() / 1000, clock_wall_ms()};
    json_begin_object(w);
    json_key_str(w, "kind", str_from_cstr(quota_kind_name(subject.kind)));
    json_key_str(w, "id", subject.id);
    json_key_bool(w, "is_default", !is_own);
    json_key(w, STR("limits"));
    quota_write(w, quota);
    if (!str_eq(subject.id, STR("*"))) {
        write_used(w, limiter, subject, now.wall_ms);
        write_now(w, limiter, subject, now);
    }
    json_end_object(w);
}

struct rule {
    struct limiter_subject subject;
    struct quota quota;
};

struct rules {
    struct arena *arena;
    struct rule *items;
    size_t count;
    size_t capacity;
};

static void note_rule(void *user, struct limiter_subject subject, const struct quota *quota)
{
    struct rules *rules = user;
    struct rule *rule = VEC_PUSH(rules->arena, rules->items, rules->count, rules->capacity);
    rule->subject = (struct limiter_subject){subject.kind, arena_str(rules->arena, subject.id)};
    rule->quota = *quota;
}

static void get_limits(struct api_request *request)
{
    struct api_reply reply;
    struct rules rules = {.arena = request->arena};
    limiter_each(limiter_of(request), note_rule, &rules);
    api_reply_begin(&reply);
    json_key_array(&reply.w, "limits");
    for (size_t i = 0; i < rules.count; i++)
        write_limit(&reply.w, limiter_of(request), rules.items[i].subject, &rules.items[i].quota,
                    true);
    json_end_array(&reply.w);
    api_reply(request, 200, &reply);
}

/* ---- Whose ----------------------------------------------------------------------------------- */

static bool find_key(struct api_request *request, struct str text, struct store_key *ret_key)
{
    struct id id;
    return id_parse(text, &id) &&
           account_get_key(account_of(request), request->arena, &id, ret_key) == ERR_OK;
}

static bool is_key(struct api_request *request, struct str *text)
{
    struct store_key key;
    return find_key(request, *text, &key);
}

static bool is_user(struct api_request *request, struct str *text)
{
    struct store_user user;
    struct id id;
    return id_parse(*text, &id) &&
           account_get_user(account_of(request), request->arena, &id, &user) == ERR_OK;
}

static bool is_group(struct api_request *request, struct str *text)
{
    struct store_group group;
    struct id id;
    return id_parse(*text, &id) &&
           account_get_group(account_of(request), request->arena, &id, &group) == ERR_OK;
}

static bool is_text(struct api_request *request, struct str *text)
{
    (void)request;
    for (size_t i = 0; i < text->len; i++)
        if ((unsigned char)text->data[i] < 0x20 || text->data[i] == 0x7F)
            return false;
    return text->len && utf8_valid(*text, NULL);
}

/* Becomes the form that it is counted in. */
static bool is_address(struct api_request *request, struct str *text)
{
    char canonical[QUOTA_ADDRESS_BYTES];
    if (!quota_address(*text, canonical))
        return false;
    *text = arena_str(request->arena, str_from_cstr(canonical));
    return true;
}

static bool is_tag(struct api_request *request, struct str *text)
{
    return is_text(request, text) && str_find_char(*text, ':') != SIZE_MAX;
}

static const struct {
    bool (*is_one)(struct api_request *request, struct str *id);
    const char *what;
} kinds[QUOTA_KIND_COUNT] = {
    [QUOTA_KEY] = {is_key, "the id of an API key"},
    [QUOTA_USER] = {is_user, "the id of a person"},
    [QUOTA_GROUP] = {is_group, "the id of a group"},
    [QUOTA_MODEL] = {is_text, "the name of a model or route"},
    [QUOTA_ADDRESS] = {is_address, "an IP address"},
    [QUOTA_TAG] = {is_tag, "\"user:NAME\" or \"KEY:VALUE\""},
};

/* The subject that the path names. `must_exist`: what there is not is refused. */
static enum err find_subject(struct api_request *request, bool must_exist,
                             struct limiter_subject *ret, struct error *error)
{
    struct limiter_subject subject = {.id = request->parameters[1]};
    if (!quota_kind_find(request->parameters[0], &subject.kind))
        return error_set(error, ERR_NOT_FOUND, "kind",
                         "there are limits of key, user, group, model, address and tag");
    bool is_one = str_eq(subject.id, STR("*")) || kinds[subject.kind].is_one(request, &subject.id);
    if (subject.id.len > QUOTA_ID_BYTES_MAX || (must_exist && !is_one))
        return error_set(error, ERR_NOT_FOUND, "id", "must be %s that exists, or \"*\"",
                         kinds[subject.kind].what);
    *ret = subject;
    return ERR_OK;
}

/* Administrators may look at everybody's, people and programs at their person's and its keys'. */
static enum err authorise_look(struct api_request *request, struct limiter_subject subject,
                               struct error *error)
{
    const struct principal *who = &request->who;
    struct store_key key;
    struct id nobody = {0};
    if (authorise(who, VERB_LIMIT_MANAGE, (struct authorise_object){0}, NULL) == ERR_OK)
        return ERR_OK;
    bool is_own = (subject.kind == QUOTA_USER && str_eq(subject.id, id_str(&who->user))) ||
                  (subject.kind == QUOTA_KEY && find_key(request, subject.id, &key) &&
                   id_eq(&key.owner, &who->user));
    return authorise(who, VERB_LIMIT_READ,
                     (struct authorise_object){.owner = is_own ? &who->user : &nobody}, error);
}

/* Its own, or what "*" says. */
static void reply_limit(struct api_request *request, struct limiter_subject subject)
{
    struct api_reply reply;
    struct quota quota;
    struct error error = {0};
    bool is_own = limiter_get(limiter_of(request), subject, &quota);
    if (!is_own && !limiter_get(limiter_of(request),
                                (struct limiter_subject){subject.kind, STR("*")}, &quota)) {
        error_set(&error, ERR_NOT_FOUND, NULL, "nothing limits this %s",
                  quota_kind_name(subject.kind));
        api_fail(request, ERR_NOT_FOUND, &error);
        return;
    }
    api_reply_begin(&reply);
    json_key(&reply.w, STR("limit"));
    write_limit(&reply.w, limiter_of(request), subject, &quota, is_own);
    api_reply(request, 200, &reply);
}

static void get_limit(struct api_request *request)
{
    struct limiter_subject subject;
    struct error error = {0};
    enum err code = find_subject(request, false, &subject, &error);
    if (code == ERR_OK)
        code = authorise_look(request, subject, &error);
    if (!api_failed(request, code, &error))
        reply_limit(request, subject);
}

/* ---- Changing -------------------------------------------------------------------------------- */

static void on_set(void *user, enum err code, const struct error *error)
{
    struct api_request *request = user;
    struct limiter_subject subject;
    if (api_failed(request, code, error))
        return;
    code = find_subject(request, false, &subject, NULL);
    if (!api_failed(request, code, NULL))
        reply_limit(request, subject);
}

static void on_removed(void *user, enum err code, const struct error *error)
{
    struct api_request *request = user;
    if (!api_failed(request, code, error))
        api_reply_nothing(request);
}

static void change(struct api_request *request, struct limiter_subject subject,
                   const struct quota *quota, quotas_done_fn *done)
{
    const struct api_options *options = &request->api->options;
    quotas_change(options->limiter, options->store, options->loop, subject, quota, done, request);
}

static void put_limit(struct api_request *request)
{
    struct limiter_subject subject;
    struct quota quota;
    yyjson_val *root = NULL;
    struct error error = {0};
    enum err code = find_subject(request, true, &subject, &error);
    if (code == ERR_OK)
        code = json_read(request->arena, request->http->body, &root, &error);
    if (code == ERR_OK)
        code = quota_read(root, &quota, &error);
    if (code == ERR_OK)
        code = quota_check(&quota, subject.kind, &error);
    if (!api_failed(request, code, &error))
        change(request, subject, &quota, on_set);
}

static void delete_limit(struct api_request *request)
{
    struct limiter_subject subject;
    struct error error = {0};
    enum err code = find_subject(request, false, &subject, &error);
    if (!api_failed(request, code, &error))
        change(request, subject, NULL, on_removed);
}

#define ONE "/api/v1/limits/{kind}/{id...}"

const struct endpoint quota_endpoints[] = {
    {HTTP_GET, "/api/v1/limits", VERB_LIMIT_MANAGE, NULL, get_limits, NULL, 0,
     "All limits and budgets, and what was used of them."},
    {HTTP_GET, ONE, VERB_LIMIT_READ, NULL, get_limit, NULL, 0,
     "What limits a key, user, group, model, address or tag, and what was used."},
    {HTTP_PUT, ONE, VERB_LIMIT_MANAGE, NULL, put_limit, NULL, API_BODY_SMALL,
     "Sets its limits and budgets: {\"requests_per_minute\": 60, \"budget_per_day\": 5}."},
    {HTTP_DELETE, ONE, VERB_LIMIT_MANAGE, NULL, delete_limit, NULL, 0,
     "Removes them: what \"*\" says holds again."},
    {0},
};
