/* REST: answers in flight, and their events for who cannot use a WebSocket. */
#include "api/run_reader.h"

/* The run named in the path, if it is this person's. The caller gives its log back. */
static bool find_run(struct api_request *request, struct hub_run *ret_run)
{
    struct id id;
    if (!api_parameter_id(request, 0, &id))
        return false;
    enum err code = hub_find_run(request->api->options.hub, &id, ret_run);
    if (code == ERR_OK) {
        code = authorise(&request->who, request->endpoint->verb,
                         (struct authorise_object){&ret_run->owner}, NULL);
        if (code == ERR_OK)
            return true;
        run_log_unref(ret_run->log);
    }
    struct error error = {0};
    error_set(&error, code, "run_id", "this answer is not being written (any more)");
    error_remedy(&error, "Load the conversation: a finished answer is in it.");
    api_fail(request, code, &error);
    return false;
}

void api_get_run(struct api_request *request)
{
    struct hub_run run;
    struct api_reply reply;
    if (!find_run(request, &run))
        return;
    api_reply_begin(&reply);
    json_key_object(&reply.w, "run");
    json_key_str(&reply.w, "id", id_str(&run.id));
    json_key_str(&reply.w, "conversation_id", id_str(&run.conversation));
    json_key_str(&reply.w, "message_id", id_str(&run.message));
    json_key_str(&reply.w, "status", run_log_is_closed(run.log) ? STR("ended") : STR("streaming"));
    json_key_int(&reply.w, "last_seq", (int64_t)run_log_last_sequence(run.log));
    json_end_object(&reply.w);
    run_log_unref(run.log);
    api_reply(request, 200, &reply);
}

void api_stop_run(struct api_request *request)
{
    struct hub_run run;
    if (!find_run(request, &run))
        return;
    run_log_unref(run.log);
    enum err code = chat_stop(request->api->options.chat, &run.owner, &run.id);
    if (!api_failed(request, code, NULL))
        api_reply_nothing(request);
}

/* ---- Events ---------------------------------------------------------------------------------- */

/* From the query, else from the header that browsers send when they reconnect. */
static bool read_after(struct api_request *request, uint64_t *ret)
{
    struct str after = api_query(request, "after");
    if (!after.data)
        after = http_headers_get(&request->http->headers, "last-event-id");
    *ret = 0;
    return !after.len || str_to_u64(after, ret);
}

void api_get_run_events(struct api_request *request)
{
    struct hub_run run;
    uint64_t after;
    if (!read_after(request, &after)) {
        struct error error = {0};
        error_set(&error, ERR_INVALID, "after", "must be a sequence number");
        api_fail(request, ERR_INVALID, &error);
        return;
    }
    if (!find_run(request, &run))
        return;
    run_reader_start(request, run.log, after);
}
