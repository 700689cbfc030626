/* The setting server.address_keys: read by its check and by the doors. */
#include "account/address_keys.h"

static enum err parse_entry(struct str entry, struct address_key *ret, struct error *error)
{
    struct str rest = entry;
    struct str range = str_trim(str_next(&rest, '='));
    if (address_range_parse(range, &ret->range) && id_parse(str_trim(rest), &ret->key))
        return ERR_OK;
    error_set(error, ERR_INVALID, NULL, "'%.*s' is not an address or network and the id of a key",
              STR_ARG(entry));
    error_remedy(error, "Write it like 10.1.0.0/16=ID, with the id of `parley key list`.");
    return ERR_INVALID;
}

enum err address_keys_parse(struct arena *arena, struct str text, struct address_keys *ret,
                            struct error *error)
{
    struct address_key *items = ARENA_NEW_ARRAY(arena, ADDRESS_KEYS_MAX, struct address_key);
    size_t count = 0;
    while (text.data) {
        struct str entry = str_trim(str_next(&text, ','));
        if (entry.len == 0)
            continue;
        if (count == ADDRESS_KEYS_MAX)
            return error_set(error, ERR_INVALID, NULL, "has more than %d entries",
                             (int)ADDRESS_KEYS_MAX);
        enum err code = parse_entry(entry, &items[count++], error);
        if (code != ERR_OK)
            return code;
    }
    *ret = (struct address_keys){items, count};
    return ERR_OK;
}

const struct id *address_keys_find(const struct address_keys *keys, struct str text)
{
    struct address address;
    if (keys->count == 0 || !address_parse(text, &address))
        return NULL;
    for (size_t i = 0; i < keys->count; i++)
        if (address_range_has(&keys->items[i].range, &address))
            return &keys->items[i].key;
    return NULL;
}
