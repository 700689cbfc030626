/* Fuzzes the configuration file: whatever comes, every value in force is of its type, and a refusal
 * says where. */
#include <string.h>

#include "app/config_load.h"
#include "app/settings.h"
#include "base/assert.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct config *config = config_new(&settings_schema);
    struct config_value value;
    struct error error = {0};
    size_t position = 0;
    enum err code =
        config_load_yaml(config, STR_FROM((const char *)data, size), "parley.yaml", &error);
    ASSERT(code == ERR_OK || strncmp(error.message, "parley.yaml:", 12) == 0);
    while (config_next(config, &position, &value))
        ASSERT(!value.text.data || config_check(config, value.name, value.text, NULL) == ERR_OK);
    config_free(config);
    return 0;
}
