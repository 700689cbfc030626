/* Resolver. Stands under connector.c; nothing else on a loop may block on a name.
 *
 * One entry per name holds the answer and whoever waits for it, so that a burst of calls to one
 * host asks once:
 *
 *   absent --resolver_start--> looking up --on_resolved--> known --(lifetime)--> looking up ...
 *                                  |
 *                                  +--on_resolved with an error--> absent (failures are not kept)
 *
 * resolver_free lets go of entries whose look-up is in the pool: on_resolved frees them. */
#include "net/resolver.h"

#include <arpa/inet.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/map.h"

enum { ENTRIES_MAX = 256, HOST_BYTES_MAX = 255 };

struct entry {
    uv_getaddrinfo_t request;
    struct resolver *resolver; /* NULL: freed meanwhile */
    struct list by_age;
    struct list waiting; /* struct resolver_query */
    struct loop_task task;
    bool looking_up;
    bool pinned;
    uint64_t expires_ms;
    struct error error;
    struct resolver_addresses addresses;
    char host[HOST_BYTES_MAX + 1];
};

struct resolver {
    struct loop *loop;
    uint64_t lifetime_ms;
    struct map *entries;
    struct list by_age; /* struct entry, oldest first */
};

struct resolver *resolver_new(struct loop *loop, uint64_t lifetime_ms)
{
    struct resolver *resolver = calloc(1, sizeof *resolver);
    ASSERT(resolver);
    *resolver = (struct resolver){.loop = loop, .lifetime_ms = lifetime_ms, .entries = map_new()};
    list_init(&resolver->by_age);
    return resolver;
}

static void entry_drop(struct entry *entry)
{
    map_remove(entry->resolver->entries, str_from_cstr(entry->host));
    list_remove(&entry->by_age);
    loop_task_cancel(&entry->task);
    entry->resolver = NULL;
    if (entry->looking_up)
        uv_cancel((uv_req_t *)&entry->request); /* on_resolved comes in any case */
    else
        free(entry);
}

void resolver_free(struct resolver *resolver)
{
    if (!resolver)
        return;
    LIST_EACH (&resolver->by_age, link) {
        struct entry *entry = LIST_ENTRY(link, struct entry, by_age);
        ASSERT(list_is_empty(&entry->waiting));
        entry_drop(entry);
    }
    map_free(resolver->entries);
    free(resolver);
}

/* ---- Addresses ------------------------------------------------------------------------------- */

bool resolver_parse_literal(struct str host, struct resolver_address *ret_address)
{
    char text[INET6_ADDRSTRLEN + 1];
    struct resolver_address address = {0};
    if (!str_copy(host, text, sizeof text))
        return false;
    if (inet_pton(AF_INET, text, &address.v4.sin_addr) == 1) {
        address.v4.sin_family = AF_INET;
        address.length = sizeof address.v4;
    } else if (inet_pton(AF_INET6, text, &address.v6.sin6_addr) == 1) {
        address.v6.sin6_family = AF_INET6;
        address.length = sizeof address.v6;
    } else {
        return false;
    }
    *ret_address = address;
    return true;
}

bool resolver_unix_address(struct str path, struct resolver_address *ret_address)
{
    struct resolver_address address = {0};
    if (path.len == 0 || path.len >= sizeof address.local.sun_path ||
        str_find_char(path, '\0') != SIZE_MAX)
        return false;
    address.local.sun_family = AF_UNIX;
    memcpy(address.local.sun_path, path.data, path.len);
    address.length = sizeof address.local;
    *ret_address = address;
    return true;
}

void resolver_interleave(struct resolver_addresses *addresses)
{
    const struct resolver_addresses from = *addresses;
    bool taken[RESOLVER_ADDRESSES_MAX] = {false};
    int family = from.count ? from.items[0].any.sa_family : AF_UNSPEC;
    for (size_t out = 0; out < from.count; out++) {
        size_t pick = SIZE_MAX;
        for (size_t i = from.count; i-- > 0;)
            if (!taken[i] && (pick == SIZE_MAX || from.items[i].any.sa_family == family ||
                              from.items[pick].any.sa_family != family))
                pick = i;
        taken[pick] = true;
        addresses->items[out] = from.items[pick];
        family = from.items[pick].any.sa_family == AF_INET6 ? AF_INET : AF_INET6;
    }
}

static void set_port(struct resolver_address *address, uint16_t port)
{
    if (address->any.sa_family == AF_INET)
        address->v4.sin_port = htons(port);
    else if (address->any.sa_family == AF_INET6)
        address->v6.sin6_port = htons(port);
}

static void take_addresses(struct resolver_addresses *addresses, const struct addrinfo *info)
{
    addresses->count = 0;
    for (; info && addresses->count < RESOLVER_ADDRESSES_MAX; info = info->ai_next) {
        struct resolver_address *address = &addresses->items[addresses->count];
        if ((info->ai_family != AF_INET && info->ai_family != AF_INET6) ||
            info->ai_addrlen > sizeof address->v6)
            continue;
        *address = (struct resolver_address){.length = info->ai_addrlen};
        memcpy(&address->any, info->ai_addr, info->ai_addrlen);
        addresses->count++;
    }
    resolver_interleave(addresses);
}

/* ---- Answers --------------------------------------------------------------------------------- */

static void answer(struct resolver_query *query, const struct resolver_addresses *addresses,
                   const struct error *error)
{
    if (error) {
        query->on_done(query->user, NULL, error);
        return;
    }
    struct resolver_addresses copy = *addresses;
    for (size_t i = 0; i < copy.count; i++)
        set_port(&copy.items[i], query->port);
    query->on_done(query->user, &copy, NULL);
}

static void answer_literal(void *user)
{
    struct resolver_query *query = user;
    struct resolver_addresses addresses = {.count = 1};
    addresses.items[0] = query->literal;
    answer(query, &addresses, NULL);
}

/* Answers those who wait now; who asks the same from inside an answer waits for the next turn of
 * the queue. Answers may cancel one another. */
static void answer_waiting(void *user)
{
    struct entry *entry = user;
    struct list waiting;
    list_init(&waiting);
    while (!list_is_empty(&entry->waiting)) {
        struct list *link = entry->waiting.next;
        list_remove(link);
        list_append(&waiting, link);
    }
    struct error error = entry->error;
    struct resolver_addresses addresses = entry->addresses;
    if (error.code != ERR_OK)
        entry_drop(entry);
    while (!list_is_empty(&waiting)) {
        struct resolver_query *query = LIST_ENTRY(waiting.next, struct resolver_query, link);
        list_remove(&query->link);
        answer(query, &addresses, error.code != ERR_OK ? &error : NULL);
    }
}

static void on_resolved(uv_getaddrinfo_t *request, int status, struct addrinfo *info)
{
    struct entry *entry = request->data;
    entry->looking_up = false;
    if (!entry->resolver) {
        free(entry);
    } else {
        take_addresses(&entry->addresses, info);
        entry->expires_ms = loop_now_ms(entry->resolver->loop) + entry->resolver->lifetime_ms;
        if (status != 0 || entry->addresses.count == 0)
            (void)error_set(&entry->error, ERR_NETWORK, NULL, "the name cannot be resolved: %s",
                            status ? uv_strerror(status) : "it has no address");
        answer_waiting(entry);
    }
    uv_freeaddrinfo(info);
}

/* ---- Questions ------------------------------------------------------------------------------- */

static bool entry_is_busy(const struct entry *entry)
{
    return entry->looking_up || entry->pinned || !list_is_empty(&entry->waiting);
}

/* Makes room for one more; false when everything there is in use. */
static bool make_room(struct resolver *resolver)
{
    if (map_count(resolver->entries) < ENTRIES_MAX)
        return true;
    LIST_EACH (&resolver->by_age, link) {
        struct entry *entry = LIST_ENTRY(link, struct entry, by_age);
        if (!entry_is_busy(entry)) {
            entry_drop(entry);
            return true;
        }
    }
    return false;
}

/* The entry of that name, made when absent; NULL when the name is too long or there is no room. */
static struct entry *find_entry(struct resolver *resolver, struct str host)
{
    struct entry *entry = map_get(resolver->entries, host);
    if (entry)
        return entry;
    if (host.len > HOST_BYTES_MAX || !make_room(resolver))
        return NULL;
    entry = calloc(1, sizeof *entry);
    ASSERT(entry);
    entry->resolver = resolver;
    entry->request.data = entry;
    str_copy(host, entry->host, sizeof entry->host);
    list_init(&entry->waiting);
    list_append(&resolver->by_age, &entry->by_age);
    map_set(resolver->entries, host, entry);
    return entry;
}

/* Begins the look-up, or has the known answer delivered. */
static void entry_ask(struct entry *entry)
{
    /* No AI_ADDRCONFIG: it hides "localhost" on a machine that has no other address, and an
     * address of a family without a route fails at once anyway. */
    static const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
    struct loop *loop = entry->resolver->loop;
    if (entry->looking_up)
        return;
    if (entry->addresses.count && (entry->pinned || loop_now_ms(loop) < entry->expires_ms)) {
        loop_defer(loop, &entry->task, answer_waiting, entry);
        return;
    }
    int status =
        uv_getaddrinfo(loop_uv(loop), &entry->request, on_resolved, entry->host, NULL, &hints);
    entry->looking_up = status == 0;
    if (status == 0)
        return;
    (void)error_set(&entry->error, ERR_NETWORK, NULL, "the name cannot be resolved: %s",
                    uv_strerror(status));
    loop_defer(loop, &entry->task, answer_waiting, entry);
}

static void answer_no_room(void *user)
{
    struct error error = {0};
    (void)error_set(&error, ERR_NETWORK, NULL, "the name cannot be resolved: too many names");
    answer(user, NULL, &error);
}

void resolver_start(struct resolver *resolver, struct resolver_query *query, struct str host,
                    uint16_t port, resolver_done_fn *on_done, void *user)
{
    *query = (struct resolver_query){.port = port, .on_done = on_done, .user = user};
    struct entry *pinned = map_get(resolver->entries, host);
    if (!pinned && resolver_parse_literal(host, &query->literal)) {
        loop_defer(resolver->loop, &query->task, answer_literal, query);
        return;
    }
    struct entry *entry = find_entry(resolver, host);
    if (!entry) {
        loop_defer(resolver->loop, &query->task, answer_no_room, query);
        return;
    }
    list_append(&entry->waiting, &query->link);
    entry_ask(entry);
}

void resolver_cancel(struct resolver_query *query)
{
    list_remove(&query->link);
    loop_task_cancel(&query->task);
}

void resolver_pin(struct resolver *resolver, struct str host,
                  const struct resolver_addresses *addresses)
{
    struct entry *entry = find_entry(resolver, host);
    ASSERT(entry && !entry->looking_up && addresses->count);
    entry->addresses = *addresses;
    entry->pinned = true;
}
