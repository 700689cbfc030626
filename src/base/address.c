/* Addresses and networks for whoever allows or exempts by them: proxies, keys. */
#include "base/address.h"

#include <arpa/inet.h>
#include <string.h>

enum { V4_BITS = 32, V6_BITS = 128, MAPPED_BITS = 96 };

static const unsigned char mapped_prefix[MAPPED_BITS / 8] = {[10] = 0xFF, [11] = 0xFF};

static bool is_mapped(const struct address *address)
{
    return address->bits == V6_BITS &&
           memcmp(address->bytes, mapped_prefix, sizeof mapped_prefix) == 0;
}

static void unmap(struct address *address)
{
    memmove(address->bytes, address->bytes + sizeof mapped_prefix, V4_BITS / 8);
    memset(address->bytes + V4_BITS / 8, 0, sizeof address->bytes - V4_BITS / 8);
    address->bits = V4_BITS;
}

/* As it is written, without unmapping. */
static bool parse_plain(struct str text, struct address *ret)
{
    struct address address = {0};
    char copy[INET6_ADDRSTRLEN + 1];
    if (text.len > 1 && text.data[0] == '[' && text.data[text.len - 1] == ']')
        text = str_slice(text, 1, text.len - 2);
    if (text.len == 0 || memchr(text.data, '\0', text.len) || !str_copy(text, copy, sizeof copy))
        return false;
    if (inet_pton(AF_INET, copy, address.bytes) == 1)
        address.bits = V4_BITS;
    else if (inet_pton(AF_INET6, copy, address.bytes) == 1)
        address.bits = V6_BITS;
    else
        return false;
    *ret = address;
    return true;
}

bool address_parse(struct str text, struct address *ret)
{
    if (!parse_plain(text, ret))
        return false;
    if (is_mapped(ret))
        unmap(ret);
    return true;
}

bool address_range_parse(struct str text, struct address_range *ret)
{
    struct str rest = text;
    struct str before = str_next(&rest, '/');
    struct address_range range = {0};
    uint64_t bits;
    if (!parse_plain(before, &range.network))
        return false;
    bits = range.network.bits;
    if (rest.data && (!str_to_u64(rest, &bits) || bits > range.network.bits))
        return false;
    if (is_mapped(&range.network) && bits >= MAPPED_BITS) {
        unmap(&range.network);
        bits -= MAPPED_BITS;
    }
    range.bits = (unsigned)bits;
    *ret = range;
    return true;
}

bool address_range_has(const struct address_range *range, const struct address *address)
{
    unsigned whole = range->bits / 8, rest = range->bits % 8;
    const unsigned char *a = range->network.bytes, *b = address->bytes;
    if (range->network.bits != address->bits || memcmp(a, b, whole) != 0)
        return false;
    unsigned char mask = (unsigned char)(0xFF00u >> rest);
    return rest == 0 || ((a[whole] ^ b[whole]) & mask) == 0;
}
