/* YAML tree: a whole YAML document to look things up in, for reading files that are not ours. Aliases
 * share what they name, so that none of it is ever multiplied; merge keys (<<) are followed. */
#pragma once

#include "base/arena.h"
#include "base/err.h"

struct yaml_tree;

enum { YAML_TREE_BYTES_MAX = 1024 * 1024, YAML_DEPTH_MAX = 64, YAML_PAIRS_MAX = 256 };

/* A value of the tree; {NULL} is none, for which every question below has an answer. Valid as long
 * as the tree. */
struct yaml_value {
    const struct yaml_tree *tree;
    int node;
};

/* Reads the first document. ERR_INVALID (with the line): not YAML, or nested over YAML_DEPTH_MAX;
 * ERR_TOO_BIG: over YAML_TREE_BYTES_MAX. Free with yaml_tree_free. */
MUST_USE enum err yaml_tree_read(struct str text, struct yaml_tree **ret_tree, struct error *error);
void yaml_tree_free(struct yaml_tree *tree);
struct yaml_value yaml_tree_root(const struct yaml_tree *tree);

/* Nothing there, or null. */
bool yaml_is_null(struct yaml_value value);
bool yaml_is_map(struct yaml_value value);
bool yaml_is_list(struct yaml_value value);
/* Of a scalar that is not null; else STR_NONE. */
struct str yaml_text(struct yaml_value value);

size_t yaml_list_count(struct yaml_value list);
struct yaml_value yaml_list_item(struct yaml_value list, size_t index);

/* The members of a mapping with those that it merges, each name once, YAML_PAIRS_MAX at most.
 * Members whose name is no scalar are left out. */
struct yaml_pair {
    struct str name;
    struct yaml_value value;
};
struct yaml_map {
    struct yaml_pair *pairs;
    size_t count;
};
struct yaml_map yaml_map_of(struct yaml_value value, struct arena *arena);
struct yaml_value yaml_map_get(const struct yaml_map *map, const char *name);
