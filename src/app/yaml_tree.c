/* YAML tree: libyaml's document behind questions that cannot go wrong. The text is read twice: its
 * depth first, for the scanner takes quadratic time over deep nesting. */
#include "app/yaml_tree.h"

#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "base/assert.h"

struct yaml_tree {
    yaml_document_t document;
};

/* ---- Reading ----------------------------------------------------------------------------------- */

static enum err wrong(const yaml_parser_t *parser, struct error *error)
{
    return error_set(error, ERR_INVALID, NULL, "line %zu: %s", parser->problem_mark.line + 1,
                     parser->problem ? parser->problem : "is not YAML");
}

static void begin(yaml_parser_t *parser, struct str text)
{
    ASSERT(yaml_parser_initialize(parser));
    yaml_parser_set_input_string(parser, (const unsigned char *)(text.data ? text.data : ""),
                                 text.len);
}

static int depth_change(yaml_event_type_t type)
{
    return (type == YAML_SEQUENCE_START_EVENT || type == YAML_MAPPING_START_EVENT) -
           (type == YAML_SEQUENCE_END_EVENT || type == YAML_MAPPING_END_EVENT);
}

static enum err check_depth(struct str text, struct error *error)
{
    yaml_parser_t parser;
    yaml_event_t event;
    enum err code = ERR_OK;
    bool at_end = false;
    int depth = 0;
    begin(&parser, text);
    while (code == ERR_OK && !at_end) {
        if (!yaml_parser_parse(&parser, &event)) {
            code = wrong(&parser, error);
            break;
        }
        depth += depth_change(event.type);
        at_end = event.type == YAML_STREAM_END_EVENT || event.type == YAML_DOCUMENT_END_EVENT;
        if (depth > YAML_DEPTH_MAX)
            code = error_set(error, ERR_INVALID, NULL, "line %zu: is nested over %d deep",
                             event.start_mark.line + 1, YAML_DEPTH_MAX);
        yaml_event_delete(&event);
    }
    yaml_parser_delete(&parser);
    return code;
}

enum err yaml_tree_read(struct str text, struct yaml_tree **ret_tree, struct error *error)
{
    yaml_parser_t parser;
    if (text.len > YAML_TREE_BYTES_MAX)
        return error_set(error, ERR_TOO_BIG, NULL, "is larger than %d KiB",
                         YAML_TREE_BYTES_MAX / 1024);
    enum err code = check_depth(text, error);
    if (code != ERR_OK)
        return code;
    struct yaml_tree *tree = calloc(1, sizeof *tree);
    ASSERT(tree);
    begin(&parser, text);
    if (yaml_parser_load(&parser, &tree->document)) {
        *ret_tree = tree;
    } else {
        code = wrong(&parser, error);
        free(tree);
    }
    yaml_parser_delete(&parser);
    return code;
}

void yaml_tree_free(struct yaml_tree *tree)
{
    if (!tree)
        return;
    yaml_document_delete(&tree->document);
    free(tree);
}

/* ---- Values ------------------------------------------------------------------------------------ */

/* libyaml's functions take documents that are not const, and change nothing. */
static const yaml_node_t *node_of(struct yaml_value value)
{
    if (!value.tree || value.node <= 0)
        return NULL;
    const yaml_document_t *document = &value.tree->document;
    const yaml_node_t *node = document->nodes.start + value.node - 1;
    return node < document->nodes.top ? node : NULL;
}

struct yaml_value yaml_tree_root(const struct yaml_tree *tree)
{
    return (struct yaml_value){tree, 1};
}

static bool has_type(struct yaml_value value, yaml_node_type_t type)
{
    const yaml_node_t *node = node_of(value);
    return node && node->type == type;
}

bool yaml_is_map(struct yaml_value value)
{
    return has_type(value, YAML_MAPPING_NODE);
}

bool yaml_is_list(struct yaml_value value)
{
    return has_type(value, YAML_SEQUENCE_NODE);
}

bool yaml_is_null(struct yaml_value value)
{
    const yaml_node_t *node = node_of(value);
    if (!node || node->type != YAML_SCALAR_NODE)
        return !node;
    struct str text = STR_FROM((const char *)node->data.scalar.value, node->data.scalar.length);
    return node->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
           (!text.len || str_eq(text, STR("~")) || str_eq_nocase(text, STR("null")));
}

struct str yaml_text(struct yaml_value value)
{
    const yaml_node_t *node = node_of(value);
    if (!node || node->type != YAML_SCALAR_NODE || yaml_is_null(value))
        return STR_NONE;
    return STR_FROM((const char *)node->data.scalar.value, node->data.scalar.length);
}

size_t yaml_list_count(struct yaml_value list)
{
    const yaml_node_t *node = yaml_is_list(list) ? node_of(list) : NULL;
    return node ? (size_t)(node->data.sequence.items.top - node->data.sequence.items.start) : 0;
}

struct yaml_value yaml_list_item(struct yaml_value list, size_t index)
{
    if (index >= yaml_list_count(list))
        return (struct yaml_value){0};
    return (struct yaml_value){list.tree, node_of(list)->data.sequence.items.start[index]};
}

/* ---- Mappings ---------------------------------------------------------------------------------- */

enum { MERGES_MAX = 64 };

static void add_pair(struct yaml_map *map, struct str name, struct yaml_value value)
{
    for (size_t i = 0; i < map->count; i++)
        if (str_eq(map->pairs[i].name, name))
            return; /* own members come before merged ones */
    if (map->count < YAML_PAIRS_MAX)
        map->pairs[map->count++] = (struct yaml_pair){name, value};
}

/* The mappings still to be gone through: merged ones come behind. */
struct merging {
    struct yaml_value maps[MERGES_MAX];
    size_t count;
};

static void merge_later(struct merging *merging, struct yaml_value value)
{
    if (yaml_is_map(value) && merging->count < MERGES_MAX)
        merging->maps[merging->count++] = value;
    for (size_t i = 0; i < yaml_list_count(value) && merging->count < MERGES_MAX; i++)
        if (yaml_is_map(yaml_list_item(value, i)))
            merging->maps[merging->count++] = yaml_list_item(value, i);
}

static void add_pairs(struct yaml_map *map, struct merging *merging, struct yaml_value value)
{
    const yaml_node_t *node = node_of(value);
    for (const yaml_node_pair_t *pair = node->data.mapping.pairs.start;
         pair < node->data.mapping.pairs.top && map->count < YAML_PAIRS_MAX; pair++) {
        struct str name = yaml_text((struct yaml_value){value.tree, pair->key});
        struct yaml_value member = {value.tree, pair->value};
        if (str_eq(name, STR("<<")))
            merge_later(merging, member);
        else if (name.len)
            add_pair(map, name, member);
    }
}

struct yaml_map yaml_map_of(struct yaml_value value, struct arena *arena)
{
    struct yaml_map map = {0};
    struct merging merging = {.count = 0};
    if (!yaml_is_map(value))
        return map;
    map.pairs = ARENA_NEW_ARRAY(arena, YAML_PAIRS_MAX, struct yaml_pair);
    merging.maps[merging.count++] = value;
    for (size_t i = 0; i < merging.count; i++)
        add_pairs(&map, &merging, merging.maps[i]);
    return map;
}

struct yaml_value yaml_map_get(const struct yaml_map *map, const char *name)
{
    for (size_t i = 0; i < map->count; i++)
        if (str_eq(map->pairs[i].name, str_from_cstr(name)))
            return map->pairs[i].value;
    return (struct yaml_value){0};
}
