/* Fuzzes the estimate: the first byte says where the rest is cut. The pieces must give what the
 * whole gives, and no byte costs more than two tokens. */
#include "base/assert.h"
#include "llm/estimate.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct str text = STR_FROM((const char *)data + 1, size - 1);
    size_t step = data[0] % 80u + 1u;
    struct llm_estimate pieces = {0};
    for (size_t at = 0; at < text.len; at += step)
        llm_estimate_add(&pieces, str_slice(text, at, step));
    int64_t tokens = llm_estimate_text(text);
    ASSERT(llm_estimate_tokens(&pieces) == tokens);
    ASSERT(tokens >= 0 && tokens <= 2 * (int64_t)text.len);
    return 0;
}
