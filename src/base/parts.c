/* Parts: part by part, what str does with one. */
#include "base/parts.h"

#include <string.h>

#include "base/assert.h"

size_t parts_len(struct parts parts)
{
    size_t len = 0;
    for (size_t i = 0; i < parts.count; i++)
        len += parts.items[i].len;
    return len;
}

size_t parts_shared_prefix(struct parts parts, struct str text)
{
    size_t shared = 0;
    for (size_t i = 0; i < parts.count; i++) {
        size_t of_this = str_shared_prefix(parts.items[i], str_skip(text, shared));
        shared += of_this;
        if (of_this < parts.items[i].len)
            break;
    }
    return shared;
}

size_t parts_shared_suffix(struct parts parts, struct str text)
{
    size_t shared = 0;
    for (size_t i = parts.count; i > 0; i--) {
        struct str rest = str_slice(text, 0, text.len - shared);
        size_t of_this = str_shared_suffix(parts.items[i - 1], rest);
        shared += of_this;
        if (of_this < parts.items[i - 1].len)
            break;
    }
    return shared;
}

/* The bytes of part `i` from *from on, at most `len`; *from is what is left to skip. */
static struct str take(struct parts parts, size_t i, size_t *from, size_t len)
{
    struct str part = parts.items[i];
    size_t skipped = *from < part.len ? *from : part.len;
    *from -= skipped;
    return str_slice(part, skipped, len);
}

bool parts_have(struct parts parts, size_t at, struct str text)
{
    for (size_t i = 0; i < parts.count && text.len; i++) {
        struct str part = take(parts, i, &at, text.len);
        if (!str_starts_with(text, part))
            return false;
        text = str_skip(text, part.len);
    }
    return text.len == 0;
}

void parts_copy(struct parts parts, size_t from, size_t len, char *to)
{
    for (size_t i = 0; i < parts.count && len; i++) {
        struct str part = take(parts, i, &from, len);
        if (part.len)
            memcpy(to, part.data, part.len);
        to += part.len;
        len -= part.len;
    }
    ASSERT(len == 0);
}
