/* Policy keys: every setting of a route's policy, once. They exist as router.KEY (for everything)
 * and as routes.NAME.KEY (instead of it, for that route): settings.c makes both out of this list,
 * routes.c reads both with it.
 *
 * KEY(name, kind of the member, member of struct route_policy, type, default, options, minimum,
 *     maximum, check, description) */
#pragma once

#define POLICY_DAY_MS (24LL * 3600 * 1000)

#define POLICY_KEYS(KEY)                                                                           \
    KEY("attempts", INT, attempts_max, CONFIG_INTEGER, "3", NULL, 1, 20, NULL,                     \
        "Attempts at one target for one request, the first one included.")                         \
    KEY("attempts_total", INT, attempts_total_max, CONFIG_INTEGER, "12", NULL, 1, 100, NULL,       \
        "Attempts at all targets together for one request, recovery included.")                    \
    KEY("backoff_ms", US, backoff_us, CONFIG_INTEGER, "2000", NULL, 0, 60000, NULL,                \
        "Upper end of the first wait before another attempt; it doubles, the wait is by chance.")  \
    KEY("backoff_max_ms", US, backoff_max_us, CONFIG_INTEGER, "30000", NULL, 0, 600000, NULL,      \
        "Longest such wait, and the longest Retry-After of a provider that is waited for.")        \
    KEY("queue_wait_ms", US, queue_wait_us, CONFIG_INTEGER, "30000", NULL, 0, POLICY_DAY_MS, NULL, \
        "Longest time in the queue of a target that takes no more calls just now.")                \
    KEY("total_ms", US, total_us, CONFIG_INTEGER, "3600000", NULL, 10, 30 * POLICY_DAY_MS, NULL,   \
        "Longest time for a whole request, over all its attempts.")                                \
    KEY("recovery", OPTION, recovery, CONFIG_ENUM, "continue", "error|prefill|splice|continue", 0, \
        0, NULL,                                                                                   \
        "Last means allowed to complete an answer that broke off; error: none, it is an error.")   \
    KEY("recoveries", INT, recoveries_max, CONFIG_INTEGER, "4", NULL, 0, 20, NULL,                 \
        "Attempts at completing one broken answer.")                                               \
    KEY("hedge", BOOL, hedge, CONFIG_BOOLEAN, "false", NULL, 0, 0, NULL,                           \
        "Ask a second target too when the first is slower than 95 of 100 of its answers.")         \
    KEY("hedge_percent", INT, hedge_percent, CONFIG_INTEGER, "5", NULL, 0, 100, NULL,              \
        "Share of requests, and of their cost, that hedging may add.")                             \
    KEY("coalesce", BOOL, coalesce, CONFIG_BOOLEAN, "false", NULL, 0, 0, NULL,                     \
        "Let identical requests of one person that come together share one answer.")               \
    KEY("cache_seconds", INT, cache_seconds, CONFIG_INTEGER, "0", NULL, 0, 30 * 24 * 3600, NULL,   \
        "How long whole answers are kept and given again to the same request; 0: not at all.")     \
    KEY("prompt_cache", BOOL, prompt_cache, CONFIG_BOOLEAN, "false", NULL, 0, 0, NULL,             \
        "Mark prompts to be kept by providers that do so only when told (Anthropic).")             \
    KEY("cost_max_usd", NANO, cost_max_nano, CONFIG_STRING, NULL, NULL, 0, 30, settings_check_usd, \
        "Most that all attempts at one request may cost, in US dollars; empty or 0: no limit.")    \
    KEY("bench_ms", US, bench_us, CONFIG_INTEGER, "600000", NULL, 0, 30 * POLICY_DAY_MS, NULL,     \
        "How long a target is left out whose key was refused or whose quota is used up.")          \
    KEY("breaker_failures", INT, breaker.failures_max, CONFIG_INTEGER, "5", NULL, 1, 1000, NULL,   \
        "Failures in a row after which a target is left out for a while.")                         \
    KEY("breaker_ratio_percent", INT, breaker.ratio_percent, CONFIG_INTEGER, "50", NULL, 0, 100,   \
        NULL, "Share of failures that has the same effect; 0: never.")                             \
    KEY("breaker_calls_min", INT, breaker.ratio_calls_min, CONFIG_INTEGER, "20", NULL, 1, 100000,  \
        NULL, "Calls within the window without which that share says nothing.")                    \
    KEY("breaker_window_ms", US, breaker.window_us, CONFIG_INTEGER, "60000", NULL, 1000,           \
        POLICY_DAY_MS, NULL, "Window in which that share is counted.")                             \
    KEY("breaker_cooldown_ms", US, breaker.cooldown_us, CONFIG_INTEGER, "60000", NULL, 10,         \
        POLICY_DAY_MS, NULL,                                                                       \
        "How long a failing target is left out before one request tries it again; it doubles.")    \
    KEY("breaker_cooldown_max_ms", US, breaker.cooldown_max_us, CONFIG_INTEGER, "600000", NULL,    \
        10, POLICY_DAY_MS, NULL, "Longest that it is left out at a time.")                         \
    KEY("connect_ms", MS, timeouts.connect_ms, CONFIG_INTEGER, NULL, NULL, 10, POLICY_DAY_MS,      \
        NULL, "How long connecting may take; empty: as the provider's own.")                       \
    KEY("headers_ms", MS, timeouts.headers_ms, CONFIG_INTEGER, NULL, NULL, 10, POLICY_DAY_MS,      \
        NULL, "From the request to the provider's first answer; empty: as the provider's own.")    \
    KEY("first_content_ms", MS, timeouts.first_content_ms, CONFIG_INTEGER, NULL, NULL, 10,         \
        POLICY_DAY_MS, NULL, "From the request to the first word; empty: as the provider's own.")  \
    KEY("content_idle_ms", MS, timeouts.content_idle_ms, CONFIG_INTEGER, NULL, NULL, 10,           \
        POLICY_DAY_MS, NULL,                                                                       \
        "Longest silence between two pieces of an answer; empty: as the provider's own.")
