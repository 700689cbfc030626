/* Price: what tokens cost. A dated table of list prices, which a configuration may override. Money
 * is counted in whole numbers: prices in pico-dollars a token (1 USD per million tokens is
 * 1 000 000), sums in nano-dollars. Pure, any thread. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"
#include "llm/response.h"

enum { PRICE_PER_MILLION = 1000000 }; /* pico-dollars a token of 1 USD per million tokens */

/* -1: this kind has no price of its own: cache reads and writes then cost what input does. */
struct price {
    int64_t input;
    int64_t cache_read;
    int64_t cache_write;
    int64_t output;
    /* Whole requests with more input cost the long rates; 0: none. What stands in a cache becomes
     * dearer by as much as the rest of the input. */
    int64_t long_from_tokens;
    int64_t long_input; /* -1: as the short one */
    int64_t long_output;
    /* What stands in a batch that the provider runs costs this share of it, in millionths; 0: none
     * is known, and it costs the whole. */
    int64_t batch_share;
};
enum { PRICE_WHOLE = 1000000 }; /* a share */

/* The list price of a model in force at `wall_ms` (prices may have peak hours), by the provider's
 * kind ("openai", "anthropic", ...; kinds without prices of their own are looked up by the model's
 * name alone) and the model as the provider names it. An exact name first; then a dated, tagged or
 * suffixed form of a known one ("gpt-5.5-2026-05-01", see llm/names.h). *ret_is_estimate (may be
 * NULL) is set to whether it is a guess: such a form, another kind's price, or one from before the
 * table begins. False when nothing is known. Local providers (ollama, vllm, llama.cpp, parley) cost
 * nothing: all zero. Walks the table: about a microsecond. */
bool price_find(struct str kind, struct str model, int64_t wall_ms, struct price *ret_price,
                bool *ret_is_estimate);
/* What that usage costs, in nano-dollars, rounded up; unknown counts are 0. */
int64_t price_cost_nano(const struct price *price, const struct llm_usage *usage);
/* The same as a line of a batch that the provider runs. */
int64_t price_batch_cost_nano(const struct price *price, const struct llm_usage *usage);
/* What that kind of provider asks for its batches, as in struct price; price_find sets it. */
int64_t price_batch_share(struct str kind);

/* Reads what a configuration says of a model's price: "in=2 out=10 cached=0.2 write=2.5", in USD
 * per million tokens, decimals with at most six places, at most PRICE_USD_MAX, separated by spaces
 * or commas, in any order. `in` and `out` are needed. Also known: `long_from` (tokens) with
 * `long_in` and `long_out`, and `batch`, the share of it that batches cost: above 0, 1 at most. ERR_INVALID names what is wrong; *ret is untouched then. */
enum { PRICE_USD_MAX = 10000 };
MUST_USE enum err price_parse(struct str text, struct price *ret, struct error *error);
