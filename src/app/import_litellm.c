/* Import: reads LiteLLM's file section by section into what of ours it becomes, then writes that.
 * Facts: LiteLLM's documents of config.yaml and of its router. */
#include "app/import_litellm_internal.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "app/config_load.h"
#include "app/routes.h"
#include "app/settings.h"
#include "base/assert.h"
#include "base/utf8.h"

enum { NOTE_BYTES_MAX = 1024 };

/* Control characters of their names do not reach a terminal. */
static void append_shown(struct buf *out, const char *text)
{
    for (; *text; text++)
        buf_append_char(out, (unsigned char)*text < ' ' || *text == 0x7F ? '?' : *text);
}

void import_note(struct import *import, struct str path, const char *format, ...)
{
    char text[NOTE_BYTES_MAX];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    if (import->notes->len > IMPORT_NOTES_BYTES_MAX)
        return;
    append_shown(import->notes, arena_cstr(import->arena, str_slice(path, 0, 200)));
    buf_append(import->notes, STR(": "));
    append_shown(import->notes, text);
    buf_append_char(import->notes, '\n');
    if (import->notes->len > IMPORT_NOTES_BYTES_MAX)
        buf_append(import->notes, STR("...: there is more than is worth reading\n"));
}

bool import_number(struct import *import, struct str path, struct yaml_value value, double minimum,
                   double maximum, double *ret)
{
    double number;
    char *end = NULL;
    if (yaml_is_null(value))
        return false;
    struct str text = yaml_text(value);
    char *copy = text.data ? arena_cstr(import->arena, str_slice(text, 0, 64)) : NULL;
    number = copy && copy[0] ? strtod(copy, &end) : 0; /* YAML has 1e-7, which JSON has too */
    if (!copy || !copy[0] || *end || !(number >= minimum && number <= maximum)) {
        import_note(import, path, "is no number from %g to %g: it was left out", minimum, maximum);
        return false;
    }
    *ret = number;
    return true;
}

struct str import_variable(struct str text)
{
    struct str prefix = STR("os.environ/");
    return str_starts_with(text, prefix) && text.len > prefix.len ? str_skip(text, prefix.len)
                                                                  : STR_NONE;
}

struct str import_target_id(const struct import *import, const struct import_target *target)
{
    return arena_printf(import->arena, "%.*s/%.*s",
                        STR_ARG(import->providers[target->provider].name), STR_ARG(target->model));
}

struct import_route *import_find_route(struct import *import, struct str theirs)
{
    for (size_t i = 0; i < import->route_count; i++)
        if (str_eq(import->routes[i].theirs, theirs))
            return &import->routes[i];
    return NULL;
}

/* ---- What our own rules say of the outcome ----------------------------------------------------- */

static void check_routes(struct import *import, const struct config *config)
{
    struct registry_entry *entries =
        ARENA_NEW_ARRAY(import->arena, import->provider_count + 1, struct registry_entry);
    struct registry_configuration configuration = {.entries = entries,
                                                   .entry_count = import->provider_count};
    for (size_t i = 0; i < import->provider_count; i++)
        entries[i].name = import->providers[i].name;
    routes_read(config, NULL, import->arena, &configuration);
    for (size_t i = 0; i < configuration.route_count; i++)
        if (configuration.routes[i].error.len)
            import_note(import, STR("model_list"), "%.*s", STR_ARG(configuration.routes[i].error));
}

static enum err check_outcome(struct import *import, struct str out, struct error *error)
{
    struct config *config = config_new(&settings_schema);
    struct error detail = {0};
    enum err code = config_load_yaml(config, out, "parley.yaml", &detail);
    if (code == ERR_OK)
        check_routes(import, config);
    config_free(config);
    return code == ERR_OK ? ERR_OK
                          : error_set(error, ERR_INTERNAL, NULL,
                                      "what became of it is not valid: %s", detail.message);
}

static enum err run(struct import *import, struct yaml_tree *tree, struct buf *out,
                    struct error *error)
{
    size_t from = out->len;
    if (!yaml_is_map(yaml_tree_root(tree)))
        return error_set(error, ERR_INVALID, NULL, "is no configuration of LiteLLM");
    import->root = yaml_map_of(yaml_tree_root(tree), import->arena);
    import_models(import);
    import_settings(import);
    import_write(import, out);
    if (!buf_ok(out))
        return error_set(error, ERR_TOO_BIG, NULL, "what became of it is too large");
    return check_outcome(import, str_skip(buf_str(out), from), error);
}

enum err import_litellm(struct str text, const struct import_environment *environment,
                        struct buf *out, struct buf *notes, struct error *error)
{
    struct yaml_tree *tree;
    enum err code = yaml_tree_read(text, &tree, error);
    if (code != ERR_OK)
        return code;
    struct import *import = calloc(1, sizeof *import);
    ASSERT(import);
    import->arena = arena_new(SIZE_MAX);
    import->environment = environment;
    import->notes = notes;
    code = run(import, tree, out, error);
    arena_free(import->arena);
    free(import);
    yaml_tree_free(tree);
    return code;
}
