/* What the fake understands of a request, in every dialect. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
/* cmocka wants the four above */
#include <cmocka.h>

#include "fake_dialect.h"

struct row {
    const char *target, *body;
    enum fake_dialect_name dialect;
    bool stream;
    const char *model, *text;
};

static const struct row rows[] = {
    {"/api/generate", "{\"model\":\"m\",\"prompt\":\"p\"}", FAKE_OLLAMA_GENERATE, true, "m", "p"},
    {"/v1/chat/completions",
     "{\"model\":\"echo\",\"messages\":[{\"role\":\"system\",\"content\":\"s\"},{\"role\":\"user\","
     "\"content\":\"one\"},{\"role\":\"assistant\",\"content\":\"two\"}]}",
     FAKE_OPENAI_CHAT, false, "echo", "one"},
    {"/v1/chat/completions",
     "{\"model\":\"m\",\"stream\":true,\"messages\":[{\"role\":\"user\",\"content\":[{\"type\":"
     "\"text\",\"text\":\"part\"},{\"type\":\"image_url\"}]}]}",
     FAKE_OPENAI_CHAT, true, "m", "part"},
    {"/v1/responses", "{\"model\":\"m\",\"input\":\"plain\"}", FAKE_OPENAI_RESPONSES, false, "m",
     "plain"},
    {"/v1/responses",
     "{\"model\":\"m\",\"input\":[{\"role\":\"user\",\"content\":[{\"type\":\"input_text\","
     "\"text\":"
     "\"in\"}]}]}",
     FAKE_OPENAI_RESPONSES, false, "m", "in"},
    {"/v1/messages?beta=true",
     "{\"model\":\"m\",\"stream\":true,\"messages\":[{\"role\":\"user\",\"content\":\"a\"}]}",
     FAKE_ANTHROPIC, true, "m", "a"},
    {"/v1beta/models/count-2%2Bcut-1:streamGenerateContent?alt=sse",
     "{\"contents\":[{\"role\":\"user\",\"parts\":[{\"text\":\"g\"}]}]}", FAKE_GEMINI, true,
     "count-2+cut-1", "g"},
    {"/v1beta/models/echo:generateContent", "{\"contents\":[{\"parts\":[{\"text\":\"no role\"}]}]}",
     FAKE_GEMINI, false, "echo", "no role"},
    {"/api/chat",
     "{\"model\":\"echo:latest\",\"messages\":[{\"role\":\"user\",\"content\":\"o\"}]}",
     FAKE_OLLAMA, true, "echo", "o"},
    {"/api/chat", "{\"model\":\"m\",\"stream\":false,\"messages\":[]}", FAKE_OLLAMA, false, "m",
     ""},
    {"/v1/messages", "{\"messages\":[17,null,{\"content\":{}}]}", FAKE_ANTHROPIC, false, "", ""},
};

static struct fake_request read_request(struct arena *arena, const char *method, const char *target,
                                        const struct http_headers *headers, const char *body)
{
    struct fake_request request;
    fake_request_read(arena, str_from_cstr(method), str_from_cstr(target), headers,
                      str_from_cstr(body), &request);
    return request;
}

static void test_chats(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct arena *arena = arena_new(65536);
        struct http_headers none = {0};
        struct fake_request request =
            read_request(arena, "POST", rows[i].target, &none, rows[i].body);
        assert_int_equal(request.route, FAKE_ROUTE_CHAT);
        assert_ptr_equal(request.dialect, fake_dialect(rows[i].dialect));
        assert_int_equal(request.stream, rows[i].stream);
        assert_false(request.bad_json);
        assert_true(str_eq(request.model, str_from_cstr(rows[i].model)));
        assert_true(str_eq(request.user_text, str_from_cstr(rows[i].text)));
        arena_free(arena);
    }
}

/* An answer that was begun: as the last message, before the last of the user, or long ago. */
static void test_begun_answers(void **state)
{
    (void)state;
    static const struct {
        const char *target, *body, *begun;
        bool is_last;
    } begun[] = {
        {"/v1/chat/completions",
         "{\"messages\":[{\"role\":\"user\",\"content\":\"q\"},"
         "{\"role\":\"assistant\",\"content\":\"1 2\"}]}",
         "1 2", true},
        {"/v1/messages",
         "{\"messages\":[{\"role\":\"user\",\"content\":\"q\"},{\"role\":\"assistant\",\"content\":"
         "[{\"type\":\"text\",\"text\":\"1 2\"}]},{\"role\":\"user\",\"content\":\"go on\"}]}",
         "1 2", false},
        {"/v1beta/models/echo:generateContent",
         "{\"contents\":[{\"parts\":[{\"text\":\"q\"}]},"
         "{\"role\":\"model\",\"parts\":[{\"text\":\"1 2\"}]}]}",
         "1 2", true},
        {"/v1/responses",
         "{\"input\":[{\"role\":\"assistant\",\"content\":[{\"type\":\"output_text\","
         "\"text\":\"1\"}]},{\"role\":\"user\",\"content\":\"go on\"}]}",
         "1", false},
        {"/api/chat",
         "{\"messages\":[{\"role\":\"assistant\",\"content\":\"1\"},{\"role\":\"user\","
         "\"content\":\"a\"},{\"role\":\"user\",\"content\":\"b\"}]}",
         NULL, false},
        {"/api/chat", "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"}]}", NULL, false},
    };
    for (size_t i = 0; i < sizeof begun / sizeof *begun; i++) {
        struct arena *arena = arena_new(65536);
        struct http_headers none = {0};
        struct fake_request request =
            read_request(arena, "POST", begun[i].target, &none, begun[i].body);
        assert_int_equal(request.begun_is_last, begun[i].is_last);
        assert_int_equal(request.begun.data != NULL, begun[i].begun != NULL);
        assert_true(!begun[i].begun || str_eq(request.begun, str_from_cstr(begun[i].begun)));
        arena_free(arena);
    }
}

static void test_files_and_strangers(void **state)
{
    (void)state;
    struct arena *arena = arena_new(65536);
    struct http_headers headers = {0};
    struct fake_request request = read_request(arena, "GET", "/v1/models?limit=9", &headers, "");
    assert_int_equal(request.route, FAKE_ROUTE_FILE);
    assert_ptr_equal(request.dialect, fake_dialect(FAKE_OPENAI_CHAT));
    http_headers_add(&headers, arena, STR("Anthropic-Version"), STR("2023-06-01"));
    request = read_request(arena, "GET", "/v1/models", &headers, "");
    assert_ptr_equal(request.dialect, fake_dialect(FAKE_ANTHROPIC));
    request = read_request(arena, "GET", "/api/tags", &headers, "");
    assert_ptr_equal(request.dialect, fake_dialect(FAKE_OLLAMA));
    request = read_request(arena, "GET", "/v1/chat/completions", &headers, "");
    assert_int_equal(request.route, FAKE_ROUTE_NONE);
    request = read_request(arena, "POST", "/v1beta/models/echo:predict", &headers, "{}");
    assert_int_equal(request.route, FAKE_ROUTE_NONE);
    request = read_request(arena, "POST", "/v1/messages", &headers, "{\"model\":");
    assert_true(request.bad_json);
    arena_free(arena);
}

static void test_counts(void **state)
{
    (void)state;
    static const struct {
        const char *target, *body;
        bool is_bad;
    } counts[] = {
        {"/v1/messages/count_tokens", "{\"model\":\"echo\",\"messages\":[]}", false},
        {"/v1/messages/count_tokens", "{\"model\":\"echo\",\"messages\":[],\"max_tokens\":1}",
         true},
        {"/v1/messages/count_tokens", "{\"model\":\"echo\",\"messages\":[],\"stream\":true}", true},
        {"/v1/messages/count_tokens", "{\"model\":\"echo\"}", true},
        {"/v1beta/models/echo:countTokens", "{\"contents\":[]}", false},
        {"/v1beta/models/echo:countTokens", "{}", true},
        {"/v1beta/models/echo:countTokens",
         "{\"generateContentRequest\":{\"model\":\"models/echo\"}}", false},
        {"/v1beta/models/echo:countTokens",
         "{\"generateContentRequest\":{\"model\":\"models/other\"}}", true},
    };
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++) {
        struct arena *arena = arena_new(65536);
        struct http_headers none = {0};
        struct fake_request request =
            read_request(arena, "POST", counts[i].target, &none, counts[i].body);
        assert_int_equal(request.route, FAKE_ROUTE_COUNT);
        assert_true(str_eq(request.model, STR("echo")));
        assert_int_equal(request.bad_json, counts[i].is_bad);
        arena_free(arena);
    }
}

static void test_credentials(void **state)
{
    (void)state;
    static const char *const ways[][2] = {
        {"Authorization", "Bearer  secret"}, {"x-api-key", "secret"}, {"X-Goog-Api-Key", "secret"}};
    struct arena *arena = arena_new(65536);
    struct str key;
    for (size_t i = 0; i < 3; i++) {
        struct http_headers headers = {0};
        http_headers_add(&headers, arena, str_from_cstr(ways[i][0]), str_from_cstr(ways[i][1]));
        assert_true(fake_request_key(arena, STR("/v1/messages"), &headers, &key));
        assert_true(str_eq(key, STR("secret")));
    }
    struct http_headers none = {0};
    assert_true(fake_request_key(arena, STR("/v1beta/models?key=secret"), &none, &key));
    assert_false(fake_request_key(arena, STR("/v1beta/models"), &none, &key));
    http_headers_add(&none, arena, STR("Authorization"), STR("Basic c2VjcmV0"));
    assert_false(fake_request_key(arena, STR("/"), &none, &key));
    arena_free(arena);
}

/* Sizes of inputs in every dialect's form; Gemini's model is checked against the path's. */
static void test_embeddings(void **state)
{
    (void)state;
    static const struct {
        const char *target, *body;
        enum fake_dialect_name dialect;
        size_t count;
        uint64_t first, last;
        bool is_bad;
    } asked[] = {
        {"/v1/embeddings", "{\"model\":\"m\",\"input\":\"abc\"}", FAKE_OPENAI_CHAT, 1, 3, 3, false},
        {"/v1/embeddings", "{\"model\":\"m\",\"input\":[\"a\",\"\"]}", FAKE_OPENAI_CHAT, 2, 1, 0,
         false},
        {"/v1/embeddings", "{\"model\":\"m\",\"input\":[1,2]}", FAKE_OPENAI_CHAT, 1, 3, 3, false},
        {"/v1/embeddings", "{\"model\":\"m\",\"input\":[[1,2],[9]]}", FAKE_OPENAI_CHAT, 2, 3, 9,
         false},
        {"/api/embed", "{\"model\":\"m\",\"input\":[\"a\",\"bc\"]}", FAKE_OLLAMA, 2, 1, 2, false},
        {"/api/embeddings", "{\"model\":\"m\",\"prompt\":\"abc\"}", FAKE_OLLAMA, 1, 3, 3, false},
        {"/v1beta/models/m:batchEmbedContents",
         "{\"requests\":[{\"model\":\"models/m\",\"content\":{\"parts\":[{\"text\":\"ab\"}]}}]}",
         FAKE_GEMINI, 1, 2, 2, false},
        {"/v1beta/models/m:embedContent",
         "{\"model\":\"models/x\",\"content\":{\"parts\":[{\"text\":\"ab\"}]}}", FAKE_GEMINI, 1, 2,
         2, true},
    };
    for (size_t i = 0; i < sizeof asked / sizeof *asked; i++) {
        struct arena *arena = arena_new(65536);
        struct http_headers none = {0};
        struct fake_request request =
            read_request(arena, "POST", asked[i].target, &none, asked[i].body);
        assert_int_equal(request.route, FAKE_ROUTE_EMBEDDINGS);
        assert_ptr_equal(request.dialect, fake_dialect(asked[i].dialect));
        assert_true(str_eq(request.model, STR("m")));
        assert_int_equal(request.bad_json, asked[i].is_bad);
        assert_int_equal(request.input_count, asked[i].count);
        assert_int_equal(request.inputs[0], asked[i].first);
        assert_int_equal(request.inputs[asked[i].count - 1], asked[i].last);
        arena_free(arena);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_chats),
        cmocka_unit_test(test_begun_answers),
        cmocka_unit_test(test_files_and_strangers),
        cmocka_unit_test(test_counts),
        cmocka_unit_test(test_credentials),
        cmocka_unit_test(test_embeddings),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
