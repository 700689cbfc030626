/* Reader: the strict side of our doors. Walks a JSON request by tables of members, knows the path
 * to where it is, and says so when a type is wrong. What no table names is noted as unmapped. */
#pragma once

#include "base/err.h"
#include "base/json.h"
#include "llm/request.h"

/* Unmapped members beyond LLM_UNMAPPED_MAX are not noted; a path names at most the places down to
 * LLM_READER_DEPTH_MAX, and is cut at LLM_READER_PATH_MAX bytes. */
enum { LLM_UNMAPPED_MAX = 256, LLM_READER_DEPTH_MAX = 32, LLM_READER_PATH_MAX = 127 };

/* One step of the path to where a reader is: a member, or (without name) an element. */
struct llm_place {
    struct str member;
    size_t index;
};

struct llm_reader {
    struct arena *arena;
    struct llm_request *request; /* whose `unmapped` grows */
    struct error *error;         /* may be NULL */
    size_t unmapped_capacity;
    size_t depth;
    struct llm_place places[LLM_READER_DEPTH_MAX]; /* the path is written when it is asked for */
};

enum { LLM_MEMBER_NAME_BYTES = 32 };

/* One member of an object: `read` gets its value and target + offset. Null counts as absent. A
 * NULL read: known, and nothing to do. */
struct llm_member {
    char name[LLM_MEMBER_NAME_BYTES]; /* in the row itself, with NULs behind it */
    enum err (*read)(struct llm_reader *reader, yyjson_val *value, void *field);
    size_t offset;
};

void llm_reader_init(struct llm_reader *reader, struct arena *arena, struct llm_request *request,
                     struct error *error);

/* Goes into a member or an element; give the result back to llm_reader_leave. */
size_t llm_reader_enter(struct llm_reader *reader, const char *member);
size_t llm_reader_enter_index(struct llm_reader *reader, size_t index);
void llm_reader_leave(struct llm_reader *reader, size_t mark);

/* ERR_INVALID with the path of where the reader is. */
enum err llm_reader_fail(struct llm_reader *reader, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* The same for a member below it. */
enum err llm_reader_fail_member(struct llm_reader *reader, const char *member, const char *message);
/* Notes the path where the reader is as something that has no canonical place. */
void llm_reader_unmapped(struct llm_reader *reader);
void llm_reader_unmapped_member(struct llm_reader *reader, const char *member);

/* All members of an object by table. ERR_INVALID when it is none. */
MUST_USE enum err llm_read_object(struct llm_reader *reader, yyjson_val *object,
                                  const struct llm_member *members, size_t count, void *target);
#define LLM_READ_OBJECT(reader, object, members, target)                                           \
    llm_read_object((reader), (object), (members), sizeof(members) / sizeof((members)[0]), (target))
/* Each element of an array through `read`; ERR_INVALID when it is none. */
MUST_USE enum err llm_read_array(struct llm_reader *reader, yyjson_val *array,
                                 enum err (*read)(struct llm_reader *reader, yyjson_val *value,
                                                  void *target),
                                 void *target);

/* Leaves: what `field` points at stands in the name. */
enum err llm_read_str(struct llm_reader *reader, yyjson_val *value, void *field);      /* str */
enum err llm_read_int(struct llm_reader *reader, yyjson_val *value, void *field);      /* llm_int */
enum err llm_read_positive(struct llm_reader *reader, yyjson_val *value, void *field); /* llm_int */
/* llm_double, of which none is ever larger: each provider has limits of its own below that. */
static const double llm_setting_max = 1000;
enum err llm_read_double(struct llm_reader *reader, yyjson_val *value, void *field);
enum err llm_read_amount(struct llm_reader *reader, yyjson_val *value, void *field); /* 0 or more */
enum err llm_read_bool(struct llm_reader *reader, yyjson_val *value, void *field);   /* bool */
enum err llm_read_tristate(struct llm_reader *reader, yyjson_val *value, void *field);
/* A JSON object, kept as text (str). */
enum err llm_read_json(struct llm_reader *reader, yyjson_val *value, void *field);
/* The value itself (yyjson_val *), for members that must be read in an order of our own. */
enum err llm_read_value(struct llm_reader *reader, yyjson_val *value, void *field);
/* An array of strings (llm_strings). */
struct llm_strings {
    struct str *items;
    size_t count;
};
enum err llm_read_strings(struct llm_reader *reader, yyjson_val *value, void *field);
