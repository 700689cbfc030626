/* Identifiers. */
#include "base/id.h"

#include <string.h>

#include "base/random.h"

__extension__ typedef unsigned __int128 uint128;

static const char alphabet[] = "0123456789abcdefghjkmnpqrstvwxyz";

/* -1: not of the alphabet, which leaves out i, l, o and u. */
static int value_of(char c)
{
    static const signed char letters[] = {10, 11, 12, 13, 14, 15, 16, 17, -1, 18, 19, -1, 20,
                                          21, -1, 22, 23, 24, 25, 26, -1, 27, 28, 29, 30, 31};
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'z' ? letters[c - 'a'] : -1;
}

struct id id_new(int64_t wall_ms)
{
    unsigned char bytes[16];
    for (int i = 0; i < 6; i++)
        bytes[i] = (unsigned char)(wall_ms >> (40 - 8 * i));
    random_bytes(bytes + 6, 10);
    uint128 value = 0;
    for (int i = 0; i < 16; i++)
        value = value << 8 | bytes[i];
    struct id id;
    for (int i = ID_LENGTH - 1; i >= 0; i--, value >>= 5)
        id.text[i] = alphabet[(unsigned)value & 31];
    id.text[ID_LENGTH] = '\0';
    return id;
}

bool id_parse(struct str s, struct id *ret)
{
    if (s.len != ID_LENGTH || s.data[0] > '7')
        return false;
    for (size_t i = 0; i < ID_LENGTH; i++)
        if (value_of(s.data[i]) < 0)
            return false;
    memcpy(ret->text, s.data, ID_LENGTH);
    ret->text[ID_LENGTH] = '\0';
    return true;
}

bool id_eq(const struct id *a, const struct id *b)
{
    return memcmp(a->text, b->text, sizeof a->text) == 0;
}

int64_t id_wall_ms(const struct id *id)
{
    int64_t ms = 0; /* the first 10 characters hold 2 zero bits and the 48 bits of time */
    for (int i = 0; i < 10 && id->text[i]; i++)
        ms = ms << 5 | value_of(id->text[i]);
    return ms;
}
