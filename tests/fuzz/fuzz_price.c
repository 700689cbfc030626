/* Fuzzes prices: as a configuration's text (the first line), and as a model's name (the second).
 * Whatever is found is a price that sums stay at or above 0 with. */
#include "base/assert.h"
#include "llm/price.h"

static void check(const struct price *price)
{
    struct llm_usage usage = LLM_USAGE_UNKNOWN;
    ASSERT(price->input >= 0 && price->output >= 0);
    ASSERT(price->cache_read >= -1 && price->cache_write >= -1);
    ASSERT(price_cost_nano(price, &usage) == 0);
    usage = (struct llm_usage){INT64_MAX, INT64_MAX, INT64_MAX, INT64_MAX, 0, false};
    ASSERT(price_cost_nano(price, &usage) >= 0);
    usage = (struct llm_usage){1000, 900, 900, 1000, 0, false};
    ASSERT(price_cost_nano(price, &usage) >= 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str text = STR_FROM((const char *)data, size);
    struct str settings = str_next(&text, '\n');
    struct price price;
    struct error error = {0};
    enum err code = price_parse(settings, &price, &error);
    ASSERT(code == ERR_OK || (code == ERR_INVALID && error.message[0]));
    if (code == ERR_OK)
        check(&price);
    if (text.data && price_find(STR("openrouter"), text, 1800000000000, &price, NULL))
        check(&price);
    return 0;
}
