/* simulate: plays many days, and says what came of them; or one, event by event. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "simulation.h"

enum { LAST_LINES = 60 };

struct arguments {
    uint64_t days;
    uint64_t seed;
    bool verbose;
};

static int usage(void)
{
    fputs("simulate [--days N] [--seed S] [--verbose]\n"
          "  Plays days S, S+1, ... (1000 of them from 1 on, unless told).\n"
          "  --verbose prints what happens in the first one.\n",
          stderr);
    return 2;
}

static bool parse(int count, char **words, struct arguments *ret_arguments)
{
    *ret_arguments = (struct arguments){.days = 1000, .seed = 1};
    for (int i = 1; i < count; i++) {
        uint64_t *number = strcmp(words[i], "--days") == 0   ? &ret_arguments->days
                           : strcmp(words[i], "--seed") == 0 ? &ret_arguments->seed
                                                             : NULL;
        if (strcmp(words[i], "--verbose") == 0)
            ret_arguments->verbose = true;
        else if (!number || i + 1 == count || !str_to_u64(str_from_cstr(words[++i]), number))
            return false;
    }
    return true;
}

static void print_totals(const struct simulation_totals *totals, uint64_t took_ns)
{
    double seconds = (double)took_ns / 1e9;
    printf("%" PRIu64 " days, %" PRIu64 " requests, %" PRIu64 " attempts, %" PRIu64 " hedges\n",
           totals->days, totals->requests, totals->attempts, totals->hedges);
    printf("answered %" PRIu64 ", of them rescued %" PRIu64 "; refused at once %" PRIu64
           "; cancelled %" PRIu64 "\n",
           totals->answered, totals->rescued, totals->refused, totals->cancelled);
    printf("recovered by");
    for (int mode = ROUTE_PREFILL; mode <= ROUTE_CONTINUE; mode++)
        printf(" %s %" PRIu64, route_mode_name((enum route_mode)mode), totals->recovered[mode]);
    printf("\nfailed:");
    for (int class = 0; class < ERR_COUNT; class ++)
        if (totals->failed[class])
            printf(" %s %" PRIu64, err_info((enum err) class)->name, totals->failed[class]);
    printf("\n%" PRIu64 " events, %.2f s, %.2f us a request\n", totals->events, seconds,
           totals->requests ? seconds * 1e6 / (double)totals->requests : 0);
}

/* Plays the day once more, for the last lines about the request in which it broke. */
static void print_last_lines(struct simulation *simulation, uint64_t seed, int request)
{
    char *text = NULL;
    size_t size = 0;
    struct simulation_result result;
    FILE *trace = open_memstream(&text, &size);
    if (!trace)
        return;
    simulation_day(
        simulation,
        &(struct simulation_options){.seed = seed, .trace = trace, .trace_request = request},
        &result);
    fclose(trace);
    struct str rest = STR_FROM(text, size);
    size_t lines = 0;
    for (size_t i = 0; i < size; i++)
        lines += text[i] == '\n';
    while (lines > LAST_LINES && rest.data) {
        str_next(&rest, '\n');
        lines--;
    }
    printf("%.*s", STR_ARG(rest));
    free(text);
}

static void print_broken(struct simulation *simulation, uint64_t seed,
                         const struct simulation_result *result)
{
    print_last_lines(simulation, seed, result->request);
    printf("BROKEN: %s\n  day %" PRIu64 ", request %d, at %.6f s: %s\n"
           "  again: simulate --days 1 --seed %" PRIu64 " --verbose\n",
           invariant_name(result->broken), seed, result->request, (double)result->at_us / 1e6,
           result->message, seed);
}

int main(int count, char **words)
{
    struct arguments arguments;
    struct simulation_result result = {0};
    if (!parse(count, words, &arguments))
        return usage();
    struct simulation *simulation = simulation_new();
    uint64_t began_ns = clock_monotonic_ns();
    bool holds = true;
    uint64_t seed = arguments.seed;
    for (uint64_t day = 0; holds && day < arguments.days; day++) {
        seed = arguments.seed + day;
        struct simulation_options options = {.seed = seed, .trace_request = -1};
        options.trace = arguments.verbose && day == 0 ? stdout : NULL;
        holds = simulation_day(simulation, &options, &result);
    }
    print_totals(simulation_totals(simulation), clock_monotonic_ns() - began_ns);
    if (!holds)
        print_broken(simulation, seed, &result);
    simulation_free(simulation);
    return holds ? 0 : 1;
}
