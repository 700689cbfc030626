/* Embed: one request for vectors through the relay, to any provider that makes some. Whoever speaks the
 * caller's own form gets the caller's own bytes, and its answer goes back as it came; for the others both
 * are translated. Vectors that are kept (memo.h) are not asked for again: only what is missing is, and the
 * answer put together in order.
 *
 *   embed_start --relay_start--> ASKING --on_end: tell_whole, tell_error--> done is told, and it is gone
 *                                  |  ^ prepare: one target after the other
 *                                  \--prepare: everything is kept--> on_end
 *   any --embed_cancel--> gone, nothing is heard */
#include "route/embed.h"

#include <string.h>

#include "llm/passthrough.h"
#include "route/ask.h"
#include "route/router_internal.h"

enum { ARENA_BYTES_MAX = 512 * 1024 * 1024 };

struct embed {
    struct ask ask; /* first; in its arena is all that is below, and the embed itself */
    struct embed_request request;
    embed_done_fn *done;
    void *user;
    /* Of the newest attempt. */
    const struct embedding_codec *codec; /* how the provider is asked */
    bool is_raw;                         /* with the caller's bytes */
    struct str *kept;                    /* for each input its vector's bytes, or none */
    size_t missing_count;
    /* Its answer. */
    bool is_read; /* ask.body was looked at */
    bool is_good; /* and is an answer to what was asked */
    struct embedding_answer answer;
};

/* ---- What is kept ---------------------------------------------------------------------------- */

/* Members that we do not know may change what comes back. */
static bool may_keep(const struct embed *embed)
{
    return embed->request.keep_seconds && embed->request.memo &&
           !embed->request.asked->unmapped_count;
}

/* All of which a vector is a function, and whose it is. */
static struct memo_key key_of(const struct embed *embed, size_t index)
{
    const struct embedding_input *input = &embed->request.asked->inputs[index];
    int64_t truncate = embed->request.asked->truncate;
    const struct str parts[] = {
        embed->request.keeper,
        embed->ask.target,
        input->text,
        STR_FROM((const char *)input->tokens, input->token_count * sizeof *input->tokens),
        input->task,
        input->title,
        STR_FROM((const char *)&input->dimensions, sizeof input->dimensions),
        STR_FROM((const char *)&truncate, sizeof truncate),
    };
    return memo_key_of(parts, sizeof parts / sizeof *parts);
}

static void look_up(struct embed *embed)
{
    struct memo *memo = embed->request.memo;
    uint64_t now_ms = loop_now_ms(embed->ask.router->options.loop);
    embed->kept = ARENA_NEW_ARRAY(embed->ask.arena, embed->request.asked->input_count, struct str);
    embed->missing_count = embed->request.asked->input_count;
    for (size_t i = 0; may_keep(embed) && i < embed->request.asked->input_count; i++) {
        struct memo_key key = key_of(embed, i);
        if (memo_get(memo, &key, now_ms, embed->ask.arena, &embed->kept[i]))
            embed->missing_count--;
    }
}

static void keep(struct embed *embed)
{
    struct memo *memo = embed->request.memo;
    uint64_t now_ms = loop_now_ms(embed->ask.router->options.loop);
    for (size_t i = 0, next = 0; may_keep(embed) && i < embed->request.asked->input_count; i++) {
        if (embed->kept[i].data)
            continue;
        struct embedding_vector vector = embed->answer.vectors[next++];
        struct memo_key key = key_of(embed, i);
        char *bytes = arena_alloc(embed->ask.arena, vector.count * 4);
        embedding_pack(vector, bytes);
        memo_put(memo, &key, STR_FROM(bytes, vector.count * 4), now_ms,
                 embed->request.keep_seconds * 1000);
    }
}

/* ---- What is sent ---------------------------------------------------------------------------- */

static struct embedding_request missing_of(const struct embed *embed, struct arena *scratch)
{
    struct embedding_request missing = *embed->request.asked;
    missing.inputs = ARENA_NEW_ARRAY(scratch, embed->missing_count, struct embedding_input);
    missing.input_count = 0;
    for (size_t i = 0; i < embed->request.asked->input_count; i++)
        if (!embed->kept[i].data)
            missing.inputs[missing.input_count++] = embed->request.asked->inputs[i];
    return missing;
}

static enum err note_dropped(struct embed *embed, unsigned losses, struct error *error)
{
    struct buf names;
    buf_init(&names, 8192);
    embedding_losses_write(losses, &names);
    for (size_t i = 0; i < embed->request.asked->unmapped_count && names.len < 4000; i++)
        buf_printf(&names, "%s%.*s", names.len ? ", " : "",
                   STR_ARG(embed->request.asked->unmapped[i]));
    enum err code = ask_drop(&embed->ask, buf_str(&names), error);
    buf_done(&names);
    return code;
}

/* In the provider's form, and only what is not kept. */
static enum err translate(struct embed *embed, struct arena *scratch, struct buf *out,
                          struct error *error)
{
    unsigned losses = 0;
    struct embedding_request missing = missing_of(embed, scratch);
    enum err code =
        embed->codec->encode_request(&missing, embed->ask.target_model, out, &losses, error);
    return code == ERR_OK ? note_dropped(embed, losses, error) : code;
}

/* The caller's own bytes, but for the model, which Gemini's have in several places. */
static void forward(const struct embed *embed, struct arena *scratch, struct buf *out)
{
    struct str body = embed->request.body;
    struct str model = embed->ask.target_model;
    if (embed->request.form->dialect == &dialect_gemini)
        model = arena_printf(scratch, "models/%.*s", STR_ARG(model));
    if (embed->request.form == &embedding_gemini)
        passthrough_with_model_in(body, STR("requests"), model, out);
    else
        passthrough_with_model(body, NULL, model, out);
}

static const struct embedding_codec *codec_of(const struct provider_kind *kind)
{
    return kind->path_embeddings ? embedding_codec_of(kind->dialect) : NULL;
}

static bool may_ask(void *user, const struct target *target)
{
    (void)user;
    return codec_of(target->provider->kind) != NULL;
}

static enum err prepare(void *user, struct arena *scratch, struct relay_attempt *attempt,
                        struct error *error)
{
    struct embed *embed = user;
    const struct embedding_codec *form = embed->request.form;
    struct buf out;
    enum err code = ERR_OK;
    ask_turn(&embed->ask, attempt);
    embed->codec = codec_of(embed->ask.kind);
    look_up(embed);
    embed->is_raw = embed->codec->dialect == form->dialect &&
                    embed->missing_count == embed->request.asked->input_count;
    attempt->is_answered = embed->missing_count == 0;
    if (attempt->is_answered)
        return ERR_OK;
    buf_init(&out, ASK_REQUEST_BYTES_MAX);
    if (embed->is_raw)
        forward(embed, scratch, &out);
    else
        code = translate(embed, scratch, &out, error);
    if (code != ERR_OK) {
        buf_done(&out);
        return code;
    }
    const char *path = embed->is_raw && form->path ? form->path : embed->ask.kind->path_embeddings;
    return ask_send(&embed->ask, scratch, attempt, path, &out, error);
}

/* ---- The answer ------------------------------------------------------------------------------ */

static enum embed_kept kept_of(const struct embed *embed)
{
    if (!embed->kept || !may_keep(embed))
        return EMBED_UNKEPT;
    return embed->missing_count == 0                                   ? EMBED_HIT
           : embed->missing_count == embed->request.asked->input_count ? EMBED_MISS
                                                                       : EMBED_PARTIAL;
}

/* The embed is gone after it. */
static void tell(struct embed *embed, struct buf *body, const struct llm_error *error)
{
    const struct embed_result result = {
        .error = error,
        .body = body,
        .target = embed->ask.target,
        .attempts = relay_attempts(embed->ask.relay),
        .dropped = embed->ask.dropped,
        .kept = kept_of(embed),
        .limits = relay_view(embed->ask.relay),
    };
    embed->done(embed->user, &result);
    ask_free(&embed->ask);
}

static void tell_error(struct embed *embed, const struct llm_error *error)
{
    tell(embed, NULL, error);
}

static void tell_class(struct embed *embed, enum err class, const char *message)
{
    struct llm_error error;
    dialect_error_set(&error, class, message);
    error.retry_after_ms = -1;
    tell_error(embed, &error);
}

/* No target of what was asked for makes vectors: names those providers that do. */
static enum err set_unsupported(const struct embed *embed, struct error *error)
{
    const struct catalog *catalog = registry_acquire(embed->ask.router->options.registry);
    struct str model = embed->request.asked->model;
    struct buf names;
    buf_init(&names, 400);
    for (size_t i = 0; i < catalog->provider_count; i++) {
        const struct provider *provider = catalog->providers[i].provider;
        if (provider && provider->kind->path_embeddings)
            buf_printf(&names, "%s%.*s", names.len ? ", " : "", STR_ARG(provider->name));
    }
    error_set(error, ERR_INVALID, "model",
              "'%.*s' makes no embeddings; providers here that can: %.*s",
              (int)(model.len < 300 ? model.len : 300), model.data,
              STR_ARG(names.len ? buf_str(&names) : STR("none")));
    buf_done(&names);
    catalog_unref(catalog);
    return ERR_INVALID;
}

/* Its body, once: whoever asks first. */
static void read_answer(struct embed *embed)
{
    yyjson_val *root = NULL;
    if (embed->is_read)
        return;
    embed->is_read = true;
    struct arena *values = arena_new(SIZE_MAX); /* the body is bounded */
    embed->is_good =
        buf_ok(&embed->ask.body) &&
        json_read(values, buf_str(&embed->ask.body), &root, NULL) == ERR_OK &&
        embed->codec->decode_answer(embed->ask.arena, root, &embed->answer) == ERR_OK &&
        embed->answer.count == embed->missing_count;
    if (embed->is_good)
        embed->answer.model = arena_str(embed->ask.arena, embed->answer.model);
    arena_free(values);
}

/* Providers that tell no count get ours. */
static struct llm_usage usage_told(struct embed *embed)
{
    struct llm_usage usage = embed->answer.usage;
    struct embedding_request missing = missing_of(embed, embed->ask.arena);
    if (usage.input_total < 0) {
        usage.input_total = embedding_estimate(&missing);
        usage.is_estimated = true;
    }
    usage.output_total = 0;
    return usage;
}

static void usage_of(void *user, const struct relay_attempt *attempt, struct str body,
                     struct llm_usage *ret_usage)
{
    struct embed *embed = user;
    (void)attempt, (void)body; /* read along */
    read_answer(embed);
    if (embed->is_good)
        *ret_usage = usage_told(embed);
}

/* All vectors in order, of which some were kept. */
static struct embedding_answer whole_of(struct embed *embed)
{
    size_t count = embed->request.asked->input_count, next = 0;
    struct embedding_answer whole = {
        .model = embed->answer.model.len ? embed->answer.model : embed->ask.target_model,
        .vectors = ARENA_NEW_ARRAY(embed->ask.arena, count, struct embedding_vector),
        .count = count,
        .usage = LLM_USAGE_UNKNOWN,
    };
    if (embed->missing_count)
        whole.usage = usage_told(embed);
    else if (count)
        whole.usage.input_total = 0; /* nothing was asked */
    for (size_t i = 0; i < count; i++)
        whole.vectors[i] = embed->kept && embed->kept[i].data
                               ? embedding_unpack(embed->ask.arena, embed->kept[i])
                               : embed->answer.vectors[next++];
    return whole;
}

static void tell_whole(struct embed *embed)
{
    const struct embed_request *request = &embed->request;
    struct buf out;
    buf_init(&out, ASK_ANSWER_BYTES_MAX * 2);
    if (embed->is_raw && embed->missing_count) {
        buf_swap(&out, &embed->ask.body);
    } else {
        struct embedding_answer whole = whole_of(embed);
        unsigned losses = 0; /* of the model and the count: the ledger has both */
        request->form->encode_answer(&whole, request->asked->encoding, &out, &losses);
    }
    if (buf_ok(&out))
        tell(embed, &out, NULL);
    else
        tell_class(embed, ERR_TOO_BIG, "the answer is too long");
    buf_done(&out);
}

static void tell_unsupported(struct embed *embed)
{
    struct error told = {0};
    struct llm_error error;
    dialect_error_set(&error, set_unsupported(embed, &told), told.message);
    error.retry_after_ms = -1;
    str_copy(str_from_cstr(told.field), error.field, sizeof error.field);
    tell_error(embed, &error);
}

static void on_end(struct ask *ask, const struct llm_error *error)
{
    struct embed *embed = (struct embed *)ask;
    if (error && error->class == ERR_UNSUPPORTED) {
        tell_unsupported(embed);
    } else if (error) {
        tell_error(embed, error);
    } else if (!ask->status) { /* everything was kept */
        tell_whole(embed);
    } else {
        read_answer(embed);
        if (embed->is_good) {
            keep(embed);
            tell_whole(embed);
        } else {
            tell_class(embed, ERR_SERVER, "the provider's answer is not its protocol");
        }
    }
}

/* ---- Life ------------------------------------------------------------------------------------ */

enum err embed_start(struct router *router, const struct embed_request *request,
                     embed_done_fn *done, void *user, struct embed **ret_embed, struct error *error)
{
    struct arena *arena = arena_new(ARENA_BYTES_MAX);
    struct embed *embed = ARENA_NEW(arena, struct embed);
    const struct relay_request relay = {
        .origin = request->origin,
        .model = request->asked->model,
        .chain = request->chain,
        .chain_count = request->chain_count,
        .priority = request->priority,
        .input_tokens = embedding_estimate(request->asked),
        .body_bytes_max = ASK_ANSWER_BYTES_MAX,
        .is_retried = true,
        .may_ask = may_ask,
        .prepare = prepare,
        .usage_of = usage_of,
    };
    *embed = (struct embed){.request = *request, .done = done, .user = user};
    ask_init(&embed->ask, arena, router, on_end);
    embed->ask.is_strict = request->strict;
    embed->answer.usage = LLM_USAGE_UNKNOWN;
    enum err code = ask_start(&embed->ask, &relay, error);
    if (code == ERR_UNSUPPORTED)
        code = set_unsupported(embed, error);
    if (code == ERR_OK)
        *ret_embed = embed;
    else
        ask_free(&embed->ask);
    return code;
}

void embed_cancel(struct embed *embed)
{
    ask_cancel(&embed->ask);
}
