/* Multipart forms. Between a door, whose body it is, and whoever wants one value of it. */
#include "wire/multipart.h"

#include <string.h>

enum { BOUNDARY_BYTES_MAX = 70 };

static enum err refuse(struct error *error, const char *what)
{
    return error_set(error, ERR_INVALID, "body", "is not a usable form: %s", what);
}

/* ---- Parameters of a header: ; name=value; name="value" -------------------------------------- */

static bool is_boundary(struct str text)
{
    bool is_good = text.len > 0 && text.len <= BOUNDARY_BYTES_MAX;
    for (size_t i = 0; is_good && i < text.len; i++) {
        char c = text.data[i];
        is_good = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                  (c && strchr("'()+_,-./:=? ", c));
    }
    return is_good && text.data[text.len - 1] != ' ';
}

/* Cuts the next parameter off; false: it is none. A quoted value ends at the next quote: escapes are
 * left in it. */
static bool next_parameter(struct str *rest, struct str *ret_name, struct str *ret_value)
{
    *rest = str_trim(*rest);
    if (!rest->len || rest->data[0] != ';')
        return false;
    struct str text = str_trim(str_skip(*rest, 1));
    size_t equals = str_find_char(text, '=');
    if (equals == SIZE_MAX)
        return false;
    *ret_name = str_trim(str_slice(text, 0, equals));
    text = str_skip(text, equals + 1);
    bool is_quoted = text.len && text.data[0] == '"';
    size_t end = is_quoted ? str_find_char(str_skip(text, 1), '"') : str_find_char(text, ';');
    if (is_quoted && end == SIZE_MAX)
        return false;
    *ret_value = is_quoted ? str_slice(text, 1, end) : str_trim(str_slice(text, 0, end));
    *rest = str_skip(text, is_quoted ? end + 2 : end);
    return true;
}

/* The value of a parameter; false when the header cannot be read, or names it twice. */
static bool find_parameter(struct str header, const char *wanted, struct str *ret)
{
    struct str rest = str_skip(header, str_find_char(header, ';'));
    struct str name, value;
    *ret = STR_NONE;
    while (str_trim(rest).len) {
        if (!next_parameter(&rest, &name, &value))
            return false;
        if (!str_eq_nocase(name, str_from_cstr(wanted)))
            continue;
        if (ret->data)
            return false;
        *ret = value;
    }
    return true;
}

/* ---- Delimiters ------------------------------------------------------------------------------ */

/* Whether the boundary stands at `at`, behind two dashes. */
static bool is_dashed(const struct multipart_reader *reader, size_t at)
{
    struct str text = str_skip(reader->body, at);
    return str_starts_with(text, STR("--")) && str_starts_with(str_skip(text, 2), reader->boundary);
}

/* Reads what follows the boundary at `at`: a line's end (a part begins) or two dashes (the form
 * ends). False: neither. */
static bool read_delimiter(struct multipart_reader *reader, size_t at)
{
    at += 2 + reader->boundary.len;
    struct str rest = str_skip(reader->body, at);
    reader->is_over = str_starts_with(rest, STR("--"));
    if (reader->is_over) {
        rest = str_skip(rest, 2);
        reader->at = reader->body.len;
        return rest.len == 0 || str_eq(rest, STR("\r\n"));
    }
    reader->at = at + 2;
    return str_starts_with(rest, STR("\r\n"));
}

/* The end of the value that begins at `from`: at the line's end in front of the next delimiter. */
static size_t find_end(const struct multipart_reader *reader, size_t from)
{
    while (from < reader->body.len) {
        size_t feed = str_find_char(str_skip(reader->body, from), '\n');
        if (feed == SIZE_MAX)
            return SIZE_MAX;
        feed += from;
        if (is_dashed(reader, feed + 1))
            return feed > 0 && reader->body.data[feed - 1] == '\r' ? feed - 1 : SIZE_MAX;
        from = feed + 1;
    }
    return SIZE_MAX;
}

enum err multipart_begin(struct multipart_reader *reader, struct str content_type, struct str body,
                         struct error *error)
{
    struct str type = str_trim(str_slice(content_type, 0, str_find_char(content_type, ';')));
    *reader = (struct multipart_reader){.body = body};
    if (!str_eq_nocase(type, STR("multipart/form-data")))
        return error_set(error, ERR_UNSUPPORTED, "content-type", "must be multipart/form-data");
    if (!find_parameter(content_type, "boundary", &reader->boundary) ||
        !is_boundary(reader->boundary))
        return refuse(error, "its Content-Type has no boundary");
    if (!is_dashed(reader, 0) || !read_delimiter(reader, 0))
        return refuse(error, "it does not begin with its boundary");
    return ERR_OK;
}

/* ---- Parts ----------------------------------------------------------------------------------- */

static bool is_plain(struct str text)
{
    for (size_t i = 0; i < text.len; i++)
        if ((unsigned char)text.data[i] < ' ' || text.data[i] == 0x7F || text.data[i] == '\\')
            return false;
    return true;
}

static enum err read_disposition(struct str value, struct multipart_part *part, struct error *error)
{
    struct str kind = str_trim(str_slice(value, 0, str_find_char(value, ';')));
    struct str extended, extended_file;
    if (part->name.data)
        return refuse(error, "a part has two Content-Dispositions");
    bool is_read = find_parameter(value, "name", &part->name) &&
                   find_parameter(value, "filename", &part->filename) &&
                   find_parameter(value, "name*", &extended) &&
                   find_parameter(value, "filename*", &extended_file);
    if (!is_read || !str_eq_nocase(kind, STR("form-data")) || !part->name.data || extended.data)
        return refuse(error, "a part has no readable name");
    if (!is_plain(part->name))
        return refuse(error, "a part's name holds an escape or a control character");
    if (!part->filename.data)
        part->filename = extended_file;
    return ERR_OK;
}

static enum err read_header(struct str line, struct multipart_part *part, struct error *error)
{
    size_t colon = str_find_char(line, ':');
    struct str name = str_slice(line, 0, colon);
    bool is_bad = colon == SIZE_MAX || !name.len || str_trim(name).len != name.len ||
                  str_find_char(line, '\n') != SIZE_MAX || str_find_char(line, '\r') != SIZE_MAX;
    if (is_bad)
        return refuse(error, "a part's header is none");
    struct str value = str_trim(str_skip(line, colon + 1));
    if (str_eq_nocase(name, STR("content-disposition")))
        return read_disposition(value, part, error);
    if (str_eq_nocase(name, STR("content-transfer-encoding")) &&
        !str_eq_nocase(value, STR("binary")) && !str_eq_nocase(value, STR("8bit")) &&
        !str_eq_nocase(value, STR("7bit")))
        return refuse(error, "a part is encoded once more");
    if (str_eq_nocase(name, STR("content-type")))
        part->type = value;
    return ERR_OK;
}

/* The header lines of a part, up to the empty line. */
static enum err read_headers(struct multipart_reader *reader, struct multipart_part *part,
                             struct error *error)
{
    struct str window = str_slice(reader->body, reader->at, MULTIPART_HEADER_BYTES_MAX);
    for (;;) {
        size_t end = str_find(window, STR("\r\n"));
        if (end == SIZE_MAX)
            return refuse(error, "a part's headers do not end");
        struct str line = str_slice(window, 0, end);
        reader->at += end + 2;
        window = str_skip(window, end + 2);
        if (!line.len)
            return part->name.data ? ERR_OK : refuse(error, "a part has no name");
        enum err code = read_header(line, part, error);
        if (code != ERR_OK)
            return code;
    }
}

enum err multipart_next(struct multipart_reader *reader, struct multipart_part *ret,
                        struct error *error)
{
    struct multipart_part part = {.type = STR("")};
    if (reader->is_over)
        return ERR_NOT_FOUND;
    if (reader->count++ == MULTIPART_PARTS_MAX)
        return refuse(error, "it has too many parts");
    size_t delimiter = reader->at - reader->boundary.len - 4; /* two dashes, and a line's end */
    enum err code = read_headers(reader, &part, error);
    if (code != ERR_OK)
        return code;
    size_t from = reader->at;
    size_t end = find_end(reader, from);
    if (end == SIZE_MAX || end < from || !read_delimiter(reader, end + 2))
        return refuse(error, "a part does not end with the boundary");
    part.value = str_slice(reader->body, from, end - from);
    part.whole = str_slice(reader->body, delimiter, end + 2 - delimiter);
    *ret = part;
    return ERR_OK;
}

enum err multipart_find(struct str content_type, struct str body, struct str name,
                        struct str *ret_value, struct error *error)
{
    struct multipart_reader reader;
    struct multipart_part part;
    struct str found = STR_NONE;
    enum err code = multipart_begin(&reader, content_type, body, error);
    while (code == ERR_OK && (code = multipart_next(&reader, &part, error)) == ERR_OK) {
        if (!str_eq(part.name, name))
            continue;
        if (found.data || part.filename.data)
            code = error_set(error, ERR_INVALID, "body", "names '%.*s' twice, or as a file",
                             STR_ARG(name));
        found = part.value;
    }
    if (code != ERR_NOT_FOUND)
        return code;
    *ret_value = found;
    return ERR_OK;
}
