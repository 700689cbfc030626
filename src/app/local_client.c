/* Local client: an HTTP client on a loop of its own, and perhaps a server of its own on a thread.
 */
#include "app/local_client.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "app/server.h"
#include "base/assert.h"
#include "base/crypto.h"

enum { ANSWER_BYTES_MAX = 64 * 1024 * 1024, TIMEOUT_MS = 120 * 1000 };

struct local_client {
    char socket_path[4200];
    struct arena *arena;
    struct loop *loop;
    struct http_client *http;
    struct server *server; /* our own, or NULL */
    pthread_t thread;
    struct buf body;
    FILE *copy; /* where a good answer goes instead; NULL: nowhere */
    int status;
    bool ended;
    struct error error;
};

/* Whether somebody answers on the socket. */
static bool is_listening(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (!str_copy(str_from_cstr(path), address.sun_path, sizeof address.sun_path))
        return false;
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool ok = fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof address) == 0;
    if (fd >= 0)
        close(fd);
    return ok;
}

static void *server_main(void *user)
{
    server_run(user);
    return NULL;
}

static enum err start_own(struct local_client *client, struct config *config, struct error *error)
{
    enum err code = server_new(config, SERVER_LOCAL, &client->server, error);
    if (code != ERR_OK)
        return code;
    if (pthread_create(&client->thread, NULL, server_main, client->server) != 0) {
        server_free(client->server);
        client->server = NULL;
        return error_set(error, ERR_INTERNAL, NULL, "a thread cannot be started");
    }
    return ERR_OK;
}

enum err local_client_open(struct config *config, struct local_client **ret_client,
                           struct error *error)
{
    struct local_client *client = calloc(1, sizeof *client);
    ASSERT(client);
    enum err code = ERR_OK;
    crypto_init();
    server_socket_path(config, client->socket_path, sizeof client->socket_path);
    if (is_listening(client->socket_path))
        config_free(config);
    else
        code = start_own(client, config, error);
    if (code != ERR_OK) {
        free(client);
        return code;
    }
    client->arena = arena_new(SIZE_MAX);
    client->loop = loop_new(0, NULL);
    client->http = http_client_new(client->loop, &(struct http_client_options){0});
    buf_init(&client->body, ANSWER_BYTES_MAX);
    *ret_client = client;
    return ERR_OK;
}

void local_client_close(struct local_client *client)
{
    http_client_free(client->http);
    loop_free(client->loop);
    if (client->server) {
        server_stop(client->server);
        pthread_join(client->thread, NULL);
        server_free(client->server);
    }
    buf_done(&client->body);
    arena_free(client->arena);
    free(client);
}

bool local_client_is_remote(const struct local_client *client)
{
    return client->server == NULL;
}

/* ---- One call
 * ------------------------------------------------------------------------------------------------
 */

static void on_headers(void *user, int status, const struct http_headers *headers)
{
    struct local_client *client = user;
    (void)headers;
    client->status = status;
}

static void on_body(void *user, struct str data)
{
    struct local_client *client = user;
    if (client->copy && client->status >= 200 && client->status <= 299)
        fwrite(data.data, 1, data.len,
               client->copy); /* whether all was written is asked at the end */
    else
        buf_append(&client->body, data);
}

static void on_done(void *user)
{
    struct local_client *client = user;
    client->ended = true;
    loop_stop(client->loop);
}

static void on_error(void *user, const struct error *error)
{
    struct local_client *client = user;
    client->error = *error;
    on_done(user);
}

static enum err take_answer(struct local_client *client, yyjson_val **ret_root, struct error *error)
{
    yyjson_val *root = NULL;
    if (!buf_ok(&client->body))
        return error_set(error, ERR_TOO_BIG, NULL, "the answer is too large");
    if (client->body.len &&
        json_read(client->arena, buf_str(&client->body), &root, error) != ERR_OK)
        return error_set(error, ERR_CORRUPT, NULL, "the server's answer is not JSON");
    if (client->status >= 200 && client->status <= 299) {
        *ret_root = root;
        return ERR_OK;
    }
    yyjson_val *wrong = json_get(root, "error");
    enum err code = err_from_name(json_get_str(wrong, "code"));
    struct str field = json_get_str(wrong, "field"), remedy = json_get_str(wrong, "remedy");
    char name[128];
    str_copy(field, name, sizeof name);
    error_set(error, code, name, "%.*s", STR_ARG(json_get_str(wrong, "message")));
    error_remedy(error, "%.*s", STR_ARG(remedy));
    return code;
}

/* Asks, and waits for the end of the answer. */
static enum err run_call(struct local_client *client, enum http_method method, const char *target,
                         struct str body, uint64_t timeout_ms, struct error *error)
{
    static const struct http_call_events events = {on_headers, on_body, on_done, on_error, NULL};
    struct http_call_request request = {
        .method = method,
        .url = arena_printf(client->arena, "http://unix:%s:%s", client->socket_path, target),
        .body = body,
        .total_timeout_ms = timeout_ms,
    };
    struct http_call *call;
    if (body.len)
        http_headers_add(&request.headers, client->arena, STR("content-type"),
                         STR("application/json"));
    buf_clear(&client->body);
    client->status = 0;
    client->ended = false;
    client->error = (struct error){0};
    enum err code = http_call_start(client->http, &request, &events, client, &call, error);
    if (code != ERR_OK)
        return code;
    while (!client->ended)
        loop_run(client->loop);
    if (client->error.code != ERR_OK)
        *error = client->error;
    return client->error.code;
}

enum err local_client_call(struct local_client *client, enum http_method method, const char *target,
                           struct str body, yyjson_val **ret_root, struct error *error)
{
    enum err code = run_call(client, method, target, body, TIMEOUT_MS, error);
    return code == ERR_OK ? take_answer(client, ret_root, error) : code;
}

enum err local_client_wait(struct local_client *client, enum http_method method, const char *target,
                           struct str body, yyjson_val **ret_root, struct error *error)
{
    enum err code = run_call(client, method, target, body, 0, error);
    return code == ERR_OK ? take_answer(client, ret_root, error) : code;
}

enum err local_client_copy(struct local_client *client, const char *target, FILE *out,
                           struct error *error)
{
    yyjson_val *root;
    client->copy = out;
    enum err code = run_call(client, HTTP_GET, target, STR(""), 0, error);
    client->copy = NULL;
    if (code == ERR_OK)
        code = take_answer(client, &root, error);
    if (code == ERR_OK && (fflush(out) != 0 || ferror(out)))
        code = error_set(error, ERR_STORAGE, NULL, "the output cannot be written");
    return code;
}
