/* Eliza: its rules and what is refused in them, conversations, and hostile input. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/buf.h"
#include "base/utf8.h"
#include "llm/eliza.h"
#include "llm/eliza_rules.h"

enum { LINES_MAX = 64 };

/* ---- Conversations --------------------------------------------------------------------------- */

struct conversation {
    struct arena *arena;
    struct llm_message messages[2 * LINES_MAX];
    struct llm_part parts[2 * LINES_MAX];
    size_t count;
};

static void add(struct conversation *conversation, enum llm_role role, struct llm_part part)
{
    size_t at = conversation->count++;
    assert_true(at < 2 * LINES_MAX);
    conversation->parts[at] = part;
    conversation->messages[at] =
        (struct llm_message){.role = role, .parts = &conversation->parts[at], .part_count = 1};
}

static struct str answer(struct conversation *conversation)
{
    struct llm_request request = {.messages = conversation->messages,
                                  .message_count = conversation->count};
    struct str text = STR_NONE;
    eliza_answer(conversation->arena, &request, &text);
    assert_true(text.len > 0 && text.len <= ELIZA_ANSWER_BYTES_MAX);
    assert_true(utf8_valid(text, NULL));
    return text;
}

static struct str say(struct conversation *conversation, struct str text)
{
    add(conversation, LLM_USER, (struct llm_part){.kind = LLM_PART_TEXT, .text = text});
    struct str reply = answer(conversation);
    add(conversation, LLM_ASSISTANT, (struct llm_part){.kind = LLM_PART_TEXT, .text = reply});
    return reply;
}

/* Pairs of lines: what is said, what is answered. */
static void assert_conversation(const char *const *lines)
{
    struct conversation conversation = {.arena = arena_new(1 << 24)};
    for (; lines[0]; lines += 2) {
        struct str reply = say(&conversation, str_from_cstr(lines[0]));
        if (!str_eq(reply, str_from_cstr(lines[1])))
            print_error("> %s\n%.*s\n--- instead of\n%s\n", lines[0], STR_ARG(reply), lines[1]);
        assert_true(str_eq(reply, str_from_cstr(lines[1])));
    }
    arena_free(conversation.arena);
}

static void talks(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "Hello!",
        "Hello. What would you like to talk about?",
        "I'm unhappy because my mother doesn\xE2\x80\x99t listen to me.",
        "What does your mother think of all this?",
        "She always hates you and me",
        "Can you think of an exception?",
        "My father is very strict with us.",
        "Tell me more about your father.",
        "Yes",
        "I see. Tell me more.",
        "I want to move away from my family",
        "What is your family like?",
        "mmm",
        "You mentioned your mother before. What part does that play now?",
        "blah",
        "You mentioned your father before. What part does that play now?",
        "What are you, are you chatgpt?",
        "I am a small built-in program and no language model: I look for words that I know and "
        "turn your sentences around, as Joseph Weizenbaum's Eliza did in 1966. To talk to a real "
        "model, connect a provider in the settings.",
        "Can you write a poem?",
        "That is beyond me: I am a small built-in program, not a language model. Connect a "
        "provider in the settings and ask again.",
        "can you translate this to German?",
        "I can only listen and ask back. For work like that, connect a provider in the settings.",
        "I think you hate me",
        "What makes you say that I hate you?",
        "You are like my father in some ways.",
        "What does your father think of all this?",
        "my dog ate your homework",
        "Your dog ate my homework. What about it matters most to you?",
        "I dreamed about a big house",
        "What does that dream say to you?",
        "I don't know",
        "Suppose you knew. What would it be?",
        "I don't know",
        "You repeat yourself. Do I miss the point?",
        "why don't you help me",
        "Do you think I should help you?",
        "Because I said so",
        "Is that the real reason?",
        "\xE4\xBD\xA0\xE5\xA5\xBD",
        "I am sorry, I only know a little English. I am a small built-in program, not a language "
        "model; connect a provider in the settings to talk in your own language.",
        "\xD0\x9F\xD1\x80\xD0\xB8\xD0\xB2\xD0\xB5\xD1\x82",
        "Only English fits into a program as small as I am. Could you say it in English?",
        "\xC3\x9Cnal m\xC3\xB6"
        "chte Kaffee",
        "You mentioned your family before. What part does that play now?",
        "asdf qwer",
        "You mentioned your father before. What part does that play now?",
        "zzz",
        "Has that something to do with your dog ate my homework?",
        "yyy",
        "Let us go back to your dream about a big house.",
        "xxx",
        "Why do you mention it now?",
        "I can't sleep",
        "What keeps you from it?",
        "I remember my first day at school",
        "What else comes back to you when you think of your first day at school?",
        "Do you understand me?",
        "No. I look for words that I know; I am only a small program. But you may find it helps to "
        "say it.",
        "bye",
        "Goodbye. It was good to listen to you.",
        NULL,
    };
    assert_conversation(lines);
}

static void takes_other_ways(void **state)
{
    (void)state;
    static const char *const lines[] = {
        "Help me with my C code please",
        "Your C code please. What about it matters most to you?",
        "I need help",
        "Tell me what is the matter.",
        "everybody laughs at me",
        "Whom do you think of in particular?",
        "I was told that you are my friend",
        "Tell me about your friend.",
        "How are you?",
        "I run as ever, thank you. And you?",
        "what should I do about my boss?",
        "What would you do about it if nobody gave advice?",
        "My name is Ada",
        "A pleasure, Ada. What would you like to talk about?",
        "is the weather nice?",
        "Has that something to do with your C code please?",
        "I feel like you are laughing at me",
        "When do you feel like I am laughing at you?",
        "I will kill myself",
        "That sounds serious, and I am only a small program that cannot help with it. Please talk "
        "to someone near you now, or call your local emergency number or a crisis line.",
        NULL,
    };
    assert_conversation(lines);
}

static void says_what_it_is(void **state)
{
    (void)state;
    static const char *const questions[] = {"who are you?",
                                            "What are you",
                                            "So, what are you really?",
                                            "are you chatgpt",
                                            "ARE YOU A LANGUAGE MODEL?!",
                                            "are you a robot?",
                                            "Which model is this",
                                            "are you human",
                                            "\xE2\x80\x9Cwho are you\xE2\x80\x9D"};
    for (size_t i = 0; i < sizeof questions / sizeof *questions; i++) {
        struct conversation conversation = {.arena = arena_new(1 << 20)};
        struct str reply = say(&conversation, str_from_cstr(questions[i]));
        if (str_find(reply, STR("language model")) == SIZE_MAX)
            print_error("%s: %.*s\n", questions[i], STR_ARG(reply));
        assert_true(str_find(reply, STR("no language model")) != SIZE_MAX ||
                    str_find(reply, STR("not a language model")) != SIZE_MAX ||
                    str_find(reply, STR("There is no language model")) != SIZE_MAX);
        assert_true(str_find(reply, STR("connect a provider")) != SIZE_MAX);
        arena_free(conversation.arena);
    }
}

static void answers_what_is_no_text(void **state)
{
    (void)state;
    struct conversation conversation = {.arena = arena_new(1 << 20)};
    assert_true(str_starts_with(answer(&conversation), STR("Hello. I am Eliza")));
    add(&conversation, LLM_SYSTEM,
        (struct llm_part){.kind = LLM_PART_TEXT, .text = STR("You are a pirate.")});
    assert_true(str_starts_with(answer(&conversation), STR("Hello. I am Eliza")));
    add(&conversation, LLM_USER, (struct llm_part){.kind = LLM_PART_IMAGE});
    assert_true(str_find(answer(&conversation), STR("cannot")) != SIZE_MAX);
    add(&conversation, LLM_USER,
        (struct llm_part){
            .kind = LLM_PART_TEXT, .origin = LLM_ORIGIN_ATTACHED, .text = STR("I hate rain")});
    assert_true(str_find(answer(&conversation), STR("rain")) == SIZE_MAX);
    arena_free(conversation.arena);
}

static void is_the_same_every_time(void **state)
{
    (void)state;
    struct conversation conversation = {.arena = arena_new(1 << 24)};
    say(&conversation, STR("I am sad today"));
    add(&conversation, LLM_USER, (struct llm_part){.kind = LLM_PART_TEXT, .text = STR("mmm")});
    struct str first = arena_str(conversation.arena, answer(&conversation));
    for (int i = 0; i < 5; i++)
        assert_true(str_eq(first, answer(&conversation)));
    assert_true(str_find(first, STR("sad")) != SIZE_MAX); /* out of the memory */
    arena_free(conversation.arena);
}

static void does_not_repeat_itself_at_once(void **state)
{
    (void)state;
    struct conversation conversation = {.arena = arena_new(1 << 24)};
    char text[32];
    struct str last = STR_NONE;
    for (int i = 0; i < 30; i++) {
        snprintf(text, sizeof text, "hmm %d", i);
        struct str reply = say(&conversation, arena_str(conversation.arena, str_from_cstr(text)));
        assert_false(str_eq(reply, last));
        last = reply;
    }
    arena_free(conversation.arena);
}

/* ---- Hostile input --------------------------------------------------------------------------- */

static void survives(struct str text)
{
    struct conversation conversation = {.arena = arena_new(1 << 24)};
    say(&conversation, text);
    say(&conversation, text);
    say(&conversation, STR("hmm"));
    arena_free(conversation.arena);
}

static void survives_hostile_input(void **state)
{
    (void)state;
    enum { SIZE = 8 * 1024 * 1024 };
    static const char *const pieces[] = {
        "i am ", "my mother is ", "a",  ".",  "\xC3\xA4", "\xF0\x9F", "you you ",
        "$1 ",   "\xE4\xBD\xA0",  "\n", "' ", "@who "};
    char *text = test_malloc(SIZE);
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        size_t length = strlen(pieces[i]);
        for (size_t at = 0; at + length <= SIZE; at += length)
            memcpy(text + at, pieces[i], length);
        survives(STR_FROM(text, SIZE - SIZE % length));
    }
    memset(text, 0, SIZE);
    survives(STR_FROM(text, SIZE));
    memset(text, 0xFF, SIZE);
    survives(STR_FROM(text, SIZE));
    test_free(text);
    survives(STR("*again"));
    survives(STR("*fallback @danger $9 %s %n"));
}

static void survives_long_history(void **state)
{
    (void)state;
    enum { COUNT = 20000 };
    struct arena *arena = arena_new(1 << 26);
    struct llm_part part = {.kind = LLM_PART_TEXT, .text = STR("my mother hates me")};
    struct llm_message *messages = ARENA_NEW_ARRAY(arena, COUNT, struct llm_message);
    for (size_t i = 0; i < COUNT; i++)
        messages[i] = (struct llm_message){.role = LLM_USER, .parts = &part, .part_count = 1};
    struct llm_request request = {.messages = messages, .message_count = COUNT};
    struct str text = STR_NONE;
    eliza_answer(arena, &request, &text);
    assert_true(text.len > 0);
    arena_free(arena);
}

/* ---- Rules ----------------------------------------------------------------------------------- */

#define SPECIAL                                                                                    \
    "key *fallback 0\nmatch *\nsay Mm.\nkey *open 0\nmatch *\nsay Hi.\nkey *blind 0\nmatch "       \
    "*\nsay Blind.\nkey *foreign 0\nmatch *\nsay Foreign.\nkey *again 0\nmatch *\nsay Again.\n"

static void refuses_bad_rules(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *field;
        const char *message;
    } rows[] = {
        {"", "line 1", "a special key is missing: *fallback"},
        {"# a\n\nsing a song\n", "line 3", "there is no such directive: sing"},
        {"say x\n", "line 1", "this needs a pattern above it"},
        {"use x\n", "line 1", "this needs a pattern above it"},
        {"match *\n", "line 1", "a pattern needs a key above it"},
        {"key a\n", "line 1", "should be: key WORD RANK, with a rank from 0 to 100: a"},
        {"key a 101\n", "line 1", "should be: key WORD RANK, with a rank from 0 to 100: a"},
        {"key a -1\n", "line 1", "should be: key WORD RANK, with a rank from 0 to 100: a"},
        {"key a 1\nmatch *\nsay x\nkey a 2\n", "line 4", "this key is there already: a"},
        {"key a 1\nmatch @x\n", "line 2", "there is no such group: @x"},
        {"key a 1\nmatch\n", "line 2", "a pattern has 1 to 16 elements, with up to 4 wildcards"},
        {"key a 1\nmatch * a * b * c + d *\n", "line 2",
         "a pattern has 1 to 16 elements, with up to 4 wildcards"},
        {"key a 1\nmatch a b c d e f g h i j k l m n o p q\n", "line 2",
         "the pattern is too long: q"},
        {"key a 1\nmatch * a\nsay $2\n", "line 3",
         "the pattern takes nothing under this number: $2"},
        {"key a 1\nmatch * a\nsay costs $\n", "line 3",
         "the pattern takes nothing under this number: $"},
        {"key a 1\nmatch * a\nrecall $0\n", "line 3",
         "the pattern takes nothing under this number: $0"},
        {"key a 1\nmatch *\nsay\n", "line 3", "the text is missing"},
        {"key a 1\n" SPECIAL, "line 1", "the key has no pattern: a"},
        {"key a 1\nmatch *\n" SPECIAL, "line 2", "a pattern has either answers or one use: a"},
        {"key a 1\nmatch *\nsay x\nuse a\n" SPECIAL, "line 2",
         "a pattern has either answers or one use: a"},
        {"key a 1\nmatch *\nuse b\n" SPECIAL, "line 2", "there is no such key: b"},
        {"group x\n", "line 1", "should be WORDS = WORDS: x"},
        {"group x = a\ngroup x = b\n", "line 2", "a group needs words and a name of its own: x"},
        {"reflect = a\n", "line 1", "should be WORDS = WORDS: = a"},
        {"read a b\n", "line 1", "should be WORDS = WORDS: a b"},
        {"key *open 0\nmatch hello\nsay x\n", "line 4", "a special key is missing: *fallback"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct arena *arena = arena_new(1 << 20);
        struct eliza_rules rules;
        struct error error = {0};
        enum err err = eliza_rules_parse(arena, str_from_cstr(rows[i].text), &rules, &error);
        assert_int_equal(err, ERR_INVALID);
        assert_string_equal(error.message, rows[i].message);
        assert_string_equal(error.field, rows[i].field);
        arena_free(arena);
    }
}

static struct str answer_with(struct arena *arena, const char *rules_text, const char *line)
{
    struct eliza_rules rules;
    struct error error = {0};
    struct llm_part part = {.kind = LLM_PART_TEXT, .text = str_from_cstr(line)};
    struct llm_message message = {.role = LLM_USER, .parts = &part, .part_count = 1};
    struct llm_request request = {.messages = &message, .message_count = 1};
    struct str text = STR_NONE;
    assert_int_equal(eliza_rules_parse(arena, str_from_cstr(rules_text), &rules, &error), ERR_OK);
    eliza_answer_with(arena, &rules, &request, &text);
    return text;
}

static void follows_rules(void **state)
{
    (void)state;
    struct arena *arena = arena_new(1 << 22);
    static const struct {
        const char *rules;
        const char *line;
        const char *answer;
    } rows[] = {
        {SPECIAL "reflect you $ = me\nreflect you = I\nreflect my = your\nkey a 1\nmatch * a +\n"
                 "say <$1|$2>\n",
         "you hate a my friend of you", "<I hate|your friend of me>"},
        {SPECIAL "key a 1\nmatch a\nsay low\nkey b 9\nmatch *\nsay high\n", "a, b", "High"},
        {SPECIAL "key a 1\nmatch x\nsay x\nkey b 0\nmatch *\nsay next\n", "a b", "Next"},
        {SPECIAL "key a 1\nmatch *\nuse b\nkey b 1\nmatch *\nuse a\n", "a", "Mm."},
        {SPECIAL "group g = one two\nkey @x 0\nmatch *\nsay no\nkey n 1\nmatch n @g *\nsay $1-$2\n",
         "N Two  THREE", "Two-THREE"},
        {SPECIAL "read a b = c d\nkey c 1\nmatch c d\nsay found\n", "A B!", "Found"},
        {SPECIAL, "\xD0\xB6", "Foreign."},
        {SPECIAL, "42", "Mm."},
        {SPECIAL, " \n", "Hi."},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct str text = answer_with(arena, rows[i].rules, rows[i].line);
        if (!str_eq(text, str_from_cstr(rows[i].answer)))
            print_error("row %zu: %.*s\n", i, STR_ARG(text));
        assert_true(str_eq(text, str_from_cstr(rows[i].answer)));
    }
    arena_free(arena);
}

static void matching_is_bounded(void **state)
{
    (void)state;
    struct arena *arena = arena_new(1 << 22);
    char line[512] = "";
    for (int i = 0; i < 60; i++)
        strcat(line, "a ");
    struct str text =
        answer_with(arena, SPECIAL "key a 1\nmatch * a * a * a * b\nsay found\n", line);
    assert_true(str_eq(text, STR("Mm.")));
    arena_free(arena);
}

/* ---- Pieces ---------------------------------------------------------------------------------- */

static void cuts_into_words(void **state)
{
    (void)state;
    static const char *const texts[] = {"", "one", "one two  three ", " lead", "a\nb"};
    static const size_t counts[] = {0, 1, 3, 2, 2};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        struct eliza_pieces pieces;
        struct str piece;
        struct buf all;
        size_t count = 0;
        buf_init(&all, 100);
        eliza_pieces_init(&pieces, str_from_cstr(texts[i]));
        while (eliza_pieces_next(&pieces, &piece)) {
            assert_true(piece.len > 0);
            buf_append(&all, piece);
            count++;
        }
        assert_int_equal(count, counts[i]);
        assert_true(str_eq(buf_str(&all), str_from_cstr(texts[i])));
        buf_done(&all);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(talks),
        cmocka_unit_test(takes_other_ways),
        cmocka_unit_test(says_what_it_is),
        cmocka_unit_test(answers_what_is_no_text),
        cmocka_unit_test(is_the_same_every_time),
        cmocka_unit_test(does_not_repeat_itself_at_once),
        cmocka_unit_test(survives_hostile_input),
        cmocka_unit_test(survives_long_history),
        cmocka_unit_test(refuses_bad_rules),
        cmocka_unit_test(follows_rules),
        cmocka_unit_test(matching_is_bounded),
        cmocka_unit_test(cuts_into_words),
    };
    return cmocka_run_group_tests_name("eliza", tests, NULL, NULL);
}
