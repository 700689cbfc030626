/* Model names to behaviours: one table of words, `#` standing for a number. Pure. */
#include "behaviour.h"

#include <string.h>

enum {
    NUMBERS_MAX = 3,
    EVENTS_MAX = 100000,
    MIB = 1024 * 1024,
    EVENT_BYTES_MAX = MIB,
    STREAM_BYTES_MAX = 32 * MIB,
    NUMBER_MAX = 100000000,
    PLACES_STEP = 7919 /* a prime: places come in a mixed order, each of them once a round */
};

/* Which part of the behaviour a word sets, and so where its numbers go. */
enum part { PART_CONTENT, PART_PACE, PART_ENDING, PART_ANSWER, PART_NUMBER, PART_FLAG };

struct word {
    const char *pattern;
    enum part part;
    size_t value;          /* of the part's enumeration; of a number or a flag: where it goes */
    const char *recording; /* CONTENT_RECORDING and ANSWER_ERROR */
    enum pace pace;        /* of a content */
    size_t count, bytes;   /* of a content without numbers */
};

#define AT(field) offsetof(struct behaviour, field)

static const struct word words[] = {
    {"echo", PART_CONTENT, CONTENT_ECHO, NULL, PACE_TURN, 0, 0},
    {"count-#", PART_CONTENT, CONTENT_COUNT, NULL, PACE_TURN, 0, 0},
    {"big", PART_CONTENT, CONTENT_FIXED, NULL, PACE_TURN, 1, MIB},
    {"big-16", PART_CONTENT, CONTENT_FIXED, NULL, PACE_TURN, 1, 16 * MIB},
    {"unicode", PART_CONTENT, CONTENT_UNICODE, NULL, PACE_TURN, 0, 0},
    {"tools", PART_CONTENT, CONTENT_RECORDING, "tools", PACE_TURN, 0, 0},
    {"tools-interleaved", PART_CONTENT, CONTENT_RECORDING, "tools-interleaved", PACE_TURN, 0, 0},
    {"filtered", PART_CONTENT, CONTENT_RECORDING, "filtered", PACE_TURN, 0, 0},
    {"reasoning", PART_CONTENT, CONTENT_RECORDING, "reasoning", PACE_TURN, 0, 0},
    {"burst-#x#", PART_CONTENT, CONTENT_FIXED, NULL, PACE_BURST, 0, 0},
    {"paced-#x#-#", PART_CONTENT, CONTENT_FIXED, NULL, PACE_TIMED, 0, 0},
    {"slow-#", PART_PACE, PACE_TIMED, NULL, 0, 0, 0},
    {"burst", PART_PACE, PACE_BURST, NULL, 0, 0, 0},
    {"delay-#", PART_NUMBER, AT(delay_ms), NULL, 0, 0, 0},
    {"late-#", PART_NUMBER, AT(late_ms), NULL, 0, 0, 0},
    {"cut-#", PART_ENDING, ENDING_CUT, NULL, 0, 0, 0},
    {"cut-byte-#", PART_ENDING, ENDING_CUT_BYTE, NULL, 0, 0, 0},
    {"cut-byte-each", PART_FLAG, AT(cuts_each), NULL, 0, 0, 0},
    {"reset-#", PART_ENDING, ENDING_RESET, NULL, 0, 0, 0},
    {"stall-#", PART_ENDING, ENDING_STALL, NULL, 0, 0, 0},
    {"no-sentinel", PART_ENDING, ENDING_NO_SENTINEL, NULL, 0, 0, 0},
    {"open-end", PART_ENDING, ENDING_OPEN, NULL, 0, 0, 0},
    {"no-finish", PART_ENDING, ENDING_NO_FINISH, NULL, 0, 0, 0},
    {"error-#", PART_ENDING, ENDING_ERROR, NULL, 0, 0, 0},
    {"endless", PART_ENDING, ENDING_ENDLESS, NULL, 0, 0, 0},
    {"huge-line", PART_ENDING, ENDING_HUGE_LINE, NULL, 0, 0, 0},
    {"pings-#", PART_ENDING, ENDING_PINGS, NULL, 0, 0, 0},
    {"silent", PART_ANSWER, ANSWER_SILENT, NULL, 0, 0, 0},
    {"reset", PART_ANSWER, ANSWER_RESET, NULL, 0, 0, 0},
    {"endless-headers", PART_ANSWER, ANSWER_HEADERS, NULL, 0, 0, 0},
    {"garbage", PART_ANSWER, ANSWER_GARBAGE, NULL, 0, 0, 0},
    {"json-instead-of-stream", PART_ANSWER, ANSWER_JSON, NULL, 0, 0, 0},
    {"400-context", PART_ANSWER, ANSWER_ERROR, "400-context", 0, 0, 0},
    {"400-filtered", PART_ANSWER, ANSWER_ERROR, "400-filtered", 0, 0, 0},
    {"400-invalid", PART_ANSWER, ANSWER_ERROR, "400-invalid", 0, 0, 0},
    {"401", PART_ANSWER, ANSWER_ERROR, "401", 0, 0, 0},
    {"429", PART_ANSWER, ANSWER_ERROR, "429", 0, 0, 0},
    {"429-after-#", PART_ANSWER, ANSWER_ERROR, "429-after", 0, 0, 0},
    {"429-quota", PART_ANSWER, ANSWER_ERROR, "429-quota", 0, 0, 0},
    {"500", PART_ANSWER, ANSWER_ERROR, "500", 0, 0, 0},
    {"503", PART_ANSWER, ANSWER_ERROR, "503", 0, 0, 0},
    {"malformed-#", PART_NUMBER, AT(malformed_at), NULL, 0, 0, 0},
    {"fail-#", PART_NUMBER, AT(fail_first), NULL, 0, 0, 0},
    {"differs-#", PART_NUMBER, AT(differs_at), NULL, 0, 0, 0},
    {"repeats-#", PART_NUMBER, AT(repeats), NULL, 0, 0, 0},
    {"times-#", PART_NUMBER, AT(times), NULL, 0, 0, 0},
    {"for-#", PART_NUMBER, AT(for_ms), NULL, 0, 0, 0},
    {"limits-#-#-#", PART_FLAG, AT(has_limits), NULL, 0, 0, 0},
    {"prefills", PART_FLAG, AT(prefills), NULL, 0, 0, 0},
    {"continues", PART_FLAG, AT(continues), NULL, 0, 0, 0},
    {"rejects-prefill", PART_FLAG, AT(rejects_prefill), NULL, 0, 0, 0},
    {"unicode-split", PART_FLAG, AT(split), NULL, 0, 0, 0},
    {"crlf", PART_FLAG, AT(crlf), NULL, 0, 0, 0},
    {"tag-#", PART_NUMBER, AT(tag), NULL, 0, 0, 0},
};

/* The digits at the start of *text; false when there are none or they are too many. */
static bool take_number(struct str *text, uint64_t *ret)
{
    size_t count = 0;
    while (count < text->len && text->data[count] >= '0' && text->data[count] <= '9')
        count++;
    if (!str_to_u64(str_slice(*text, 0, count), ret) || *ret > NUMBER_MAX)
        return false;
    *text = str_skip(*text, count);
    return true;
}

static bool matches(const char *pattern, struct str text, uint64_t numbers[NUMBERS_MAX])
{
    size_t count = 0;
    for (; *pattern; pattern++) {
        if (*pattern == '#') {
            if (!take_number(&text, &numbers[count++]))
                return false;
        } else {
            if (!text.len || text.data[0] != *pattern)
                return false;
            text = str_skip(text, 1);
        }
    }
    return text.len == 0;
}

static bool set_content(struct behaviour *behaviour, const struct word *word,
                        const uint64_t numbers[NUMBERS_MAX])
{
    behaviour->content = (enum content)word->value;
    behaviour->recording = word->recording;
    behaviour->event_count = word->count ? word->count : (size_t)numbers[0];
    behaviour->event_bytes = word->bytes ? word->bytes : (size_t)numbers[1];
    behaviour->pace = word->pace;
    behaviour->pace_ms = numbers[2];
    return behaviour->event_count <= EVENTS_MAX &&
           (word->bytes || behaviour->event_bytes <= EVENT_BYTES_MAX) &&
           behaviour->event_count * behaviour->event_bytes <= STREAM_BYTES_MAX;
}

static void set_flag(struct behaviour *behaviour, size_t at, const uint64_t numbers[NUMBERS_MAX])
{
    bool value = true;
    memcpy((char *)behaviour + at, &value, sizeof value);
    if (at == AT(has_limits))
        memcpy(behaviour->limits, numbers, sizeof behaviour->limits);
    else if (at == AT(split))
        behaviour->content = CONTENT_UNICODE;
    else if (at == AT(cuts_each))
        behaviour->ending = ENDING_CUT_BYTE;
}

static bool apply(struct behaviour *behaviour, const struct word *word,
                  const uint64_t numbers[NUMBERS_MAX])
{
    switch (word->part) {
    case PART_CONTENT:
        return set_content(behaviour, word, numbers);
    case PART_PACE:
        behaviour->pace = (enum pace)word->value;
        behaviour->pace_ms = numbers[0];
        break;
    case PART_ENDING:
        behaviour->ending = (enum ending)word->value;
        behaviour->ending_at = numbers[0];
        break;
    case PART_ANSWER:
        behaviour->answer = (enum answer)word->value;
        if (word->recording)
            behaviour->recording = word->recording;
        behaviour->retry_after_s = numbers[0];
        break;
    case PART_NUMBER:
        memcpy((char *)behaviour + word->value, &numbers[0], sizeof numbers[0]);
        break;
    case PART_FLAG:
        set_flag(behaviour, word->value, numbers);
        break;
    }
    return true;
}

static bool apply_word(struct behaviour *behaviour, struct str text)
{
    for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
        uint64_t numbers[NUMBERS_MAX] = {0};
        if (matches(words[i].pattern, text, numbers))
            return apply(behaviour, &words[i], numbers);
    }
    return false;
}

/* The words up to the next "then" or the end. */
static bool parse_stage(struct str *name, struct behaviour *ret)
{
    *ret = (struct behaviour){.content = CONTENT_COUNT, .event_count = 20, .times = 1};
    do {
        struct str word = str_next(name, '+');
        if (str_eq(word, STR("then")))
            return name->data != NULL;
        if (!apply_word(ret, word))
            return false;
    } while (name->data);
    return true;
}

static bool is_over(const struct behaviour *stage, struct behaviour_history *left)
{
    if (stage->for_ms)
        return left->first_ms >= stage->for_ms;
    if (left->requests < stage->times)
        return false;
    left->requests -= stage->times;
    return true;
}

/* The name of a family in front of the words is left alone: to Parley it tells what the model can. */
static struct str skip_family(struct str name)
{
    static const char *const families[] = {"claude-",  "deepseek-", "gemini-", "gpt-",
                                           "mistral-", "llama",     "qwen"};
    struct str rest = name;
    struct str family = str_next(&rest, ':');
    for (size_t i = 0; rest.data && i < sizeof families / sizeof *families; i++)
        if (str_starts_with(family, str_from_cstr(families[i])))
            return rest;
    return name;
}

bool behaviour_parse(struct str name, const struct behaviour_history *history,
                     struct behaviour *ret)
{
    struct behaviour stage, chosen = {0};
    struct behaviour_history left = *history;
    bool is_chosen = false;
    if (!name.len)
        return false;
    name = skip_family(name);
    while (name.data) {
        if (!parse_stage(&name, &stage))
            return false;
        if (is_chosen || (name.data && is_over(&stage, &left)))
            continue;
        chosen = stage;
        is_chosen = true;
    }
    if (chosen.cuts_each)
        chosen.ending_at = history->requests * PLACES_STEP;
    *ret = chosen;
    return true;
}
