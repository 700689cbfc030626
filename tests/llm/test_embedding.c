/* Codecs of embeddings: literal bytes of the providers' documents both ways, what is refused, and
 * the law: what is written reads back as it was, minus exactly the losses that were told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/random.h"
#include "llm/embedding.h"

enum { BYTES_MAX = 1 << 20, SEEDS = 400 };

struct fixture {
    struct arena *arena;
    struct buf out;
};

static int set_up(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);
    f->arena = arena_new(SIZE_MAX);
    buf_init(&f->out, BYTES_MAX);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *f = *state;
    arena_free(f->arena);
    buf_done(&f->out);
    free(f);
    return 0;
}

static yyjson_val *parse(struct fixture *f, struct str text)
{
    yyjson_val *root = NULL;
    assert_int_equal(json_read(f->arena, text, &root, NULL), ERR_OK);
    return root;
}

static struct embedding_request decode(struct fixture *f, const struct embedding_codec *codec,
                                       const char *body)
{
    struct embedding_request request = {0};
    struct error error = {0};
    enum err code =
        codec->decode_request(f->arena, parse(f, str_from_cstr(body)), &request, &error);
    if (code)
        print_error("%s: %s\n", error.field, error.message);
    assert_int_equal(code, ERR_OK);
    return request;
}

static void expect_encoded(struct fixture *f, const struct embedding_codec *codec,
                           const struct embedding_request *request, const char *wanted,
                           unsigned wanted_losses)
{
    unsigned losses = 0;
    buf_clear(&f->out);
    assert_int_equal(codec->encode_request(request, STR("m"), &f->out, &losses, NULL), ERR_OK);
    buf_append_char(&f->out, '\0');
    assert_string_equal(f->out.data, wanted);
    assert_int_equal(losses, wanted_losses);
}

/* ---- Requests -------------------------------------------------------------------------------- */

static void openai_to_all(void **state)
{
    struct fixture *f = *state;
    struct embedding_request request =
        decode(f, &embedding_openai,
               "{\"model\":\"text-embedding-3-small\",\"input\":[\"a\",\"b\"],\"dimensions\":256,"
               "\"encoding_format\":\"base64\",\"user\":\"u\",\"more\":1}");
    assert_int_equal(request.input_count, 2);
    assert_int_equal(request.encoding, EMBEDDING_BASE64);
    assert_int_equal(request.unmapped_count, 1);
    assert_true(str_eq(request.unmapped[0], STR("more")));
    expect_encoded(f, &embedding_openai, &request,
                   "{\"model\":\"m\",\"input\":[\"a\",\"b\"],\"dimensions\":256,"
                   "\"encoding_format\":\"base64\",\"user\":\"u\"}",
                   0);
    expect_encoded(f, &embedding_gemini, &request,
                   "{\"requests\":[{\"model\":\"models/m\",\"content\":{\"parts\":[{\"text\":\"a\"}"
                   "]},\"outputDimensionality\":256},{\"model\":\"models/m\",\"content\":{\"parts\""
                   ":[{\"text\":\"b\"}]},\"outputDimensionality\":256}]}",
                   EMBEDDING_LOSS_USER);
    expect_encoded(f, &embedding_ollama, &request,
                   "{\"model\":\"m\",\"input\":[\"a\",\"b\"],\"dimensions\":256}",
                   EMBEDDING_LOSS_USER);
}

static void inputs_of_openai(void **state)
{
    struct fixture *f = *state;
    struct embedding_request one =
        decode(f, &embedding_openai, "{\"model\":\"x\",\"input\":\"a\"}");
    assert_int_equal(one.input_count, 1);
    assert_int_equal(one.encoding, EMBEDDING_FLOAT);
    struct embedding_request tokens =
        decode(f, &embedding_openai, "{\"model\":\"x\",\"input\":[1,2,4294967295]}");
    assert_int_equal(tokens.input_count, 1);
    assert_int_equal(tokens.inputs[0].token_count, 3);
    assert_int_equal(embedding_estimate(&tokens), 3);
    struct embedding_request lists =
        decode(f, &embedding_openai, "{\"model\":\"x\",\"input\":[[1],[2,3]]}");
    expect_encoded(f, &embedding_openai, &lists,
                   "{\"model\":\"m\",\"input\":[[1],[2,3]],\"encoding_format\":\"float\"}", 0);
    struct error error = {0};
    unsigned losses = 0;
    const struct embedding_codec *const others[] = {&embedding_gemini, &embedding_ollama};
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(others[i]->encode_request(&lists, STR("m"), &f->out, &losses, &error),
                         ERR_INVALID);
        assert_string_equal(error.field, "input[0]");
    }
}

static void gemini_to_all(void **state)
{
    struct fixture *f = *state;
    struct embedding_request request = decode(
        f, &embedding_gemini,
        "{\"requests\":[{\"model\":\"models/x\",\"content\":{\"role\":\"user\",\"parts\":[{\"text\""
        ":\"a\"},{\"text\":\"b\"}]},\"taskType\":\"RETRIEVAL_QUERY\",\"title\":\"t\","
        "\"output_dimensionality\":3},{\"content\":{\"parts\":[{\"text\":\"c\"}]}}]}");
    assert_int_equal(request.input_count, 2);
    assert_true(str_eq(request.inputs[0].text, STR("ab")));
    expect_encoded(f, &embedding_openai, &request,
                   "{\"model\":\"m\",\"input\":[\"ab\",\"c\"],\"encoding_format\":\"float\"}",
                   EMBEDDING_LOSS_DIMENSIONS | EMBEDDING_LOSS_TASK | EMBEDDING_LOSS_TITLE);
    struct embedding_request single =
        decode(f, &embedding_gemini_single,
               "{\"content\":{\"parts\":[{\"text\":\"a\"}]},\"task_type\":\"CLUSTERING\","
               "\"outputDimensionality\":3,\"x\":1}");
    assert_int_equal(single.unmapped_count, 1);
    expect_encoded(f, &embedding_ollama, &single,
                   "{\"model\":\"m\",\"input\":[\"a\"],\"dimensions\":3}", EMBEDDING_LOSS_TASK);
    struct buf names;
    buf_init(&names, 100);
    embedding_losses_write(EMBEDDING_LOSS_DIMENSIONS | EMBEDDING_LOSS_TITLE, &names);
    assert_true(str_eq(buf_str(&names), STR("dimensions, title")));
    buf_done(&names);
}

/* A picture goes on in its own bytes, and never as an empty text. */
static void more_than_text(void **state)
{
    struct fixture *f = *state;
    struct embedding_request request =
        decode(f, &embedding_gemini_single,
               "{\"content\":{\"parts\":[{\"text\":\"a\"},{\"inlineData\":{\"mimeType\":"
               "\"image/png\",\"data\":\"AA==\"}}]}}");
    struct error error = {0};
    unsigned losses = 0;
    assert_true(request.inputs[0].is_foreign);
    assert_true(str_eq(request.unmapped[0], STR("content.parts[1].inlineData")));
    assert_int_equal(embedding_openai.encode_request(&request, STR("m"), &f->out, &losses, &error),
                     ERR_INVALID);
    assert_string_equal(error.field, "input[0]");
}

static void ollama_to_all(void **state)
{
    struct fixture *f = *state;
    struct embedding_request request =
        decode(f, &embedding_ollama,
               "{\"model\":\"all-minilm\",\"input\":\"a\",\"truncate\":false,\"keep_alive\":\"5m\","
               "\"options\":{\"num_ctx\":1}}");
    assert_int_equal(request.unmapped_count, 2);
    expect_encoded(f, &embedding_openai, &request,
                   "{\"model\":\"m\",\"input\":[\"a\"],\"encoding_format\":\"float\"}",
                   EMBEDDING_LOSS_TRUNCATE);
    assert_int_equal(decode(f, &embedding_ollama, "{\"model\":\"a\",\"input\":[]}").input_count, 0);
    assert_int_equal(decode(f, &embedding_ollama, "{\"model\":\"a\"}").input_count, 0);
    struct embedding_request old =
        decode(f, &embedding_ollama_single, "{\"model\":\"a\",\"prompt\":\"p\"}");
    expect_encoded(f, &embedding_ollama, &old, "{\"model\":\"m\",\"input\":[\"p\"]}", 0);
}

static void refused(void **state)
{
    struct fixture *f = *state;
    static const struct {
        const struct embedding_codec *codec;
        const char *body, *field;
    } cases[] = {
        {&embedding_openai, "[]", ""},
        {&embedding_openai, "{\"model\":1,\"input\":\"a\"}", "model"},
        {&embedding_openai, "{\"model\":\"m\"}", "input"},
        {&embedding_openai, "{\"model\":\"m\",\"input\":[]}", "input"},
        {&embedding_openai, "{\"model\":\"m\",\"input\":{}}", "input"},
        {&embedding_openai, "{\"model\":\"m\",\"input\":[\"a\",1]}", "input[1]"},
        {&embedding_openai, "{\"model\":\"m\",\"input\":[1,\"a\"]}", "input[1]"},
        {&embedding_openai, "{\"model\":\"m\",\"input\":[[]]}", "input[0]"},
        {&embedding_openai, "{\"model\":\"m\",\"input\":[[-1]]}", "input[0][0]"},
        {&embedding_openai, "{\"model\":\"m\",\"input\":[4294967296]}", "input[0]"},
        {&embedding_openai, "{\"model\":\"m\",\"input\":\"a\",\"dimensions\":0}", "dimensions"},
        {&embedding_openai, "{\"model\":\"m\",\"input\":\"a\",\"dimensions\":65537}", "dimensions"},
        {&embedding_openai, "{\"model\":\"m\",\"input\":\"a\",\"encoding_format\":\"hex\"}",
         "encoding_format"},
        {&embedding_gemini, "{}", "requests"},
        {&embedding_gemini, "{\"requests\":[]}", "requests"},
        {&embedding_gemini, "{\"requests\":[{}]}", "requests[0].content"},
        {&embedding_gemini, "{\"requests\":[{\"content\":{\"parts\":[{\"text\":1}]}}]}",
         "requests[0].content.parts[0].text"},
        {&embedding_gemini_single, "{\"content\":\"a\"}", "content"},
        {&embedding_ollama, "{\"model\":\"m\",\"input\":[1]}", "input[0]"},
        {&embedding_ollama, "{\"model\":\"m\",\"input\":\"a\",\"truncate\":1}", "truncate"},
        {&embedding_ollama_single, "{\"model\":\"m\"}", "prompt"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct embedding_request request;
        struct error error = {0};
        print_message("%s\n", cases[i].body);
        assert_int_equal(cases[i].codec->decode_request(
                             f->arena, parse(f, str_from_cstr(cases[i].body)), &request, &error),
                         ERR_INVALID);
        assert_string_equal(error.field, cases[i].field);
    }
}

static void at_most_so_many_inputs(void **state)
{
    struct fixture *f = *state;
    for (int count = EMBEDDING_INPUTS_MAX; count <= EMBEDDING_INPUTS_MAX + 1; count++) {
        struct embedding_request request;
        struct error error = {0};
        buf_clear(&f->out);
        buf_append(&f->out, STR("{\"model\":\"m\",\"input\":["));
        for (int i = 0; i < count; i++)
            buf_append(&f->out, i ? STR(",\"a\"") : STR("\"a\""));
        buf_append(&f->out, STR("]}"));
        enum err code =
            embedding_openai.decode_request(f->arena, parse(f, buf_str(&f->out)), &request, &error);
        assert_int_equal(code, count > EMBEDDING_INPUTS_MAX ? ERR_INVALID : ERR_OK);
        if (code)
            assert_string_equal(error.field, "input[2048]");
    }
}

/* ---- Answers --------------------------------------------------------------------------------- */

struct golden {
    const struct embedding_codec *codec;
    const char *bytes; /* of a provider */
    int64_t tokens;
    const char *model;
};

/* All say the same two vectors: 0.25, -1 and 3. */
static void answers_are_read(void **state)
{
    struct fixture *f = *state;
    static const struct golden cases[] = {
        {&embedding_openai,
         "{\"object\":\"list\",\"data\":[{\"object\":\"embedding\",\"index\":1,\"embedding\":[3]},"
         "{\"object\":\"embedding\",\"index\":0,\"embedding\":[0.25,-1]}],\"model\":\"x\","
         "\"usage\":{\"prompt_tokens\":5,\"total_tokens\":5}}",
         5, "x"},
        {&embedding_openai,
         "{\"object\":\"list\",\"data\":[{\"index\":0,\"embedding\":\"AACAPgAAgL8=\"},"
         "{\"index\":1,\"embedding\":\"AABAQA==\"}],\"model\":\"x\"}",
         -1, "x"},
        {&embedding_gemini, "{\"embeddings\":[{\"values\":[0.25,-1.0]},{\"values\":[3]}]}", -1, ""},
        {&embedding_gemini,
         "{\"embeddings\":[{\"values\":[0.25,-1.0]},{\"values\":[3]}],\"usageMetadata\":{"
         "\"promptTokenCount\":7}}",
         7, ""},
        {&embedding_ollama,
         "{\"model\":\"x\",\"embeddings\":[[0.25,-1],[3]],\"total_duration\":14143917,"
         "\"load_duration\":1019500,\"prompt_eval_count\":8}",
         8, "x"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct embedding_answer answer;
        yyjson_val *root = parse(f, str_from_cstr(cases[i].bytes));
        assert_int_equal(cases[i].codec->decode_answer(f->arena, root, &answer), ERR_OK);
        assert_int_equal(answer.count, 2);
        assert_int_equal(answer.vectors[0].count, 2);
        assert_true(answer.vectors[0].values[0] == 0.25f && answer.vectors[0].values[1] == -1);
        assert_int_equal(answer.vectors[1].count, 1);
        assert_true(answer.vectors[1].values[0] == 3);
        assert_int_equal(answer.usage.input_total, cases[i].tokens);
        assert_true(str_eq(answer.model, str_from_cstr(cases[i].model)));
    }
}

static void answers_that_are_none(void **state)
{
    struct fixture *f = *state;
    static const struct golden cases[] = {
        {&embedding_openai, "[]", 0, NULL},
        {&embedding_openai, "{\"data\":[{\"index\":0,\"embedding\":[\"a\"]}]}", 0, NULL},
        {&embedding_openai, "{\"data\":[{\"index\":1,\"embedding\":[1]}]}", 0, NULL},
        {&embedding_openai,
         "{\"data\":[{\"index\":0,\"embedding\":[1]},{\"index\":0,\"embedding\":[1]}]}", 0, NULL},
        {&embedding_openai, "{\"data\":[{\"embedding\":\"AAA=\"}]}", 0, NULL},
        {&embedding_openai, "{\"data\":[{\"embedding\":\"*\"}]}", 0, NULL},
        {&embedding_openai, "{\"data\":[{\"embedding\":\"AADAfw==\"}]}", 0, NULL}, /* NaN */
        {&embedding_openai, "{\"data\":[{\"embedding\":[1e39]}]}", 0, NULL},
        {&embedding_gemini, "{\"embeddings\":[[1]]}", 0, NULL},
        {&embedding_gemini_single, "{\"embedding\":[1]}", 0, NULL},
        {&embedding_ollama, "{\"model\":\"x\"}", 0, NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct embedding_answer answer;
        print_message("%s\n", cases[i].bytes);
        yyjson_val *root = parse(f, str_from_cstr(cases[i].bytes));
        assert_int_equal(cases[i].codec->decode_answer(f->arena, root, &answer), ERR_SERVER);
    }
}

static void answers_are_written(void **state)
{
    struct fixture *f = *state;
    static const float first[] = {0.25f, -1}, second[] = {3};
    struct embedding_vector vectors[] = {{first, 2}, {second, 1}};
    struct embedding_answer answer = {
        .model = STR("x"), .vectors = vectors, .count = 2, .usage = {5, -1, -1, -1, -1, false}};
    static const struct {
        const struct embedding_codec *codec;
        enum embedding_encoding encoding;
        const char *wanted;
        unsigned losses;
    } cases[] = {
        {&embedding_openai, EMBEDDING_FLOAT,
         "{\"object\":\"list\",\"data\":[{\"object\":\"embedding\",\"index\":0,\"embedding\":[0.25,"
         "-1]},{\"object\":\"embedding\",\"index\":1,\"embedding\":[3]}],\"model\":\"x\","
         "\"usage\":{\"prompt_tokens\":5,\"total_tokens\":5}}",
         0},
        {&embedding_openai, EMBEDDING_BASE64,
         "{\"object\":\"list\",\"data\":[{\"object\":\"embedding\",\"index\":0,\"embedding\":"
         "\"AACAPgAAgL8=\"},{\"object\":\"embedding\",\"index\":1,\"embedding\":\"AABAQA==\"}],"
         "\"model\":\"x\",\"usage\":{\"prompt_tokens\":5,\"total_tokens\":5}}",
         0},
        {&embedding_gemini, EMBEDDING_FLOAT,
         "{\"embeddings\":[{\"values\":[0.25,-1]},{\"values\":[3]}],\"usageMetadata\":{"
         "\"promptTokenCount\":5}}",
         EMBEDDING_LOSS_ANSWER_MODEL},
        {&embedding_ollama, EMBEDDING_BASE64,
         "{\"model\":\"x\",\"embeddings\":[[0.25,-1],[3]],\"prompt_eval_count\":5}", 0},
        {&embedding_ollama_single, EMBEDDING_FLOAT, "{\"embedding\":[0.25,-1]}",
         EMBEDDING_LOSS_ANSWER_MODEL | EMBEDDING_LOSS_ANSWER_USAGE},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        unsigned losses = 0;
        buf_clear(&f->out);
        cases[i].codec->encode_answer(&answer, cases[i].encoding, &f->out, &losses);
        buf_append_char(&f->out, '\0');
        assert_string_equal(f->out.data, cases[i].wanted);
        assert_int_equal(losses, cases[i].losses);
    }
}

/* ---- The law --------------------------------------------------------------------------------- */

static struct str make_text(struct random *random)
{
    static const char *const texts[] = {"",
                                        "a",
                                        "Grüße, 世界 🌍",
                                        "\"\\\n\t\x01",
                                        "models/x",
                                        "e\xCC\x81 \xF0\x9F\x91\xA9\xE2\x80\x8D\xF0\x9F\x91\xA7"};
    return str_from_cstr(texts[random_below(random, sizeof texts / sizeof *texts)]);
}

static struct embedding_request make_request(struct arena *arena, struct random *random,
                                             const struct embedding_codec *codec)
{
    struct embedding_request request = {
        .model = STR("m"),
        .input_count = codec->is_single ? 1 : 1 + random_below(random, 4),
        .encoding = random_below(random, 2) ? EMBEDDING_BASE64 : EMBEDDING_FLOAT,
        .truncate = (enum llm_tristate)random_below(random, 3),
        .user = make_text(random),
    };
    static const uint32_t tokens[] = {0, 7, UINT32_MAX};
    int64_t dimensions = (int64_t)random_below(random, 3) * 128;
    request.inputs = ARENA_NEW_ARRAY(arena, request.input_count, struct embedding_input);
    for (size_t i = 0; i < request.input_count; i++) {
        struct embedding_input *input = &request.inputs[i];
        input->dimensions = random_below(random, 5) ? dimensions : 64;
        if (codec == &embedding_openai && random_below(random, 2)) {
            input->tokens = tokens;
            input->token_count = 1 + random_below(random, 3);
        } else {
            input->text = make_text(random);
        }
        if (random_below(random, 3) == 0)
            input->task = STR("CLUSTERING");
        if (random_below(random, 3) == 0)
            input->title = make_text(random);
    }
    return request;
}

/* y is x but for what was lost, and what was lost was there. */
static void expect_same_input(const struct embedding_input *x, const struct embedding_input *y,
                              unsigned losses)
{
    assert_true(str_eq(x->text, y->text));
    assert_int_equal(x->token_count, y->token_count);
    for (size_t i = 0; i < x->token_count; i++)
        assert_int_equal(x->tokens[i], y->tokens[i]);
    assert_int_equal(losses & EMBEDDING_LOSS_DIMENSIONS ? 0 : x->dimensions, y->dimensions);
    assert_true(str_eq(losses & EMBEDDING_LOSS_TASK ? STR("") : x->task, y->task));
    assert_true(str_eq(losses & EMBEDDING_LOSS_TITLE ? STR("") : x->title, y->title));
}

static void requests_come_back(void **state)
{
    struct fixture *f = *state;
    for (size_t c = 0; embedding_codecs[c]; c++)
        for (uint64_t seed = 0; seed < SEEDS; seed++) {
            const struct embedding_codec *codec = embedding_codecs[c];
            struct random random;
            struct embedding_request y = {0};
            unsigned losses = 0;
            random_init(&random, seed);
            struct embedding_request x = make_request(f->arena, &random, codec);
            buf_clear(&f->out);
            assert_int_equal(codec->encode_request(&x, STR("m"), &f->out, &losses, NULL), ERR_OK);
            assert_int_equal(codec->decode_request(f->arena, parse(f, buf_str(&f->out)), &y, NULL),
                             ERR_OK);
            assert_int_equal(y.unmapped_count, 0);
            assert_int_equal(x.input_count, y.input_count);
            for (size_t i = 0; i < x.input_count; i++)
                expect_same_input(&x.inputs[i], &y.inputs[i], losses);
            bool loses_truncate = losses & EMBEDDING_LOSS_TRUNCATE;
            bool loses_user = losses & EMBEDDING_LOSS_USER;
            assert_int_equal(loses_truncate ? LLM_UNSET : x.truncate, y.truncate);
            assert_true(str_eq(loses_user ? STR("") : x.user, y.user));
            assert_false(loses_truncate && x.truncate == LLM_UNSET);
            assert_false(loses_user && !x.user.len);
            arena_reset(f->arena);
        }
}

/* Any finite number, and above all those that embeddings have. */
static float make_float(struct random *random)
{
    float value;
    do {
        uint32_t bits = (uint32_t)random_next(random);
        if (random_below(random, 2))
            bits = (bits & 0x81ffffff) | 0x3c000000;
        memcpy(&value, &bits, sizeof value);
    } while (!(value - value == 0));
    return value;
}

static void answers_come_back(void **state)
{
    struct fixture *f = *state;
    for (size_t c = 0; embedding_codecs[c]; c++)
        for (uint64_t seed = 0; seed < SEEDS; seed++) {
            const struct embedding_codec *codec = embedding_codecs[c];
            struct random random;
            float values[3][64];
            struct embedding_vector vectors[3];
            unsigned losses = 0;
            random_init(&random, seed);
            struct embedding_answer y,
                x = {.model = STR("x"),
                     .vectors = vectors,
                     .count = codec->is_single ? 1 : random_below(&random, 4),
                     .usage = LLM_USAGE_UNKNOWN};
            x.usage.input_total = (int64_t)random_below(&random, 3) - 1;
            for (size_t i = 0; i < x.count; i++) {
                vectors[i] = (struct embedding_vector){values[i], random_below(&random, 65)};
                for (size_t k = 0; k < vectors[i].count; k++)
                    values[i][k] = make_float(&random);
            }
            buf_clear(&f->out);
            codec->encode_answer(&x, seed % 2 ? EMBEDDING_BASE64 : EMBEDDING_FLOAT, &f->out,
                                 &losses);
            assert_int_equal(codec->decode_answer(f->arena, parse(f, buf_str(&f->out)), &y),
                             ERR_OK);
            assert_int_equal(x.count, y.count);
            for (size_t i = 0; i < x.count; i++) {
                assert_int_equal(vectors[i].count, y.vectors[i].count);
                if (vectors[i].count)
                    assert_memory_equal(values[i], y.vectors[i].values, vectors[i].count * 4);
            }
            assert_true(str_eq(losses & EMBEDDING_LOSS_ANSWER_MODEL ? STR("") : x.model, y.model));
            if (!(losses & EMBEDDING_LOSS_ANSWER_USAGE))
                assert_int_equal(x.usage.input_total, y.usage.input_total);
            arena_reset(f->arena);
        }
}

static void who_can_be_asked(void **state)
{
    (void)state;
    assert_ptr_equal(embedding_codec_of(&dialect_openai_chat), &embedding_openai);
    assert_ptr_equal(embedding_codec_of(&dialect_openai_responses), &embedding_openai);
    assert_ptr_equal(embedding_codec_of(&dialect_gemini), &embedding_gemini);
    assert_ptr_equal(embedding_codec_of(&dialect_ollama), &embedding_ollama);
    assert_null(embedding_codec_of(&dialect_anthropic));
    assert_null(embedding_codec_of(NULL));
}

#define TEST(function) cmocka_unit_test_setup_teardown(function, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(openai_to_all),          TEST(inputs_of_openai),   TEST(gemini_to_all),
        TEST(more_than_text),         TEST(ollama_to_all),      TEST(refused),
        TEST(at_most_so_many_inputs), TEST(answers_are_read),   TEST(answers_that_are_none),
        TEST(answers_are_written),    TEST(requests_come_back), TEST(answers_come_back),
        TEST(who_can_be_asked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
