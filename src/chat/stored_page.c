/* Stored page: the input items of a kept answer, a page at a time, as OpenAI lists them. */
#include "chat/stored_response.h"

/* The item at a place of the order asked for. */
static yyjson_val *item_at(yyjson_val *items, size_t count, const struct stored_page *page,
                           size_t place)
{
    return yyjson_arr_get(items, page->is_descending ? count - 1 - place : place);
}

static enum err find_start(yyjson_val *items, size_t count, const struct stored_page *page,
                           size_t *ret, struct error *error)
{
    size_t place = 0;
    *ret = 0;
    if (!page->after.len)
        return ERR_OK;
    while (place < count &&
           !str_eq(json_get_str(item_at(items, count, page, place), "id"), page->after))
        place++;
    if (place == count)
        return error_set(error, ERR_NOT_FOUND, "after", "there is no such item");
    *ret = place + 1;
    return ERR_OK;
}

static void put_edge(struct json_writer *w, const char *key, yyjson_val *item)
{
    json_key_str(w, key, json_get_str(item, "id"));
}

enum err stored_response_write_items(const struct store_response *response, struct arena *scratch,
                                     const struct stored_page *page, struct json_writer *w,
                                     struct error *error)
{
    yyjson_val *items;
    size_t from;
    if (json_read(scratch, response->input, &items, error) != ERR_OK)
        return ERR_CORRUPT;
    size_t count = yyjson_arr_size(items);
    enum err code = find_start(items, count, page, &from, error);
    if (code != ERR_OK)
        return code;
    size_t to = count - from > (size_t)page->limit ? from + (size_t)page->limit : count;
    json_begin_object(w);
    json_key_str(w, "object", STR("list"));
    json_key_array(w, "data");
    for (size_t i = from; i < to; i++)
        json_put_val(w, item_at(items, count, page, i));
    json_end_array(w);
    put_edge(w, "first_id", from < to ? item_at(items, count, page, from) : NULL);
    put_edge(w, "last_id", from < to ? item_at(items, count, page, to - 1) : NULL);
    json_key_bool(w, "has_more", to < count);
    json_end_object(w);
    return ERR_OK;
}
