/* cmd.h - subcommands: one cmd_*.c each, one row in main.c's table. A command returns a status and fills e; main prints and maps it to
 * the exit code. Options are a table; --json, --quiet and --help are taken out by main wherever they stand. */
#ifndef PM_CMD_H
#define PM_CMD_H
#include "field.h"
#include <signal.h>
#include <stdio.h>

typedef struct pm_globals {
    bool json, quiet, color; /* --json, --quiet, a terminal without NO_COLOR */
    bool progress;           /* stderr is a terminal */
} pm_globals;
extern pm_globals pm_global;

typedef struct pm_command {
    const char *name, *summary; /* one line in `peftmeter --help`; NULL: not listed */
    const char *help;           /* the whole of `peftmeter NAME --help`: usage, options, examples */
    pm_status (*run)(int argc, char **argv, pm_err *e); /* argv[0] = the name */
    void (*more_help)(void); /* printed below `help`, or NULL: what is known only from tables */
    bool light;              /* multiplies no matrices: main need not set up the BLAS */
} pm_command;
extern const pm_command pm_cmd_run, pm_cmd_methods, pm_cmd_tasks, pm_cmd_models, pm_cmd_data, pm_cmd_doctor,
    pm_cmd_compare, pm_cmd_generate, pm_cmd_eval, pm_cmd_params, pm_cmd_merge_adapter, pm_cmd_export,
    pm_cmd_import, pm_cmd_sweep, pm_cmd_merge, pm_cmd_worker, pm_cmd_pretrain, pm_cmd_report, pm_cmd_claims,
    pm_cmd_regress, pm_cmd_plot;

/* Where fetched models and data live: $PEFTMETER_CACHE, else ~/.cache/peftmeter. */
pm_status pm_cache_dir(char *out, size_t cap, pm_err *e);
/* Where fetched data lie: the cache's data/. */
pm_status pm_data_dir(char *out, size_t cap, pm_err *e);
/* The shipped folder (datasets/): beside the binary's tree, or $PEFTMETER_HOME. */
pm_status pm_share_dir(char *out, size_t cap, pm_err *e);
/* The folder that holds it. */
pm_status pm_root_dir(char *out, size_t cap, pm_err *e);
/* A model NAME from the catalogue, a directory or a .gguf file -> a path that exists. PM_EIO with the hint `peftmeter models fetch NAME`. */
pm_status pm_model_resolve(const char *name, char *path, size_t cap, pm_err *e);

/* ---- cli.c: options, help, output ---- */

typedef struct pm_list {
    const char *at[64];
    int n;
} pm_list;

/* One option; exactly one of the three pointers is set. A table ends with a row whose name is NULL. */
typedef struct pm_opt {
    const char *name;   /* --db */
    const char **value; /* --db FILE or --db=FILE; the last one counts */
    bool *flag;         /* takes no argument */
    pm_list *list;      /* may be repeated: --set K=V --set K=V */
} pm_opt;
/* Reads options wherever they stand, up to "--"; what is left is argv[1..*argc), in order. PM_EUSAGE: unknown (with the nearest), without
 * its argument, or with one it does not take. Strings are argv's. */
pm_status pm_opts_parse(const pm_opt *opts, int *argc, char **argv, pm_err *e);
/* How many arguments may be left after the options. */
pm_status pm_args_check(int argc, char **argv, int min, int max, pm_err *e);

int pm_exit_code(pm_status s);
/* `peftmeter: what: why` and the hint on stderr: main does it for what a command returns, a command for what does not end it. */
void pm_err_print(const pm_err *e);
bool pm_no_color(void); /* no-color.org: NO_COLOR has any value but the empty one */
/* Settings with defaults and help, one block a field; prefix as in "method.". */
void pm_fields_print(FILE *out, const pm_field *f, const char *prefix);
struct cJSON;
struct cJSON *pm_fields_json(const pm_field *f, const char *prefix); /* a list; the caller deletes it */
void pm_json_print(struct cJSON *j);                                 /* one document on stdout; deletes j */

/* Set by SIGINT and SIGTERM after pm_catch_interrupts: finish the step, store what there is, return PM_ECANCELLED. A second signal ends
 * the program at once. Only commands that look at it may catch. */
extern volatile sig_atomic_t pm_interrupted;
void pm_catch_interrupts(void);
#endif
