/* Numbers in bytes, little endian whatever the machine, at any address: for what is kept on disk. */
#pragma once

#include <endian.h>
#include <stdint.h>
#include <string.h>

#include "base/str.h"

static inline void bytes_put_u16(char *at, uint16_t value)
{
    value = htole16(value);
    memcpy(at, &value, sizeof value);
}

static inline void bytes_put_u32(char *at, uint32_t value)
{
    value = htole32(value);
    memcpy(at, &value, sizeof value);
}

static inline void bytes_put_u64(char *at, uint64_t value)
{
    value = htole64(value);
    memcpy(at, &value, sizeof value);
}

static inline uint16_t bytes_get_u16(const char *at)
{
    uint16_t value;
    memcpy(&value, at, sizeof value);
    return le16toh(value);
}

static inline uint32_t bytes_get_u32(const char *at)
{
    uint32_t value;
    memcpy(&value, at, sizeof value);
    return le32toh(value);
}

static inline uint64_t bytes_get_u64(const char *at)
{
    uint64_t value;
    memcpy(&value, at, sizeof value);
    return le64toh(value);
}

/* Takes `length` bytes from the front of *rest; false, and nothing taken, when there are fewer. */
static inline bool bytes_take(struct str *rest, size_t length, struct str *ret)
{
    if (rest->len < length)
        return false;
    *ret = STR_FROM(rest->data, length);
    *rest = str_skip(*rest, length);
    return true;
}
