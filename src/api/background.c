/* Background: between the responses door and the runs of the chat floor. The door lets go of its
 * client's exchange as soon as the run is kept; the run does not know of it. */
#include "api/background.h"

#include "api/keeping.h"
#include "api/origin.h"
#include "api/run_reader.h"
#include "chat/response_frames.h"
#include "chat/stored_response.h"

/* One client that waits for the queued object; in the exchange's arena. */
struct asking {
    struct api_request *request;
    struct response_run *run;
    bool is_streamed;
};

static void on_abort(void *user)
{
    struct asking *asking = user;
    response_run_forget(asking->run);
    http_respond_break(asking->request->exchange);
}

static void on_accepted(void *user, const struct response_accepted *accepted)
{
    struct asking *asking = user;
    struct api_request *request = asking->request;
    http_exchange_on_abort(request->exchange, NULL, NULL);
    api_write_limits(request, accepted->limits);
    if (accepted->error) {
        api_fail_llm(request, accepted->error);
    } else if (accepted->code != ERR_OK) {
        api_fail(request, accepted->code, NULL);
    } else if (asking->is_streamed) {
        run_reader_start(request, run_log_ref(accepted->log), 0);
    } else {
        http_respond_header(request->exchange, "cache-control", STR("no-store"));
        http_respond(request->exchange, 200, "application/json", accepted->answer);
    }
}

enum err background_start(struct api_request *request, struct response_ask *ask,
                          struct error *error)
{
    struct asking *asking = ARENA_NEW(request->arena, struct asking);
    asking->request = request;
    asking->is_streamed = ask->is_streamed;
    ask->owner = request->who.user;
    ask->keep_ms = keeping_days_ms(request);
    ask->bytes_max = keeping_bytes_max(request);
    ask->at_once_max = (size_t)keeping_setting(request, "responses.background_max");
    enum err code = response_run_start(request->api->options.chat, ask, on_accepted, asking,
                                       &asking->run, error);
    if (code == ERR_OK)
        http_exchange_on_abort(request->exchange, on_abort, asking);
    return code;
}

/* ---- What is kept ---------------------------------------------------------------------------- */

static bool find_run(struct api_request *request, struct str id, struct hub_run *ret_run)
{
    struct id parsed;
    return str_starts_with(id, STR("resp_")) && id_parse(str_skip(id, 5), &parsed) &&
           hub_find_response(request->api->options.hub, &parsed, ret_run) == ERR_OK;
}

/* After a crash or a restart. */
static struct str as_lost(struct api_request *request, const struct store_response *response)
{
    const struct response_words words = {.id = response->id,
                                         .status = STR("failed"),
                                         .error = STR("{\"code\":\"server_error\",\"message\":"
                                                      "\"The server was stopped before the answer "
                                                      "was whole.\"}"),
                                         .created_s = response->created_ms / 1000};
    yyjson_val *answer;
    if (json_read(request->arena, response->answer, &answer, NULL) != ERR_OK)
        return response->answer;
    return response_in_words(request->arena, answer, &words);
}

struct str background_shown(struct api_request *request, const struct store_response *response,
                            struct run_log **ret_log)
{
    struct hub_run run = {0};
    bool is_known = find_run(request, response->id, &run);
    *ret_log = run.log;
    return is_known || !stored_response_is_under_way(response) ? response->answer
                                                               : as_lost(request, response);
}

void background_cancel(struct api_request *request, struct str id)
{
    struct hub_run run;
    if (!find_run(request, id, &run))
        return;
    run_log_unref(run.log);
    (void)!chat_stop_response(request->api->options.chat, &request->who.user, &run.id);
}
