/* Eliza's conversation. A message is cut into clauses, a clause into words; the keyword of the
 * highest rank whose pattern fits makes the answer; without one the memory speaks, or a phrase that
 * always fits. Everything is bounded (words, clauses, steps of matching), and the state is nothing
 * but the conversation itself, replayed. */
#include "llm/eliza.h"

#include <ctype.h>
#include <string.h>

#include "base/assert.h"
#include "base/buf.h"
#include "base/utf8.h"
#include "base/vec.h"
#include "llm/eliza_rules.h"

enum {
    CLAUSES_MAX = 32,
    CLAUSE_WORDS_MAX = 64,
    WORD_BYTES_MAX = 40,
    ECHO_WORDS_MAX = 20,
    HITS_MAX = 64,
    MEMORY_MAX = 8,
    STEPS_MAX = 5000,
    USES_MAX = 8, /* how often a key may hand over to another */
    SLOTS_MAX = 9,
    RULES_BYTES_MAX = 4 * 1024 * 1024
};

/* ---- Reading --------------------------------------------------------------------------------- */

struct word {
    struct str text; /* as it was typed */
    struct str low;
};

struct clause {
    struct word words[CLAUSE_WORDS_MAX];
    size_t count;
};

struct sentence {
    struct clause *clauses[CLAUSES_MAX];
    size_t count;
    bool has_latin;
    bool has_other; /* letters of other scripts */
};

enum letter { LETTER, SPACE, BORDER };

static enum letter classify_ascii(char c)
{
    if (isalnum((unsigned char)c) || c == '\'' || c == '-')
        return LETTER;
    return c && strchr(".,!?;:\n()", c) ? BORDER : SPACE;
}

static bool is_punctuation(struct str character)
{
    return str_starts_with(character, STR("\xE2\x80")) ||
           str_starts_with(character, STR("\xE3\x80")) || str_starts_with(character, STR("\xC2")) ||
           str_starts_with(character, STR("\xEF\xBC"));
}

static enum letter classify(struct sentence *sentence, struct str character)
{
    if (character.len == 1) {
        sentence->has_latin = sentence->has_latin || isalpha((unsigned char)character.data[0]);
        return classify_ascii(character.data[0]);
    }
    if (is_punctuation(character))
        return BORDER;
    bool latin = character.len == 2 && (unsigned char)character.data[0] <= 0xC9;
    sentence->has_latin = sentence->has_latin || latin;
    sentence->has_other = sentence->has_other || !latin;
    return LETTER;
}

static struct word make_word(struct arena *arena, struct str text)
{
    text = str_slice(text, 0, utf8_cut(text, WORD_BYTES_MAX));
    char *low = arena_cstr(arena, text);
    for (size_t i = 0; i < text.len; i++)
        if (low[i] >= 'A' && low[i] <= 'Z')
            low[i] = (char)(low[i] + ('a' - 'A'));
    return (struct word){arena_str(arena, text), STR_FROM(low, text.len)};
}

static void add_word(struct clause *clause, struct word word)
{
    if (clause->count < CLAUSE_WORDS_MAX && word.low.len)
        clause->words[clause->count++] = word;
}

/* Writes the words of `to` where `from` stood, in the case that they have in the rules. */
static void add_all(struct arena *arena, struct clause *clause, const struct eliza_words *words)
{
    for (size_t i = 0; i < words->count; i++)
        add_word(clause, make_word(arena, words->items[i]));
}

/* The first swap that fits the words at `at`; ends at `end`. */
static const struct eliza_swap *find_swap(const struct eliza_swap *swaps, size_t count,
                                          const struct word *words, size_t at, size_t end)
{
    for (size_t i = 0; i < count; i++) {
        const struct eliza_words *from = &swaps[i].from;
        size_t same = 0;
        if (from->count > end - at || (swaps[i].at_end && at + from->count != end))
            continue;
        while (same < from->count && str_eq(from->items[same], words[at + same].low))
            same++;
        if (same == from->count)
            return &swaps[i];
    }
    return NULL;
}

static struct clause *read_clause(struct arena *arena, const struct eliza_rules *rules,
                                  const struct clause *typed)
{
    struct clause *clause = ARENA_NEW(arena, struct clause);
    for (size_t i = 0; i < typed->count;) {
        const struct eliza_swap *swap =
            find_swap(rules->reads, rules->read_count, typed->words, i, typed->count);
        if (swap)
            add_all(arena, clause, &swap->to);
        else
            add_word(clause, typed->words[i]);
        i += swap ? swap->from.count : 1;
    }
    return clause;
}

static void end_clause(struct arena *arena, const struct eliza_rules *rules,
                       struct sentence *sentence, struct clause *typed)
{
    if (typed->count && sentence->count < CLAUSES_MAX) {
        struct clause *clause = read_clause(arena, rules, typed);
        if (clause->count)
            sentence->clauses[sentence->count++] = clause;
    }
    typed->count = 0;
}

/* What people's keyboards make of an apostrophe is one here; what is not UTF-8 is a space. */
static struct str normalise(struct arena *arena, struct str text)
{
    char *clean = arena_alloc(arena, text.len + 1);
    size_t len = 0;
    for (size_t at = 0; at < text.len;) {
        size_t length = utf8_length_at(text, at);
        struct str character = str_slice(text, at, length);
        if (!length)
            character = STR(" ");
        else if (str_eq(character, STR("\xE2\x80\x99")))
            character = STR("'");
        memcpy(clean + len, character.data, character.len);
        len += character.len;
        at += length ? length : 1;
    }
    return STR_FROM(clean, len);
}

static void read_sentence(struct arena *arena, const struct eliza_rules *rules, struct str text,
                          struct sentence *sentence)
{
    struct clause typed = {.count = 0};
    size_t begin = 0;
    for (size_t at = 0; at <= text.len;) {
        size_t length = at < text.len ? utf8_length_at(text, at) : 1;
        enum letter letter =
            at < text.len ? classify(sentence, str_slice(text, at, length)) : BORDER;
        if (letter != LETTER) {
            if (at > begin)
                add_word(&typed, make_word(arena, str_slice(text, begin, at - begin)));
            begin = at + length;
        }
        if (letter == BORDER)
            end_clause(arena, rules, sentence, &typed);
        at += length;
    }
}

/* ---- Matching -------------------------------------------------------------------------------- */

struct slot {
    size_t from;
    size_t count;
};

struct matcher {
    const struct eliza_pattern *pattern;
    const struct clause *clause;
    struct slot slots[ELIZA_ELEMENTS_MAX];
    size_t steps;
};

static bool in_group(const struct eliza_group *group, struct str word)
{
    for (size_t i = 0; i < group->words.count; i++)
        if (str_eq(group->words.items[i], word))
            return true;
    return false;
}

/* Whether the elements from `element` on, whose slots begin at `slot`, take all words from `at`
 * on. As deep as a pattern is long. */
static bool match_from(struct matcher *matcher, size_t element, size_t slot, size_t at)
{
    const struct eliza_pattern *pattern = matcher->pattern;
    const struct clause *clause = matcher->clause;
    if (++matcher->steps > STEPS_MAX)
        return false;
    if (element == pattern->element_count)
        return at == clause->count;
    const struct eliza_element *wanted = &pattern->elements[element];
    size_t left = clause->count - at;
    if (wanted->kind == ELIZA_WORD)
        return left && str_eq(wanted->word, clause->words[at].low) &&
               match_from(matcher, element + 1, slot, at + 1);
    if (wanted->kind == ELIZA_GROUP) {
        matcher->slots[slot] = (struct slot){at, 1};
        return left && in_group(wanted->group, clause->words[at].low) &&
               match_from(matcher, element + 1, slot + 1, at + 1);
    }
    bool is_last = element + 1 == pattern->element_count;
    size_t least = wanted->kind == ELIZA_SOME ? 1 : 0;
    for (size_t take = is_last && left > least ? left : least; take <= left; take++) {
        matcher->slots[slot] = (struct slot){at, take};
        if (match_from(matcher, element + 1, slot + 1, at + take))
            return true;
    }
    return false;
}

/* ---- Answering ------------------------------------------------------------------------------- */

struct talk {
    struct arena *arena;
    const struct eliza_rules *rules;
    size_t *said; /* by pattern: how often */
    size_t offset;
    struct str memory[MEMORY_MAX];
    size_t memory_count;
    struct str last;
};

static void echo(const struct talk *talk, const struct clause *clause, struct slot slot,
                 struct buf *out)
{
    const struct eliza_rules *rules = talk->rules;
    size_t end = slot.from + (slot.count < ECHO_WORDS_MAX ? slot.count : ECHO_WORDS_MAX);
    struct clause reflected = {.count = 0};
    for (size_t i = slot.from; i < end;) {
        const struct eliza_swap *swap =
            find_swap(rules->reflects, rules->reflect_count, clause->words, i, end);
        if (swap)
            add_all(talk->arena, &reflected, &swap->to);
        else
            add_word(&reflected, clause->words[i]);
        i += swap ? swap->from.count : 1;
    }
    for (size_t i = 0; i < reflected.count; i++) {
        if (i)
            buf_append_char(out, ' ');
        buf_append(out, reflected.words[i].text);
    }
}

static struct str compose(const struct talk *talk, struct str text, const struct clause *clause,
                          const struct slot *slots)
{
    struct buf out;
    buf_init(&out, ELIZA_ANSWER_BYTES_MAX);
    while (text.len) {
        size_t at = str_find_char(text, '$');
        buf_append(&out, str_slice(text, 0, at));
        if (at == SIZE_MAX)
            break;
        if (clause)
            echo(talk, clause, slots[text.data[at + 1] - '1'], &out);
        text = str_skip(text, at + 2);
    }
    if (out.len && out.data[0] >= 'a' && out.data[0] <= 'z')
        out.data[0] = (char)(out.data[0] - ('a' - 'A'));
    struct str answer = arena_str(talk->arena, out.len ? buf_str(&out) : STR("Go on."));
    buf_done(&out);
    return answer;
}

/* The answers of a pattern take turns. */
static struct str next_say(struct talk *talk, const struct eliza_pattern *pattern)
{
    size_t turn = talk->offset + talk->said[pattern->number]++;
    return pattern->says[turn % pattern->say_count];
}

static struct str say_special(struct talk *talk, const char *name)
{
    const struct eliza_key *key = eliza_rules_key(talk->rules, str_from_cstr(name));
    return compose(talk, next_say(talk, key->patterns[0]), NULL, NULL);
}

static void remember(struct talk *talk, struct str text)
{
    if (talk->memory_count < MEMORY_MAX)
        talk->memory[talk->memory_count++] = text;
}

static struct str say_from_memory(struct talk *talk)
{
    if (!talk->memory_count)
        return say_special(talk, "*fallback");
    struct str text = talk->memory[0];
    memmove(talk->memory, talk->memory + 1, --talk->memory_count * sizeof *talk->memory);
    return text;
}

/* What the key makes of the clause, or STR_NONE. */
static struct str try_key(struct talk *talk, const struct eliza_key *key,
                          const struct clause *clause)
{
    for (size_t uses = 0; key && uses < USES_MAX; uses++) {
        struct matcher matcher = {.clause = clause};
        size_t i = 0;
        for (; i < key->pattern_count; i++) {
            matcher.pattern = key->patterns[i];
            matcher.steps = 0;
            if (match_from(&matcher, 0, 0, 0))
                break;
        }
        if (i == key->pattern_count)
            return STR_NONE;
        const struct eliza_pattern *pattern = key->patterns[i];
        if (pattern->recall.len)
            remember(talk, compose(talk, pattern->recall, clause, matcher.slots));
        if (!pattern->to)
            return compose(talk, next_say(talk, pattern), clause, matcher.slots);
        key = pattern->to;
    }
    return STR_NONE;
}

struct hit {
    const struct eliza_key *key;
    const struct clause *clause;
};

/* All keywords of the sentence, the highest rank first, else in the order they stand. */
static size_t find_hits(const struct talk *talk, const struct sentence *sentence,
                        struct hit hits[HITS_MAX])
{
    size_t count = 0;
    for (size_t c = 0; c < sentence->count; c++) {
        const struct clause *clause = sentence->clauses[c];
        for (size_t w = 0; w < clause->count && count < HITS_MAX; w++) {
            const struct eliza_key *key = eliza_rules_key(talk->rules, clause->words[w].low);
            if (!key)
                continue;
            size_t at = count++;
            for (; at > 0 && hits[at - 1].key->rank < key->rank; at--)
                hits[at] = hits[at - 1];
            hits[at] = (struct hit){key, clause};
        }
    }
    return count;
}

static struct str respond(struct talk *talk, struct str text, bool has_files)
{
    struct sentence sentence = {.count = 0};
    struct hit hits[HITS_MAX];
    text = str_trim(text);
    if (!text.len)
        return say_special(talk, has_files ? "*blind" : "*open");
    bool is_again = str_eq(text, talk->last);
    talk->last = text;
    if (is_again)
        return say_special(talk, "*again");
    read_sentence(talk->arena, talk->rules, text, &sentence);
    if (sentence.has_other && !sentence.has_latin)
        return say_special(talk, "*foreign");
    size_t count = find_hits(talk, &sentence, hits);
    for (size_t i = 0; i < count; i++) {
        struct str answer = try_key(talk, hits[i].key, hits[i].clause);
        if (answer.len)
            return answer;
    }
    return say_from_memory(talk);
}

/* ---- The conversation ------------------------------------------------------------------------ */

static struct str typed_text(struct arena *arena, const struct llm_message *message,
                             bool *ret_has_files)
{
    struct buf text;
    buf_init(&text, 4 * ELIZA_MESSAGE_BYTES_MAX);
    *ret_has_files = false;
    for (size_t i = 0; i < message->part_count; i++) {
        const struct llm_part *part = &message->parts[i];
        bool is_typed = part->kind == LLM_PART_TEXT && part->origin == LLM_ORIGIN_TYPED;
        *ret_has_files = *ret_has_files || !is_typed;
        if (!is_typed || text.len > ELIZA_MESSAGE_BYTES_MAX)
            continue;
        if (text.len)
            buf_append_char(&text, '\n');
        buf_append(&text, str_slice(part->text, 0, utf8_cut(part->text, ELIZA_MESSAGE_BYTES_MAX)));
    }
    struct str all = buf_str(&text);
    struct str clean = normalise(arena, str_slice(all, 0, utf8_cut(all, ELIZA_MESSAGE_BYTES_MAX)));
    buf_done(&text);
    return clean;
}

/* Where the user's last turns begin. */
static size_t find_begin(const struct llm_request *request)
{
    size_t turns = 0;
    size_t at = request->message_count;
    while (at > 0 && turns < ELIZA_TURNS_MAX)
        turns += request->messages[--at].role == LLM_USER;
    return at;
}

void eliza_answer_with(struct arena *arena, const struct eliza_rules *rules,
                       const struct llm_request *request, struct str *ret_text)
{
    struct arena *scratch = arena_new(RULES_BYTES_MAX);
    struct talk talk = {.arena = scratch, .rules = rules};
    struct str answer = STR_NONE;
    talk.said = ARENA_NEW_ARRAY(scratch, rules->pattern_count, size_t);
    for (size_t i = find_begin(request); i < request->message_count; i++) {
        bool has_files;
        if (request->messages[i].role != LLM_USER)
            continue;
        struct str text = typed_text(scratch, &request->messages[i], &has_files);
        if (!answer.len)
            talk.offset = (size_t)(str_hash(text) % 1000);
        answer = respond(&talk, text, has_files);
    }
    if (!answer.len)
        answer = say_special(&talk, "*open");
    *ret_text = arena_str(arena, answer);
    arena_free(scratch);
}

void eliza_answer(struct arena *arena, const struct llm_request *request, struct str *ret_text)
{
    struct arena *scratch = arena_new(RULES_BYTES_MAX);
    struct eliza_rules rules;
    enum err err = eliza_rules_parse(scratch, eliza_rules_builtin(), &rules, NULL);
    ASSERT(err == ERR_OK); /* tested */
    eliza_answer_with(arena, &rules, request, ret_text);
    arena_free(scratch);
}

/* ---- Pieces ---------------------------------------------------------------------------------- */

void eliza_pieces_init(struct eliza_pieces *pieces, struct str text)
{
    pieces->rest = text;
}

static bool is_white(char c)
{
    return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

bool eliza_pieces_next(struct eliza_pieces *pieces, struct str *ret_piece)
{
    struct str rest = pieces->rest;
    size_t end = 0;
    if (!rest.len)
        return false;
    while (end < rest.len && !is_white(rest.data[end]))
        end++;
    while (end < rest.len && is_white(rest.data[end]))
        end++;
    *ret_piece = str_slice(rest, 0, end);
    pieces->rest = str_skip(rest, end);
    return true;
}
