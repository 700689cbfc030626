/* parley import litellm FILE: our configuration on standard output or in a file, what has no
 * equivalent on standard error. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "app/commands.h"
#include "app/files.h"
#include "app/import_litellm.h"
#include "app/yaml_tree.h"

enum { OUT_BYTES_MAX = 4 * 1024 * 1024, OUTPUT = 0, FORCE = 0 };

static const char *variable(void *user, const char *name)
{
    (void)user;
    return getenv(name);
}

static enum err write_all(int fd, struct str text, const char *path, struct error *error)
{
    while (text.len) {
        ssize_t written = write(fd, text.data, text.len);
        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return error_set(error, ERR_STORAGE, NULL, "%s: %s", path, strerror(errno));
        text = str_skip(text, (size_t)written);
    }
    return ERR_OK;
}

/* For its owner alone: keys will be put into it. */
static enum err write_file(const char *path, struct str text, bool may_replace, struct error *error)
{
    int flags = O_WRONLY | O_CREAT | O_CLOEXEC | (may_replace ? O_TRUNC : O_EXCL);
    int fd = open(path, flags, 0600);
    if (fd < 0 && errno == EEXIST) {
        error_set(error, ERR_CONFLICT, NULL, "%s exists already", path);
        error_remedy(error, "Name another file, or give --force.");
        return ERR_CONFLICT;
    }
    if (fd < 0)
        return error_set(error, ERR_STORAGE, NULL, "%s: %s", path, strerror(errno));
    enum err code = write_all(fd, text, path, error);
    close(fd);
    return code;
}

static enum err convert(const char *path, struct buf *out, struct buf *notes, struct error *error)
{
    static const struct import_environment environment = {variable, NULL};
    struct error detail = {0};
    struct buf text;
    buf_init(&text, YAML_TREE_BYTES_MAX);
    enum err code = file_read(path, &text, error);
    if (code == ERR_OK) {
        code = import_litellm(buf_str(&text), &environment, out, notes, &detail);
        if (code != ERR_OK)
            error_set(error, code, NULL, "%s: %s", path, detail.message);
    }
    buf_done(&text);
    return code;
}

static int run(const struct config_arguments *arguments, struct buf *out, struct buf *notes)
{
    char path[4096];
    struct error error = {0};
    enum err code = convert(arguments->rest[1], out, notes, &error);
    bool has_path = code == ERR_OK && arguments->own[OUTPUT].data;
    if (has_path && !str_copy(arguments->own[OUTPUT], path, sizeof path))
        code = error_set(&error, ERR_INVALID, "--output", "is too long");
    if (code == ERR_OK && has_path)
        code = write_file(path, buf_str(out), arguments->switched[FORCE], &error);
    else if (code == ERR_OK)
        code = write_all(STDOUT_FILENO, buf_str(out), "standard output", &error);
    if (code == ERR_OK &&
        write_all(STDERR_FILENO, buf_str(notes), "standard error", NULL) == ERR_OK)
        return 0;
    error.code = code;
    return command_fail(&error);
}

int command_import(struct config *config, const struct config_arguments *arguments)
{
    struct buf out, notes;
    config_free(config);
    if (arguments->rest_count != 2 || strcmp(arguments->rest[0], "litellm") != 0)
        return command_usage("import");
    buf_init(&out, OUT_BYTES_MAX);
    buf_init(&notes, OUT_BYTES_MAX);
    int status = run(arguments, &out, &notes);
    buf_done(&out);
    buf_done(&notes);
    return status;
}
