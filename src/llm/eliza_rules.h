/* The rules of Eliza, parsed. Internal to eliza.c, its tests and its fuzzer.
 *
 * A rules file is lines of UTF-8 text; blank ones and those that begin with # are skipped:
 *
 *   read WORDS = WORDS        what is read is replaced so, before anything else ("dont = do not")
 *   reflect WORDS = WORDS     what is echoed is replaced so; the first line that fits counts;
 *                             a $ as the last word on the left means: at the end of the echo
 *   group NAME = WORD...      words that stand for each other
 *   key WORD RANK             begins what to do about a word (rank 0 to 100, the higher goes first)
 *   match ELEMENT...          a pattern for the sentence: words, * (any words, or none), + (one
 *                             word or more), @NAME (one word of a group)
 *   say TEXT                  an answer to the pattern above it; $1 to $9 are what the pattern's
 *                             wildcards and groups took, reflected
 *   recall TEXT               is remembered when the pattern is met, and said when nothing fits
 *   use WORD                  instead of answers: go on with that key
 *
 * Keys with special names: *fallback, *open (nothing was said), *blind (only files were sent),
 * *foreign (no Latin letters) and *again (the same was said twice); these must be there. */
#pragma once

#include "base/arena.h"
#include "base/err.h"
#include "base/str.h"
#include "llm/request.h"

enum { ELIZA_ELEMENTS_MAX = 16, ELIZA_WILDCARDS_MAX = 4 };

struct eliza_words {
    struct str *items;
    size_t count;
};

/* `read` and `reflect`. */
struct eliza_swap {
    struct eliza_words from;
    struct eliza_words to;
    bool at_end;
};

struct eliza_group {
    struct str name;
    struct eliza_words words;
};

enum eliza_element_kind { ELIZA_WORD, ELIZA_ANY, ELIZA_SOME, ELIZA_GROUP };

struct eliza_element {
    enum eliza_element_kind kind;
    struct str word;
    const struct eliza_group *group;
};

struct eliza_pattern {
    struct eliza_element elements[ELIZA_ELEMENTS_MAX];
    size_t element_count;
    size_t slot_count; /* wildcards and groups: what $1.. may name */
    size_t number;     /* among all patterns, for counting */
    struct str *says;
    size_t say_count, say_capacity;
    struct str recall;          /* or empty */
    struct str use;             /* or empty */
    const struct eliza_key *to; /* of use */
    int line;
};

struct eliza_key {
    struct str word;
    int rank;
    struct eliza_pattern **patterns;
    size_t pattern_count, pattern_capacity;
    int line;
};

struct eliza_rules {
    struct arena *arena;
    struct eliza_swap *reads;
    size_t read_count, read_capacity;
    struct eliza_swap *reflects;
    size_t reflect_count, reflect_capacity;
    struct eliza_group **groups;
    size_t group_count, group_capacity;
    struct eliza_key **keys;
    size_t key_count, key_capacity;
    size_t pattern_count;
};

/* Parses `text` (borrowed: the rules are views into it). ERR_INVALID: error->field is
 * "line N", error->message what is wrong there. */
MUST_USE enum err eliza_rules_parse(struct arena *arena, struct str text,
                                    struct eliza_rules *ret_rules, struct error *error);
/* The built-in ones. */
struct str eliza_rules_builtin(void);
/* The key of a word, or NULL. */
const struct eliza_key *eliza_rules_key(const struct eliza_rules *rules, struct str word);
/* As eliza_answer, with rules of one's own. */
void eliza_answer_with(struct arena *arena, const struct eliza_rules *rules,
                       const struct llm_request *request, struct str *ret_text);
