/* Any bytes as whatever Gemini's dialect reads: a request (which is then written again), a whole
 * answer, frames of a stream (one a line), an error, a list of models. */
#include <stddef.h>
#include <stdint.h>

#include "base/assert.h"
#include "llm/dialect.h"

enum { BYTES_MAX = 16 * 1024 * 1024 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct stream {
    struct dialect_encoder *encoder;
    struct buf *out;
    struct llm_losses *losses;
    bool ended;
};

static void on_event(void *user, const struct llm_event *event)
{
    struct stream *stream = user;
    ASSERT(!stream->ended);
    stream->ended = event->kind == LLM_EVENT_END;
    dialect_gemini.encode_event(stream->encoder, event, stream->out, stream->losses);
}

static void read_stream(struct arena *arena, struct str bytes, struct buf *out,
                        struct llm_losses *losses)
{
    struct stream stream = {dialect_gemini.encoder_new(arena, 0, true), out, losses, false};
    struct dialect_decoder *decoder = dialect_gemini.decoder_new(arena);
    while (bytes.data)
        dialect_gemini.decode_frame(decoder, arena, STR(""), str_next(&bytes, '\n'), on_event,
                                    &stream);
    dialect_gemini.decode_end(decoder, on_event, &stream);
    ASSERT(stream.ended);
}

static void read_request(struct arena *arena, struct str body, struct buf *out,
                         struct llm_losses *losses)
{
    static const struct dialect_target targets[] = {{.model = {"gemini-3-pro", 12}},
                                                    {.model = {"gemini-2.5-pro", 14}}};
    struct llm_request request;
    struct error error;
    yyjson_val *root = NULL;
    if (json_read(arena, body, &root, NULL) != ERR_OK ||
        dialect_gemini.decode_request(arena, root, &request, &error) != ERR_OK)
        return;
    (void)!dialect_gemini.encode_request(arena, &request, &targets[body.len % 2], out, losses,
                                         &error);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct arena *arena = arena_new(BYTES_MAX);
    struct str body = STR_FROM((const char *)data, size);
    struct llm_losses losses;
    struct llm_response response;
    struct llm_error error;
    struct llm_model_info *models = NULL;
    size_t count = 0;
    struct buf out;
    buf_init(&out, BYTES_MAX);
    llm_losses_init(&losses, arena);
    read_request(arena, body, &out, &losses);
    read_stream(arena, body, &out, &losses);
    if (dialect_gemini.decode_response(arena, body, &response, &error) == ERR_OK)
        dialect_gemini.encode_response(arena, &response, 0, &out, &losses);
    dialect_gemini.decode_error(arena, size % 2 ? 400 : 429, NULL, body, &error);
    ASSERT(error.class != ERR_OK);
    (void)!dialect_gemini.decode_models(arena, body, &models, &count);
    buf_done(&out);
    arena_free(arena);
    return 0;
}
