/* parley: the command line. Finds the sub-command, loads the configuration, hands both over. */
#include <malloc.h>
#include <stdio.h>
#include <string.h>

#include "app/commands.h"

static const char *const user_options[] = {"name", "role", NULL};
static const char *const user_switches[] = {"password", NULL};
static const char *const key_options[] = {"user",    "name",    "model",       "door", "address",
                                          "expires", "overlap", "keep-bodies", NULL};
static const char *const usage_options[] = {"from",  "to",  "by",    "user", "key",
                                            "group", "tag", "model", NULL};
static const char *const usage_switches[] = {"csv", "json", "rows", NULL};
static const char *const import_options[] = {"output", NULL};
static const char *const import_switches[] = {"force", NULL};
static const char *const selftest_options[] = {"route", NULL};
static const char *const selftest_switches[] = {"real-time", "json", NULL};

const struct command commands[] = {
    {"serve", "", "start the server", NULL, NULL, command_serve},
    {"check", "", "print every setting with its source and test every provider", NULL, NULL,
     command_check},
    {"user",
     "add EMAIL [--name NAME] [--role admin] | list | edit EMAIL [--name NAME] [--role ROLE] "
     "[--password] | disable EMAIL | enable EMAIL | group create NAME | group list | "
     "group show NAME | group rename NAME NEW | group delete NAME | group add NAME EMAIL | "
     "group remove NAME EMAIL",
     "people and their groups; a password is read from standard input", user_options, user_switches,
     command_user},
    {"key",
     "create NAME [--user EMAIL] [settings] | list [--user EMAIL] | show ID | edit ID [--name "
     "NAME] "
     "[settings] | rotate ID [--overlap 24h] | revoke ID; settings: --model NAME --door DOOR "
     "--address NETWORK (each any number of times, or any), --expires 30d|2027-01-31|never, "
     "--keep-bodies HOURS",
     "API keys for programs", key_options, NULL, command_key},
    {"limit", "set KIND ID [LIMIT=NUMBER]... | list | remove KIND ID",
     "limits and budgets of a key, user, group, model, address or tag", NULL, NULL, command_limit},
    {"backup", "FILE", "copy the database, and files beside it, while it is in use", NULL, NULL,
     command_backup},
    {"usage",
     "[--from DAY] [--to DAY] [--by user,key,group,tag,model,target,day] [--user EMAIL] [--key ID] "
     "[--group ID] [--tag TAG] [--model NAME] [--csv|--json] [--rows]",
     "what was used and what it cost; --rows: every attempt", usage_options, usage_switches,
     command_show_usage},
    {"import", "litellm FILE [--output FILE [--force]]",
     "turn a LiteLLM configuration into ours, and say what has no equivalent", import_options,
     import_switches, command_import},
    {"selftest", "[--route NAME] [--real-time] [--json]",
     "play every fault of a provider, and show how the router copes", selftest_options,
     selftest_switches, command_selftest},
    {0},
};

static int print_help(void)
{
    printf("parley %s: a chat platform for every language model\n\n", PARLEY_VERSION);
    for (const struct command *command = commands; command->name; command++)
        printf("  parley %s %s\n      %s\n", command->name, command->usage, command->summary);
    printf("  parley version\n      print the version\n\n"
           "Flags of every command: --config FILE, --data-dir DIR, --set key=value;\n"
           "of serve also: --host, --port, --tls-cert, --tls-key, --log-level, --log-format.\n"
           "parley check lists every setting.\n");
    return 0;
}

int command_fail(const struct error *error)
{
    const char *remedy = error_remedy_text(error);
    fprintf(stderr, "parley: %s%s%s\n", error->field, error->field[0] ? ": " : "",
            error_message(error));
    if (remedy[0])
        fprintf(stderr, "  %s\n", remedy);
    return 1;
}

static const struct command *find_command(const char *name)
{
    for (const struct command *command = commands; command->name; command++)
        if (strcmp(command->name, name) == 0)
            return command;
    return NULL;
}

static int unknown_command(const char *name)
{
    const char *nearest = NULL;
    size_t best = 3;
    for (const struct command *command = commands; command->name; command++) {
        size_t distance = str_distance(str_from_cstr(name), str_from_cstr(command->name));
        if (distance < best) {
            best = distance;
            nearest = command->name;
        }
    }
    fprintf(stderr, "parley: there is no command '%s'%s%s%s; see parley help\n", name,
            nearest ? ": did you mean '" : "", nearest ? nearest : "", nearest ? "'?" : "");
    return 2;
}

static int run_command(const struct command *command, int argc, char **argv)
{
    struct arena *arena = arena_new(1024 * 1024);
    struct config_arguments arguments = {.own_names = command->options,
                                         .switch_names = command->switches};
    struct config *config = NULL;
    struct error error = {0};
    enum err code = config_load(arena, argc, argv, &config, &arguments, &error);
    error.code = code;
    int status = code == ERR_OK ? command->run(config, &arguments) : command_fail(&error) + 1;
    arena_free(arena);
    return status;
}

/* Freed memory below this stays with the process: giving it back and faulting it in again under
 * every burst costs more than the arithmetic of the burst. */
enum { KEPT_BYTES = 8 * 1024 * 1024, MAPPED_BYTES = 1024 * 1024 };

int main(int argc, char **argv)
{
    mallopt(M_TRIM_THRESHOLD, KEPT_BYTES);
    mallopt(M_MMAP_THRESHOLD, MAPPED_BYTES);
    mallopt(M_MXFAST, 0); /* its lists are joined anew at every larger allocation */
    const char *name = argc > 1 ? argv[1] : "help";
    if (strcmp(name, "version") == 0 || strcmp(name, "--version") == 0) {
        puts(PARLEY_VERSION);
        return 0;
    }
    if (strcmp(name, "help") == 0 || strcmp(name, "--help") == 0 || strcmp(name, "-h") == 0)
        return print_help();
    const struct command *command = find_command(name);
    return command ? run_command(command, argc - 2, argv + 2) : unknown_command(name);
}
