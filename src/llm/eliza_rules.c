/* Reads Eliza's rules. Each line begins with a directive, each directive has a function. */
#include "llm/eliza_rules.h"

#include <stdio.h>

#include "base/vec.h"

enum { WORDS_MAX = 64, RANK_MAX = 100, LINES_MAX = 20000 };

extern const char eliza_rules_text[];
extern const size_t eliza_rules_text_size;

struct str eliza_rules_builtin(void)
{
    return STR_FROM(eliza_rules_text, eliza_rules_text_size);
}

struct parser {
    struct eliza_rules *rules;
    struct eliza_key *key;
    struct eliza_pattern *pattern;
    struct error *error;
    int line;
};

static enum err refuse(const struct parser *parser, int line, const char *what, struct str detail)
{
    char field[32];
    snprintf(field, sizeof field, "line %d", line);
    (void)parser;
    return error_set(parser->error, ERR_INVALID, field, "%s%s%.*s", what, detail.len ? ": " : "",
                     (int)(detail.len > 60 ? 60 : detail.len), detail.data ? detail.data : "");
}

static enum err refuse_here(const struct parser *parser, const char *what, struct str detail)
{
    return refuse(parser, parser->line, what, detail);
}

/* Cuts the next word off *text; STR_NONE when there is none. */
static struct str next_word(struct str *text)
{
    *text = str_trim(*text);
    size_t end = 0;
    while (end < text->len && text->data[end] != ' ' && text->data[end] != '\t')
        end++;
    struct str word = end ? str_slice(*text, 0, end) : STR_NONE;
    *text = str_skip(*text, end);
    return word;
}

static enum err read_words(struct parser *parser, struct str text, struct eliza_words *ret_words)
{
    size_t capacity = 0;
    struct eliza_words words = {0};
    for (struct str word = next_word(&text); word.data; word = next_word(&text)) {
        if (words.count == WORDS_MAX)
            return refuse_here(parser, "too many words", word);
        *VEC_PUSH(parser->rules->arena, words.items, words.count, capacity) = word;
    }
    *ret_words = words;
    return ERR_OK;
}

/* LEFT = RIGHT */
static enum err read_sides(struct parser *parser, struct str text, struct str *ret_left,
                           struct str *ret_right)
{
    size_t at = str_find(text, STR(" = "));
    if (at == SIZE_MAX || !str_trim(str_slice(text, 0, at)).len)
        return refuse_here(parser, "should be WORDS = WORDS", text);
    *ret_left = str_trim(str_slice(text, 0, at));
    *ret_right = str_trim(str_skip(text, at + 3));
    return ERR_OK;
}

static enum err read_swap(struct parser *parser, struct str text, struct eliza_swap *ret_swap)
{
    struct str left, right;
    struct eliza_swap swap = {0};
    enum err err = read_sides(parser, text, &left, &right);
    if (err == ERR_OK)
        err = read_words(parser, left, &swap.from);
    if (err == ERR_OK)
        err = read_words(parser, right, &swap.to);
    if (err != ERR_OK)
        return err;
    if (swap.from.count > 1 && str_eq(swap.from.items[swap.from.count - 1], STR("$"))) {
        swap.at_end = true;
        swap.from.count--;
    }
    *ret_swap = swap;
    return ERR_OK;
}

static enum err parse_read(struct parser *parser, struct str rest)
{
    struct eliza_rules *rules = parser->rules;
    return read_swap(parser, rest,
                     VEC_PUSH(rules->arena, rules->reads, rules->read_count, rules->read_capacity));
}

static enum err parse_reflect(struct parser *parser, struct str rest)
{
    struct eliza_rules *rules = parser->rules;
    return read_swap(
        parser, rest,
        VEC_PUSH(rules->arena, rules->reflects, rules->reflect_count, rules->reflect_capacity));
}

static const struct eliza_group *find_group(const struct eliza_rules *rules, struct str name)
{
    for (size_t i = 0; i < rules->group_count; i++)
        if (str_eq(rules->groups[i]->name, name))
            return rules->groups[i];
    return NULL;
}

static enum err parse_group(struct parser *parser, struct str rest)
{
    struct eliza_rules *rules = parser->rules;
    struct str name, words;
    struct eliza_group *group = ARENA_NEW(rules->arena, struct eliza_group);
    enum err err = read_sides(parser, rest, &name, &words);
    if (err == ERR_OK)
        err = read_words(parser, words, &group->words);
    if (err != ERR_OK)
        return err;
    if (!group->words.count || find_group(rules, name))
        return refuse_here(parser, "a group needs words and a name of its own", name);
    group->name = name;
    *VEC_PUSH(rules->arena, rules->groups, rules->group_count, rules->group_capacity) = group;
    return ERR_OK;
}

static enum err parse_key(struct parser *parser, struct str rest)
{
    struct eliza_rules *rules = parser->rules;
    struct str word = next_word(&rest);
    int64_t rank = -1;
    if (!word.len || !str_to_i64(str_trim(rest), &rank) || rank < 0 || rank > RANK_MAX)
        return refuse_here(parser, "should be: key WORD RANK, with a rank from 0 to 100", word);
    if (eliza_rules_key(rules, word))
        return refuse_here(parser, "this key is there already", word);
    parser->key = ARENA_NEW(rules->arena, struct eliza_key);
    *parser->key = (struct eliza_key){.word = word, .rank = (int)rank, .line = parser->line};
    parser->pattern = NULL;
    *VEC_PUSH(rules->arena, rules->keys, rules->key_count, rules->key_capacity) = parser->key;
    return ERR_OK;
}

static enum err read_element(struct parser *parser, struct str word, struct eliza_element *element)
{
    *element = (struct eliza_element){.kind = ELIZA_WORD, .word = word};
    if (str_eq(word, STR("*")))
        element->kind = ELIZA_ANY;
    else if (str_eq(word, STR("+")))
        element->kind = ELIZA_SOME;
    if (!str_starts_with(word, STR("@")))
        return ERR_OK;
    element->kind = ELIZA_GROUP;
    element->group = find_group(parser->rules, str_skip(word, 1));
    return element->group ? ERR_OK : refuse_here(parser, "there is no such group", word);
}

static enum err parse_match(struct parser *parser, struct str rest)
{
    if (!parser->key)
        return refuse_here(parser, "a pattern needs a key above it", STR_NONE);
    struct eliza_rules *rules = parser->rules;
    struct eliza_pattern *pattern = ARENA_NEW(rules->arena, struct eliza_pattern);
    size_t wildcards = 0;
    for (struct str word = next_word(&rest); word.data; word = next_word(&rest)) {
        if (pattern->element_count == ELIZA_ELEMENTS_MAX)
            return refuse_here(parser, "the pattern is too long", word);
        struct eliza_element *element = &pattern->elements[pattern->element_count++];
        enum err err = read_element(parser, word, element);
        if (err != ERR_OK)
            return err;
        wildcards += element->kind == ELIZA_ANY || element->kind == ELIZA_SOME;
        pattern->slot_count += element->kind != ELIZA_WORD;
    }
    if (!pattern->element_count || wildcards > ELIZA_WILDCARDS_MAX)
        return refuse_here(parser, "a pattern has 1 to 16 elements, with up to 4 wildcards", rest);
    pattern->line = parser->line;
    pattern->number = rules->pattern_count++;
    parser->pattern = pattern;
    *VEC_PUSH(rules->arena, parser->key->patterns, parser->key->pattern_count,
              parser->key->pattern_capacity) = pattern;
    return ERR_OK;
}

/* Every $ must name something that the pattern takes. */
static enum err check_template(struct parser *parser, struct str text)
{
    if (!parser->pattern)
        return refuse_here(parser, "this needs a pattern above it", STR_NONE);
    if (!text.len)
        return refuse_here(parser, "the text is missing", STR_NONE);
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] != '$')
            continue;
        int slot = i + 1 < text.len ? text.data[i + 1] - '0' : 0;
        if (slot < 1 || slot > 9 || (size_t)slot > parser->pattern->slot_count)
            return refuse_here(parser, "the pattern takes nothing under this number",
                               str_slice(text, i, 2));
    }
    return ERR_OK;
}

static enum err parse_say(struct parser *parser, struct str rest)
{
    enum err err = check_template(parser, rest);
    struct eliza_pattern *pattern = parser->pattern;
    if (err == ERR_OK)
        *VEC_PUSH(parser->rules->arena, pattern->says, pattern->say_count, pattern->say_capacity) =
            rest;
    return err;
}

static enum err parse_recall(struct parser *parser, struct str rest)
{
    enum err err = check_template(parser, rest);
    if (err == ERR_OK)
        parser->pattern->recall = rest;
    return err;
}

static enum err parse_use(struct parser *parser, struct str rest)
{
    enum err err = check_template(parser, rest);
    if (err == ERR_OK)
        parser->pattern->use = next_word(&rest);
    return err;
}

static const struct {
    const char *name;
    enum err (*parse)(struct parser *parser, struct str rest);
} directives[] = {
    {"read", parse_read},     {"reflect", parse_reflect}, {"group", parse_group},
    {"key", parse_key},       {"match", parse_match},     {"say", parse_say},
    {"recall", parse_recall}, {"use", parse_use},
};

static enum err parse_line(struct parser *parser, struct str line)
{
    if (!line.len || line.data[0] == '#')
        return ERR_OK;
    struct str name = next_word(&line);
    for (size_t i = 0; i < sizeof directives / sizeof *directives; i++)
        if (str_eq(name, str_from_cstr(directives[i].name)))
            return directives[i].parse(parser, str_trim(line));
    return refuse_here(parser, "there is no such directive", name);
}

/* ---- When all lines are read ----------------------------------------------------------------- */

const struct eliza_key *eliza_rules_key(const struct eliza_rules *rules, struct str word)
{
    for (size_t i = 0; i < rules->key_count; i++)
        if (str_eq(rules->keys[i]->word, word))
            return rules->keys[i];
    return NULL;
}

static enum err check_key(struct parser *parser, const struct eliza_key *key)
{
    if (!key->pattern_count)
        return refuse(parser, key->line, "the key has no pattern", key->word);
    for (size_t i = 0; i < key->pattern_count; i++) {
        struct eliza_pattern *pattern = key->patterns[i];
        if (!pattern->say_count == !pattern->use.len)
            return refuse(parser, pattern->line, "a pattern has either answers or one use",
                          key->word);
        pattern->to = pattern->use.len ? eliza_rules_key(parser->rules, pattern->use) : NULL;
        if (pattern->use.len && !pattern->to)
            return refuse(parser, pattern->line, "there is no such key", pattern->use);
    }
    return ERR_OK;
}

static enum err check_special(struct parser *parser)
{
    static const char *const names[] = {"*fallback", "*open", "*blind", "*foreign", "*again"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        struct str name = str_from_cstr(names[i]);
        const struct eliza_key *key = eliza_rules_key(parser->rules, name);
        if (!key)
            return refuse(parser, parser->line, "a special key is missing", name);
        if (!key->pattern_count || !key->patterns[0]->say_count ||
            key->patterns[0]->slot_count != 1)
            return refuse(parser, key->line, "a special key has one pattern, *, with answers",
                          name);
    }
    return ERR_OK;
}

enum err eliza_rules_parse(struct arena *arena, struct str text, struct eliza_rules *ret_rules,
                           struct error *error)
{
    struct eliza_rules rules = {.arena = arena};
    struct parser parser = {.rules = &rules, .error = error};
    enum err err = ERR_OK;
    while (text.data && err == ERR_OK) {
        struct str line = str_trim(str_next(&text, '\n'));
        if (++parser.line > LINES_MAX)
            return refuse_here(&parser, "too many lines", STR_NONE);
        err = parse_line(&parser, line);
    }
    for (size_t i = 0; i < rules.key_count && err == ERR_OK; i++)
        err = check_key(&parser, rules.keys[i]);
    if (err == ERR_OK)
        err = check_special(&parser);
    if (err == ERR_OK)
        *ret_rules = rules;
    return err;
}
