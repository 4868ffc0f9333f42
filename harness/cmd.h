/* cmd.h - subcommands: one cmd_*.c each, one row in main.c's table. A command returns a status and fills e; main prints and maps it to the exit code. */
#ifndef PM_CMD_H
#define PM_CMD_H
#include "base.h"

typedef struct pm_globals {
    bool json, quiet, color; /* --json, --quiet, a terminal without NO_COLOR */
    bool progress;           /* stderr is a terminal */
} pm_globals;
extern pm_globals pm_global;

typedef struct pm_command {
    const char *name, *summary; /* one line in `peftmeter --help` */
    const char *help;           /* the whole of `peftmeter NAME --help`: usage, options, examples */
    pm_status (*run)(int argc, char **argv, pm_err *e); /* argv[0] = the name */
} pm_command;
extern const pm_command pm_cmd_run, pm_cmd_methods, pm_cmd_tasks, pm_cmd_models, pm_cmd_data, pm_cmd_doctor, pm_cmd_compare, pm_cmd_generate, pm_cmd_eval;

/* Where fetched models and data live: $PEFTMETER_CACHE, else ~/.cache/peftmeter. */
pm_status pm_cache_dir(char *out, size_t cap, pm_err *e);
/* The shipped folder (datasets/): beside the binary's tree, or $PEFTMETER_HOME. */
pm_status pm_share_dir(char *out, size_t cap, pm_err *e);
/* A model NAME from the catalogue, a directory or a .gguf file -> a path that exists. PM_EIO with the hint `peftmeter models fetch NAME`. */
pm_status pm_model_resolve(const char *name, char *path, size_t cap, pm_err *e);
#endif
