/* Answer reader: what call_http does with the body of an answer, without a call. Below route's
 * replay. */
#include "llm/answer_reader.h"

enum { BYTES_MAX = 64 * 1024 * 1024 };

static void on_frame(void *user, struct str type, struct str data)
{
    struct answer_reader *reader = user;
    frame_shape_decode(&reader->shape, reader->dialect, reader->decoder, reader->scratch, type,
                       data, reader->emit, reader->user);
    arena_reset(reader->scratch);
}

void answer_reader_init(struct answer_reader *reader, const struct dialect *dialect,
                        bool is_streamed, llm_emit_fn *emit, void *user)
{
    *reader = (struct answer_reader){.dialect = dialect, .emit = emit, .user = user};
    reader->scratch = arena_new(BYTES_MAX);
    if (!is_streamed)
        return;
    reader->arena = arena_new(BYTES_MAX);
    reader->decoder = dialect->decoder_new(reader->arena);
    frame_shape_init(&reader->shape);
    frame_reader_init(&reader->frames, dialect->framing, BYTES_MAX, on_frame, reader);
}

void answer_reader_done(struct answer_reader *reader)
{
    if (reader->arena)
        frame_shape_done(&reader->shape);
    frame_reader_done(&reader->frames);
    arena_free(reader->arena);
    arena_free(reader->scratch);
}

static void fail(struct answer_reader *reader)
{
    struct llm_error error;
    dialect_error_set(&error, ERR_SERVER, "the kept answer cannot be read");
    reader->emit(reader->user, &(struct llm_event){.kind = LLM_EVENT_ERROR, .error = &error});
    reader->emit(reader->user, &(struct llm_event){.kind = LLM_EVENT_END});
}

static void read_whole(struct answer_reader *reader, struct str bytes)
{
    struct llm_response response = {.usage = LLM_USAGE_UNKNOWN};
    struct llm_error error = {.class = ERR_SERVER, .retry_after_ms = -1};
    if (reader->dialect->decode_response(reader->scratch, bytes, &response, &error) == ERR_OK)
        llm_response_replay(&response, reader->emit, reader->user);
    else
        fail(reader);
}

void answer_reader_feed(struct answer_reader *reader, struct str bytes)
{
    if (!reader->arena) {
        read_whole(reader, bytes);
    } else if (frame_reader_feed(&reader->frames, bytes) != ERR_OK) {
        fail(reader);
    }
}

void answer_reader_finish(struct answer_reader *reader)
{
    if (!reader->arena)
        return;
    if (frame_reader_finish(&reader->frames) == ERR_OK)
        reader->dialect->decode_end(reader->decoder, reader->emit, reader->user);
    else
        fail(reader);
}
