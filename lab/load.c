/* parley-load: requests, streams or idle sockets against a server on this machine. Prints one line
 * of JSON. Options only; the work is in load_requests.c, load_streams.c and load_sockets.c. */
#include "load.h"

#include <arpa/inet.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

enum {
    BODY_BYTES_MAX = 64 * 1024 * 1024,
    CONNECTIONS_MAX = 100000,
    PATIENCE_S = 30,
    VARY_BYTES_MIN = 16,
    VARY_BYTES_MAX = 20
};

static const char usage[] =
    "parley-load requests --url URL --body FILE [--connections 64] [--requests N | --seconds S]\n"
    "parley-load streams  --url URL --body FILE [--connections 200] [--requests N] [--hold]\n"
    "                     [--marker TEXT] [--ramp-ms N]\n"
    "parley-load sockets  --url URL --connections N [--seconds S]\n"
    "  --bearer KEY   sent as Authorization: Bearer\n"
    "  --vary TEXT    in place of it, where it first stands in the body, a number: another one "
    "each\n"
    "                 time, and in each run; of 16 to 20 bytes\n"
    "  --header TEXT  one more header line (any number)\n"
    "  --ca FILE      trusted roots, for https\n"
    "  --patience S   nothing for so long is a failure [30]\n"
    "URL is http(s)://127.0.0.1:port/path.\n";

struct arguments {
    struct load_options options;
    struct arena *arena;
    struct buf headers;
    const char *url, *body_path, *ca_path;
    struct str vary;
};

static bool read_number(const char *text, uint64_t *ret)
{
    return str_to_u64(str_from_cstr(text), ret);
}

static bool read_option(struct arguments *arguments, int option, const char *text)
{
    struct load_options *options = &arguments->options;
    uint64_t number;
    switch (option) {
    case 'u':
        arguments->url = text;
        return true;
    case 'b':
        arguments->body_path = text;
        return true;
    case 'a':
        arguments->ca_path = text;
        return true;
    case 'k':
        options->bearer = str_from_cstr(text);
        buf_printf(&arguments->headers, "Authorization: Bearer %s\r\n", text);
        return true;
    case 'h':
        buf_printf(&arguments->headers, "%s\r\n", text);
        return true;
    case 'v':
        arguments->vary = str_from_cstr(text);
        return arguments->vary.len >= VARY_BYTES_MIN && arguments->vary.len <= VARY_BYTES_MAX;
    case 'm':
        options->marker = str_from_cstr(text);
        return true;
    case 'o':
        options->hold = true;
        return true;
    case 'c':
        if (!read_number(text, &number) || !number || number > CONNECTIONS_MAX)
            return false;
        options->connections = (size_t)number;
        return true;
    case 'r':
        return read_number(text, &options->requests);
    case 's':
        return read_number(text, &options->seconds);
    case 'w':
        return read_number(text, &options->ramp_ms);
    case 'p':
        return read_number(text, &options->patience_s);
    default:
        return false;
    }
}

static bool read_arguments(int count, char **texts, struct arguments *arguments)
{
    static const struct option options[] = {{"url", required_argument, NULL, 'u'},
                                            {"body", required_argument, NULL, 'b'},
                                            {"connections", required_argument, NULL, 'c'},
                                            {"requests", required_argument, NULL, 'r'},
                                            {"seconds", required_argument, NULL, 's'},
                                            {"vary", required_argument, NULL, 'v'},
                                            {"marker", required_argument, NULL, 'm'},
                                            {"bearer", required_argument, NULL, 'k'},
                                            {"header", required_argument, NULL, 'h'},
                                            {"ca", required_argument, NULL, 'a'},
                                            {"patience", required_argument, NULL, 'p'},
                                            {"ramp-ms", required_argument, NULL, 'w'},
                                            {"hold", no_argument, NULL, 'o'},
                                            {0}};
    for (int option; (option = getopt_long(count, texts, "", options, NULL)) != -1;) {
        if (!read_option(arguments, option, optarg))
            return false;
    }
    return arguments->url && optind == count;
}

static enum err read_body(struct arguments *arguments, struct buf *out, struct error *error)
{
    if (!arguments->body_path)
        return ERR_OK;
    FILE *file = fopen(arguments->body_path, "r");
    if (!file)
        return error_set(error, ERR_NOT_FOUND, NULL, "cannot open %s", arguments->body_path);
    char piece[16384];
    for (size_t count; (count = fread(piece, 1, sizeof piece, file));)
        buf_append(out, STR_FROM(piece, count));
    fclose(file);
    return buf_ok(out) ? ERR_OK
                       : error_set(error, ERR_TOO_BIG, NULL, "%s is too big", arguments->body_path);
}

static enum err prepare_target(struct arguments *arguments, struct error *error)
{
    struct load_options *options = &arguments->options;
    struct load_target *target = &options->target;
    enum err code = url_parse(str_from_cstr(arguments->url), &options->url, error);
    if (code != ERR_OK)
        return code;
    const char *host = arena_cstr(arguments->arena, options->url.host);
    target->address.sin_family = AF_INET;
    target->address.sin_port = htons(options->url.port);
    target->server_name = host;
    if (inet_pton(AF_INET, host, &target->address.sin_addr) != 1 || strncmp(host, "127.", 4) != 0)
        return error_set(error, ERR_INVALID, NULL, "only 127.0.0.0/8 is loaded, not %s", host);
    if (options->url.tls)
        return tls_context_new_client(arguments->ca_path, &target->tls, error);
    return ERR_OK;
}

/* The digits begin at the time in nanoseconds: a later run begins behind all that this one sends. */
static enum err prepare_counter(struct load_options *options, struct str vary, size_t body_at,
                                struct error *error)
{
    char digits[VARY_BYTES_MAX + 1];
    struct timespec now;
    size_t at = str_find(str_skip(buf_str(&options->request), body_at), vary);
    if (at == SIZE_MAX)
        return error_set(error, ERR_NOT_FOUND, NULL, "'%.*s' is not in the body", STR_ARG(vary));
    clock_gettime(CLOCK_REALTIME, &now);
    snprintf(digits, sizeof digits, "%0*lld", VARY_BYTES_MAX,
             (long long)now.tv_sec * 1000000000 + now.tv_nsec);
    char *counter = options->request.data + body_at + at;
    memcpy(counter, digits + VARY_BYTES_MAX - vary.len, vary.len);
    options->counter = STR_FROM(counter, vary.len);
    return ERR_OK;
}

static enum err prepare_request(struct arguments *arguments, struct error *error)
{
    struct load_options *options = &arguments->options;
    struct buf body;
    buf_init(&body, BODY_BYTES_MAX);
    enum err code = read_body(arguments, &body, error);
    const char *method = arguments->body_path ? "POST" : "GET";
    buf_printf(&options->request, "%s %.*s%s%.*s HTTP/1.1\r\nHost: 127.0.0.1:%u\r\n", method,
               STR_ARG(options->url.path), options->url.query.len ? "?" : "",
               STR_ARG(options->url.query), options->url.port);
    if (arguments->body_path)
        buf_printf(&options->request, "Content-Type: application/json\r\nContent-Length: %zu\r\n",
                   body.len);
    buf_append(&options->request, buf_str(&arguments->headers));
    buf_append(&options->request, STR("\r\n"));
    size_t body_at = options->request.len;
    buf_append(&options->request, buf_str(&body));
    buf_done(&body);
    if (code == ERR_OK && arguments->vary.len)
        code = prepare_counter(options, arguments->vary, body_at, error);
    return code;
}

static void raise_descriptor_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit))
        return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

static const struct kind {
    const char *name;
    int (*run)(const struct load_options *options);
    size_t connections;
} kinds[] = {
    {"requests", load_requests, 64},
    {"streams", load_streams, 200},
    {"sockets", load_sockets, 1000},
};

static const struct kind *find_kind(const char *name)
{
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        if (!strcmp(kinds[i].name, name))
            return &kinds[i];
    }
    return NULL;
}

int main(int count, char **texts)
{
    struct arguments arguments = {.arena = arena_new(64 * 1024)};
    struct error error = {0};
    const struct kind *kind = count > 1 ? find_kind(texts[1]) : NULL;
    int status = 2;
    arguments.options.marker = STR("word-");
    arguments.options.patience_s = PATIENCE_S;
    arguments.options.connections = kind ? kind->connections : 0;
    buf_init(&arguments.headers, 16 * 1024);
    buf_init(&arguments.options.request, BODY_BYTES_MAX + 64 * 1024);
    signal(SIGPIPE, SIG_IGN);
    raise_descriptor_limit();
    if (!kind || !read_arguments(count - 1, texts + 1, &arguments))
        fputs(usage, stderr);
    else if (prepare_target(&arguments, &error) != ERR_OK ||
             prepare_request(&arguments, &error) != ERR_OK)
        fprintf(stderr, "parley-load: %s\n", error_message(&error));
    else
        status = kind->run(&arguments.options);
    tls_context_unref(arguments.options.target.tls);
    buf_done(&arguments.options.request);
    buf_done(&arguments.headers);
    arena_free(arguments.arena);
    return status;
}
