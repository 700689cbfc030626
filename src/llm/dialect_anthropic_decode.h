/* What the two halves of Anthropic's request decoder share. Private to them. */
#pragma once

#include "llm/dialect_anthropic.h"
#include "llm/reader.h"

#define COUNT_OF(table) (sizeof(table) / sizeof *(table))

/* Returns from the caller with an error that names `member` when its text is absent. */
#define NEED(reader, member, text)                                                                 \
    do {                                                                                           \
        if (!(text).data)                                                                          \
            return llm_reader_fail_member((reader), (member), "is required");                      \
    } while (0)

/* The parts of the message that is being read; inside a tool result its content. */
struct anthropic_parts {
    struct llm_part *items;
    size_t count;
    size_t capacity;
    enum llm_origin origin;
};

/* The request while it grows. */
struct anthropic_decoding {
    struct llm_request request;
    size_t message_capacity;
    size_t tool_capacity;
    struct anthropic_parts parts;
    enum llm_role role; /* of the parts gathered */
    struct llm_strings stops;
    bool is_thinking_adaptive;
    bool is_thinking_fixed; /* the effort was decided by a budget, or thinking is off */
    enum llm_effort effort; /* from output_config */
};

/* Members of the body (dialect_anthropic_decode_message.c): the decoding is their target. */
enum err anthropic_read_messages(struct llm_reader *reader, yyjson_val *value, void *target);
enum err anthropic_read_system(struct llm_reader *reader, yyjson_val *value, void *target);
