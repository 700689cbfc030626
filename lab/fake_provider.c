/* fake-provider: a provider of language models that lies in a different way for every model name.
 * See lab/README.md. Wiring only: options, loop, listener. */
#include <getopt.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "fake_server.h"
#include "net/listener.h"

struct arguments {
    uint16_t port;
    const char *certificate, *certificate_key;
    const char *key;
    bool quiet;
};

static void usage(FILE *out)
{
    fputs(
        "fake-provider [--port N] [--key SECRET] [--tls CERTIFICATE KEY] [--quiet]\n"
        "Answers as OpenAI, Anthropic, Gemini and Ollama do, on 127.0.0.1; the model's name says\n"
        "how (lab/README.md). Port 0, the default, is a free one. --quiet: no log.\n",
        out);
}

static bool read_arguments(int count, char **texts, struct arguments *ret)
{
    static const struct option options[] = {{"port", required_argument, NULL, 'p'},
                                            {"key", required_argument, NULL, 'k'},
                                            {"tls", required_argument, NULL, 't'},
                                            {"quiet", no_argument, NULL, 'q'},
                                            {0}};
    *ret = (struct arguments){0};
    uint64_t port = 0;
    for (int option; (option = getopt_long(count, texts, "", options, NULL)) != -1;) {
        if (option == 'p' && (!str_to_u64(str_from_cstr(optarg), &port) || port > UINT16_MAX))
            return false;
        else if (option == 'k')
            ret->key = optarg;
        else if (option == 't' && optind < count) {
            ret->certificate = optarg;
            ret->certificate_key = texts[optind++];
        } else if (option == 'q')
            ret->quiet = true;
        else if (option != 'p')
            return false;
    }
    ret->port = (uint16_t)port;
    return optind == count;
}

/* As many descriptors as the machine lets us have. */
static void raise_descriptor_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit))
        return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

static void on_signal(uv_signal_t *handle, int number)
{
    (void)number;
    loop_stop(handle->data);
}

static void serve(struct loop *loop, uint16_t port)
{
    uv_signal_t signals[2];
    static const int numbers[] = {SIGTERM, SIGINT};
    for (int i = 0; i < 2; i++) {
        uv_signal_init(loop_uv(loop), &signals[i]);
        signals[i].data = loop;
        uv_signal_start(&signals[i], on_signal, numbers[i]);
    }
    printf("listening on 127.0.0.1:%" PRIu16 "\n", port);
    fflush(stdout);
    loop_run(loop);
    for (int i = 0; i < 2; i++)
        uv_close((uv_handle_t *)&signals[i], NULL);
    loop_run_once(loop);
}

static enum err run(const struct arguments *arguments, struct error *error)
{
    struct fake_server_options options = {.key = str_from_cstr(arguments->key),
                                          .quiet = arguments->quiet};
    struct loop *loop = loop_new(0, NULL);
    struct fake_server *server = NULL;
    struct listener *listener = NULL;
    uint16_t port = 0;
    enum err code = ERR_OK;
    if (arguments->certificate)
        code = tls_context_new_server(arguments->certificate, arguments->certificate_key,
                                      &options.tls, error);
    if (code == ERR_OK)
        code = listener_probe("127.0.0.1", arguments->port, &port, error);
    if (code == ERR_OK) {
        server = fake_server_new(loop, &options);
        code =
            listener_new_tcp(loop, "127.0.0.1", port, fake_server_accept, server, &listener, error);
    }
    if (code == ERR_OK)
        serve(loop, port);
    listener_close(listener);
    if (server)
        fake_server_free(server);
    loop_free(loop);
    tls_context_unref(options.tls);
    return code;
}

int main(int count, char **texts)
{
    struct arguments arguments;
    struct error error = {0};
    if (!read_arguments(count, texts, &arguments)) {
        usage(stderr);
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    raise_descriptor_limit();
    if (run(&arguments, &error) == ERR_OK)
        return 0;
    fprintf(stderr, "fake-provider: %s\n", error_message(&error));
    return 1;
}
