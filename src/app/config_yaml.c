/* parley.yaml: nested mappings to dotted keys, through libyaml's events. */
#include <stdio.h>
#include <string.h>
#include <yaml.h>

#include "app/config_load.h"
#include "base/buf.h"

enum { DEPTH_MAX = 8, NAME_BYTES_MAX = 200, LIST_BYTES_MAX = 8000 };

/* One mapping or list that is open. */
struct level {
    size_t prefix_len; /* of the name, where this level's keys are appended */
    bool is_list;
    bool has_key; /* a mapping: a key was read, its value is next */
};

struct reader {
    struct config *config;
    const char *path;
    struct error *error;
    yaml_parser_t parser;
    struct level levels[DEPTH_MAX];
    int depth;
    char name[NAME_BYTES_MAX];
    struct buf list; /* of the list being read, joined by commas */
    size_t list_line;
};

static enum err wrong(struct reader *reader, size_t line, const char *what)
{
    return error_set(reader->error, ERR_INVALID, NULL, "%s:%zu: %s", reader->path, line, what);
}

static enum err set_value(struct reader *reader, struct str text, size_t line)
{
    char where[300];
    struct error detail = {0};
    snprintf(where, sizeof where, "%s:%zu", reader->path, line);
    enum err code = config_set(reader->config, CONFIG_FILE, str_from_cstr(reader->name), text,
                               str_from_cstr(where), &detail);
    if (code == ERR_OK)
        return ERR_OK;
    error_set(reader->error, code, reader->name, "%s: %s: %s", where, reader->name,
              error_message(&detail));
    error_remedy(reader->error, "%s", detail.remedy);
    return code;
}

static enum err take_key(struct reader *reader, struct level *level, struct str key, size_t line)
{
    size_t at = level->prefix_len;
    if (at + key.len + 2 > sizeof reader->name || memchr(key.data, 0, key.len))
        return wrong(reader, line, "the key is too long");
    if (at)
        reader->name[at++] = '.';
    memcpy(reader->name + at, key.data, key.len);
    reader->name[at + key.len] = '\0';
    level->has_key = true;
    return ERR_OK;
}

static enum err take_scalar(struct reader *reader, const yaml_event_t *event)
{
    struct str text = STR_FROM((const char *)event->data.scalar.value, event->data.scalar.length);
    size_t line = event->start_mark.line + 1;
    if (reader->depth == 0)
        return text.len ? wrong(reader, line, "settings are written as key: value") : ERR_OK;
    struct level *level = &reader->levels[reader->depth - 1];
    bool is_null = event->data.scalar.plain_implicit &&
                   (text.len == 0 || str_eq(text, STR("~")) || str_eq(text, STR("null")));
    if (level->is_list) {
        if (is_null)
            return ERR_OK;
        if (reader->list.len)
            buf_append_char(&reader->list, ',');
        buf_append(&reader->list, text);
        return buf_ok(&reader->list) ? ERR_OK : wrong(reader, line, "the list is too long");
    }
    if (!level->has_key)
        return take_key(reader, level, text, line);
    level->has_key = false;
    return is_null ? ERR_OK : set_value(reader, text, line);
}

static enum err open_level(struct reader *reader, bool is_list, size_t line)
{
    if (reader->depth == DEPTH_MAX)
        return wrong(reader, line, "nested too deeply");
    struct level *outer = reader->depth ? &reader->levels[reader->depth - 1] : NULL;
    if (outer ? outer->is_list || !outer->has_key : is_list)
        return wrong(reader, line,
                     is_list ? "a list is not expected here"
                             : "a list may hold simple values only");
    size_t prefix_len = outer ? strlen(reader->name) : 0;
    reader->levels[reader->depth++] = (struct level){prefix_len, is_list, false};
    buf_clear(&reader->list);
    reader->list_line = line;
    return ERR_OK;
}

static enum err close_level(struct reader *reader)
{
    struct level *level = &reader->levels[--reader->depth];
    enum err code = ERR_OK;
    if (level->is_list)
        code = set_value(reader, buf_str(&reader->list), reader->list_line);
    if (reader->depth)
        reader->levels[reader->depth - 1].has_key = false;
    return code;
}

static enum err take_event(struct reader *reader, const yaml_event_t *event)
{
    size_t line = event->start_mark.line + 1;
    switch (event->type) {
    case YAML_SCALAR_EVENT:
        return take_scalar(reader, event);
    case YAML_MAPPING_START_EVENT:
        return open_level(reader, false, line);
    case YAML_SEQUENCE_START_EVENT:
        return open_level(reader, true, line);
    case YAML_MAPPING_END_EVENT:
    case YAML_SEQUENCE_END_EVENT:
        return close_level(reader);
    case YAML_ALIAS_EVENT:
        return wrong(reader, line, "aliases are not supported");
    default:
        return ERR_OK;
    }
}

static enum err read_events(struct reader *reader)
{
    for (;;) {
        yaml_event_t event;
        if (!yaml_parser_parse(&reader->parser, &event))
            return wrong(reader, reader->parser.problem_mark.line + 1,
                         reader->parser.problem ? reader->parser.problem : "not valid YAML");
        bool at_end = event.type == YAML_STREAM_END_EVENT;
        enum err code = take_event(reader, &event);
        yaml_event_delete(&event);
        if (code != ERR_OK || at_end)
            return code;
    }
}

enum err config_load_yaml(struct config *config, struct str text, const char *path,
                          struct error *error)
{
    struct reader reader = {.config = config, .path = path, .error = error};
    if (!yaml_parser_initialize(&reader.parser))
        return error_set(error, ERR_INTERNAL, NULL, "the YAML reader cannot be started");
    yaml_parser_set_input_string(&reader.parser,
                                 (const unsigned char *)(text.data ? text.data : ""), text.len);
    buf_init(&reader.list, LIST_BYTES_MAX);
    enum err code = read_events(&reader);
    buf_done(&reader.list);
    yaml_parser_delete(&reader.parser);
    return code;
}
