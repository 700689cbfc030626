/* Any bytes to any codec of embeddings. The first byte chooses the codec, and whether it is a request
 * at our door (what is understood is written in every form that can say it) or an answer (whose
 * numbers come back from what is written, in both encodings). */
#include <string.h>

#include "base/assert.h"
#include "llm/embedding.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { BYTES_MAX = 1 << 24, CODECS = 5 };

static void fuzz_request(const struct embedding_codec *codec, struct arena *arena, yyjson_val *root)
{
    struct embedding_request request, again;
    struct error error = {0};
    if (codec->decode_request(arena, root, &request, &error)) {
        ASSERT(error.code != ERR_OK && error.message[0]);
        return;
    }
    ASSERT(request.input_count <= EMBEDDING_INPUTS_MAX);
    for (size_t i = 0; embedding_codecs[i]; i++) {
        struct buf out;
        unsigned losses = 0;
        buf_init(&out, BYTES_MAX);
        enum err code =
            embedding_codecs[i]->encode_request(&request, STR("m"), &out, &losses, &error);
        if (code == ERR_OK && request.input_count) {
            ASSERT(json_read(arena, buf_str(&out), &root, NULL) == ERR_OK);
            ASSERT(embedding_codecs[i]->decode_request(arena, root, &again, NULL) == ERR_OK);
            ASSERT(again.input_count == request.input_count);
        }
        buf_done(&out);
    }
}

static void fuzz_answer(const struct embedding_codec *codec, struct arena *arena, yyjson_val *root)
{
    struct embedding_answer answer, again;
    if (codec->decode_answer(arena, root, &answer))
        return;
    for (int encoding = EMBEDDING_FLOAT; encoding <= EMBEDDING_BASE64; encoding++) {
        struct buf out;
        unsigned losses = 0;
        buf_init(&out, BYTES_MAX);
        embedding_openai.encode_answer(&answer, (enum embedding_encoding)encoding, &out, &losses);
        if (buf_ok(&out)) {
            ASSERT(json_read(arena, buf_str(&out), &root, NULL) == ERR_OK);
            ASSERT(embedding_openai.decode_answer(arena, root, &again) == ERR_OK);
            ASSERT(again.count == answer.count);
        }
        for (size_t i = 0; buf_ok(&out) && i < answer.count; i++)
            ASSERT(again.vectors[i].count == answer.vectors[i].count &&
                   (!answer.vectors[i].count ||
                    memcmp(again.vectors[i].values, answer.vectors[i].values,
                           4 * answer.vectors[i].count) == 0));
        buf_done(&out);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    yyjson_val *root;
    if (size < 2)
        return 0;
    const struct embedding_codec *codec = embedding_codecs[data[0] % CODECS];
    struct arena *arena = arena_new(SIZE_MAX);
    if (json_read(arena, STR_FROM((const char *)data + 1, size - 1), &root, NULL) == ERR_OK) {
        if (data[0] / CODECS % 2)
            fuzz_request(codec, arena, root);
        else
            fuzz_answer(codec, arena, root);
    }
    arena_free(arena);
    return 0;
}
