/* Names of models. A wrong match would charge one model's price for another, so only what is known
 * to leave a model the same may differ. */
#include "llm/names.h"

/* Ways to write a date, longest first. C: the century, 20; Y, M, D: two digits each. */
static const char *const date_shapes[] = {"CY-M-D", "CYMD", "M-CY", "M-D", "MD", "YM"};

/* Whether two digits are what stands for `letter` in a shape. */
static bool is_date_part(char letter, int number)
{
    switch (letter) {
    case 'C':
        return number == 20;
    case 'Y':
        return number >= 20 && number <= 49;
    case 'M':
        return number >= 1 && number <= 12;
    default:
        return number >= 1 && number <= 31;
    }
}

/* How many bytes at the front of `text` have that shape; 0: none. */
static size_t date_length(struct str text, const char *shape)
{
    size_t at = 0;
    for (; *shape; shape++) {
        if (*shape == '-') {
            if (at >= text.len || text.data[at] != '-')
                return 0;
            at++;
            continue;
        }
        uint64_t number;
        if (at + 2 > text.len || !str_to_u64(str_slice(text, at, 2), &number) ||
            !is_date_part(*shape, (int)number))
            return 0;
        at += 2;
    }
    return at;
}

static bool begins_suffix(struct str text)
{
    return text.len == 0 || text.data[0] == '-' || text.data[0] == '@' || text.data[0] == ':';
}

/* Takes a date or one of the words that leave a model the same off the front of *text. */
static bool take_suffix(struct str *text)
{
    static const char *const words[] = {"latest", "preview", "default"};
    for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
        struct str word = str_from_cstr(words[i]);
        struct str rest = str_skip(*text, word.len);
        if (str_starts_with(*text, word) && begins_suffix(rest)) {
            *text = rest;
            return true;
        }
    }
    for (size_t i = 0; i < sizeof date_shapes / sizeof date_shapes[0]; i++) {
        size_t length = date_length(*text, date_shapes[i]);
        struct str rest = str_skip(*text, length);
        if (length && begins_suffix(rest)) {
            *text = rest;
            return true;
        }
    }
    return false;
}

/* What stands behind a known name: nothing, or suffixes and then perhaps a tag. */
static bool is_suffixes(struct str rest)
{
    while (rest.len) {
        char separator = rest.data[0];
        rest = str_skip(rest, 1);
        if (separator == ':')
            return rest.len > 0;
        if ((separator != '-' && separator != '@') || !take_suffix(&rest))
            return false;
    }
    return true;
}

static char unify(char c)
{
    return c == '.' ? '-' : c;
}

static bool is_similar(struct str model, struct str known)
{
    if (model.len < known.len)
        return false;
    for (size_t i = 0; i < known.len; i++)
        if (unify(model.data[i]) != unify(known.data[i]))
            return false;
    return is_suffixes(str_skip(model, known.len));
}

enum llm_name_match llm_name_match(struct str model, struct str known)
{
    if (str_eq(model, known))
        return LLM_NAME_SAME;
    if (is_similar(model, known))
        return LLM_NAME_SIMILAR;
    size_t slash = str_find_char(model, '/');
    if (slash == SIZE_MAX)
        return LLM_NAME_OTHER;
    return is_similar(str_skip(model, slash + 1), known) ? LLM_NAME_SIMILAR : LLM_NAME_OTHER;
}

struct llm_name_firsts llm_name_firsts(struct str model)
{
    size_t slash = str_find_char(model, '/');
    bool has_behind = slash != SIZE_MAX && slash + 1 < model.len;
    return (struct llm_name_firsts){model.len ? model.data[0] : '\0',
                                    has_behind ? model.data[slash + 1] : '\0'};
}
