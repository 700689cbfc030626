/* Quota: one table says how each limit is called, where it stands and how large it may be. Stored
 * quotas, the REST interface and the command line all read and write through it. */
#include "route/quota.h"

#include <arpa/inet.h>
#include <math.h>
#include <stddef.h>

enum unit { COUNT_PER_MINUTE, COUNT, STREAMS, MONEY };

static const struct member {
    const char *name;
    size_t offset; /* of an int64_t */
    enum unit unit;
    size_t needs; /* of the member without which this one means nothing; its own: none */
} members[] = {
#define MEMBER(name, field, unit)                                                                  \
    {                                                                                              \
        name, offsetof(struct quota, field), unit, offsetof(struct quota, field)                   \
    }
#define BURST(name, field, of)                                                                     \
    {                                                                                              \
        name, offsetof(struct quota, field), COUNT_PER_MINUTE, offsetof(struct quota, of)          \
    }
#define PERIODS(name, field, unit)                                                                 \
    MEMBER(name "_per_day", field[QUOTA_DAY], unit),                                               \
        MEMBER(name "_per_week", field[QUOTA_WEEK], unit),                                         \
        MEMBER(name "_per_month", field[QUOTA_MONTH], unit)
    MEMBER("requests_per_minute", requests_per_minute, COUNT_PER_MINUTE),
    MEMBER("tokens_per_minute", tokens_per_minute, COUNT_PER_MINUTE),
    BURST("requests_burst", requests_burst, requests_per_minute),
    BURST("tokens_burst", tokens_burst, tokens_per_minute),
    PERIODS("requests", requests, COUNT),
    PERIODS("tokens", tokens, COUNT),
    MEMBER("streams", streams_max, STREAMS),
    PERIODS("budget", hard_nano, MONEY),
    PERIODS("soft_budget", soft_nano, MONEY),
};
enum { MEMBERS = sizeof members / sizeof *members };
enum { NETWORK_BYTES = 8 }; /* of an IPv6 address */

static const char *const kinds[QUOTA_KIND_COUNT] = {
    [QUOTA_KEY] = "key",     [QUOTA_USER] = "user",       [QUOTA_GROUP] = "group",
    [QUOTA_MODEL] = "model", [QUOTA_ADDRESS] = "address", [QUOTA_TAG] = "tag",
};

const char *quota_kind_name(enum quota_kind kind)
{
    return (size_t)kind < QUOTA_KIND_COUNT ? kinds[kind] : "unknown";
}

bool quota_kind_find(struct str name, enum quota_kind *ret)
{
    for (int kind = 0; kind < QUOTA_KIND_COUNT; kind++)
        if (str_eq(name, str_from_cstr(kinds[kind]))) {
            *ret = (enum quota_kind)kind;
            return true;
        }
    return false;
}

const char *quota_period_name(enum quota_period period)
{
    static const char *const names[QUOTA_PERIODS] = {"day", "week", "month"};
    return (size_t)period < QUOTA_PERIODS ? names[period] : "unknown";
}

bool quota_address(struct str text, char ret[QUOTA_ADDRESS_BYTES])
{
    struct in6_addr address;
    struct in_addr old;
    bool is_network = str_ends_with(text, STR("/64"));
    if (is_network)
        text.len -= 3;
    if (!str_copy(text, ret, QUOTA_ADDRESS_BYTES))
        return false;
    if (inet_pton(AF_INET, ret, &old) == 1)
        return !is_network;
    if (inet_pton(AF_INET6, ret, &address) != 1)
        return false;
    if (IN6_IS_ADDR_V4MAPPED(&address))
        return inet_ntop(AF_INET, &address.s6_addr[12], ret, QUOTA_ADDRESS_BYTES);
    memset(address.s6_addr + NETWORK_BYTES, 0, sizeof address - NETWORK_BYTES);
    inet_ntop(AF_INET6, &address, ret, INET6_ADDRSTRLEN);
    memcpy(ret + strlen(ret), "/64", sizeof "/64");
    return true;
}

static int64_t *field_of(struct quota *quota, size_t offset)
{
    return (int64_t *)(void *)((char *)quota + offset);
}

static int64_t value_of(const struct quota *quota, size_t offset)
{
    return *(const int64_t *)(const void *)((const char *)quota + offset);
}

static const struct member *find_member(struct str name)
{
    for (size_t i = 0; i < MEMBERS; i++)
        if (str_eq(str_from_cstr(members[i].name), name))
            return &members[i];
    return NULL;
}

bool quota_member_find(struct str name, bool *ret_is_money)
{
    const struct member *member = find_member(name);
    if (member)
        *ret_is_money = member->unit == MONEY;
    return member;
}

static int64_t largest(enum unit unit)
{
    switch (unit) {
    case COUNT_PER_MINUTE:
        return QUOTA_PER_MINUTE_MAX;
    case STREAMS:
        return QUOTA_STREAMS_MAX;
    case MONEY:
        return QUOTA_USD_MAX;
    default:
        return QUOTA_PER_PERIOD_MAX;
    }
}

static bool read_value(const struct member *member, yyjson_val *value, int64_t *ret)
{
    if (member->unit == MONEY) {
        double usd = yyjson_is_num(value) ? yyjson_get_num(value) : -1;
        if (!(usd >= 0 && usd <= (double)QUOTA_USD_MAX))
            return false;
        *ret = (int64_t)ceil(usd * (double)QUOTA_NANO_PER_USD - 0.5);
        return usd <= 0 || *ret > 0; /* what is too small to be counted would be no limit */
    }
    return json_int(value, ret) && *ret >= 0 && *ret <= largest(member->unit);
}

static enum err fail_name(struct str name, struct error *error)
{
    struct str_nearest nearest = str_nearest_begin(name, 6);
    char field[64];
    for (size_t i = 0; i < MEMBERS; i++)
        str_nearest_try(&nearest, str_from_cstr(members[i].name));
    str_copy(name, field, sizeof field);
    if (nearest.found.data)
        return error_set(error, ERR_INVALID, field, "is not known; did you mean \"%.*s\"?",
                         STR_ARG(nearest.found));
    return error_set(error, ERR_INVALID, field, "is not a limit");
}

static enum err read_member(struct quota *quota, yyjson_val *key, yyjson_val *value, uint64_t *seen,
                            struct error *error)
{
    const struct member *member = find_member(json_str(key));
    if (!member)
        return fail_name(json_str(key), error);
    uint64_t bit = (uint64_t)1 << (member - members);
    if (*seen & bit)
        return error_set(error, ERR_INVALID, member->name, "is given twice");
    *seen |= bit;
    if (!read_value(member, value, field_of(quota, member->offset)))
        return error_set(error, ERR_INVALID, member->name, "must be a %s from 0 to %lld",
                         member->unit == MONEY ? "number of US dollars (whole nano-dollars)"
                                               : "whole number",
                         (long long)largest(member->unit));
    return ERR_OK;
}

enum err quota_read(yyjson_val *object, struct quota *ret, struct error *error)
{
    struct quota quota = {0};
    uint64_t seen = 0;
    size_t index, count;
    yyjson_val *key, *value;
    if (!yyjson_is_obj(object))
        return error_set(error, ERR_INVALID, NULL, "the limits must be an object");
    yyjson_obj_foreach (object, index, count, key, value) {
        enum err code = read_member(&quota, key, value, &seen, error);
        if (code != ERR_OK)
            return code;
    }
    for (size_t i = 0; i < MEMBERS; i++)
        if (value_of(&quota, members[i].offset) && !value_of(&quota, members[i].needs))
            return error_set(error, ERR_INVALID, members[i].name,
                             "needs the limit per minute that it is a burst of");
    *ret = quota;
    return ERR_OK;
}

void quota_write(struct json_writer *w, const struct quota *quota)
{
    json_begin_object(w);
    for (size_t i = 0; i < MEMBERS; i++) {
        int64_t value = value_of(quota, members[i].offset);
        if (value == 0)
            continue;
        json_literal_key(w, str_from_cstr(members[i].name));
        if (members[i].unit == MONEY)
            json_put_double(w, (double)value / (double)QUOTA_NANO_PER_USD);
        else
            json_put_int(w, value);
    }
    json_end_object(w);
}

bool quota_is_empty(const struct quota *quota)
{
    for (size_t i = 0; i < MEMBERS; i++)
        if (value_of(quota, members[i].offset))
            return false;
    return true;
}

enum err quota_check(const struct quota *quota, enum quota_kind kind, struct error *error)
{
    for (size_t i = 0; i < MEMBERS && kind == QUOTA_TAG; i++)
        if (members[i].unit != MONEY && value_of(quota, members[i].offset))
            return error_set(error, ERR_INVALID, members[i].name,
                             "a tag has budgets alone: callers write it themselves");
    return ERR_OK;
}
