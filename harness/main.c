/* main.c - finds the subcommand, prints what went wrong and what mends it, and turns the status into the exit code.
 *
 * A new subcommand is a file cmd_NAME.c with a `const pm_command pm_cmd_NAME`, its declaration in cmd.h and a row in the table below.
 */
#include "cmd.h"

#include "gemm.h"
#include "host.h"
#include <cjson/cJSON.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* In the order of --help; a group's name stands at its first row. */
static const struct {
    const char *group;
    const pm_command *cmd;
} commands[] = {
    {"Train and score", &pm_cmd_run},
    {NULL, &pm_cmd_sweep},
    {NULL, &pm_cmd_eval},
    {NULL, &pm_cmd_generate},
    {"Give and take", &pm_cmd_merge_adapter},
    {NULL, &pm_cmd_export},
    {NULL, &pm_cmd_import},
    {"Compare what was measured", &pm_cmd_report},
    {NULL, &pm_cmd_plot},
    {NULL, &pm_cmd_compare},
    {NULL, &pm_cmd_claims},
    {NULL, &pm_cmd_regress},
    {NULL, &pm_cmd_merge},
    {"What there is", &pm_cmd_methods},
    {NULL, &pm_cmd_params},
    {NULL, &pm_cmd_tasks},
    {NULL, &pm_cmd_models},
    {NULL, &pm_cmd_data},
    {NULL, &pm_cmd_pretrain},
    {NULL, &pm_cmd_doctor},
    {NULL, &pm_cmd_worker},
};
enum { N_COMMANDS = sizeof commands / sizeof *commands };

static const char usage[] =
    "usage: peftmeter SUBCOMMAND [options]\n"
    "\n"
    "Which parameter-efficient fine-tuning method should I use, and did that answer change?\n";
static const char usage_end[] =
    "\n"
    "A first comparison\n"
    "  peftmeter models fetch smollm2-135m\n"
    "  peftmeter data fetch arc_easy\n"
    "  peftmeter run --model smollm2-135m --task arc_easy --method full --set train.steps=20\n"
    "  peftmeter run --model smollm2-135m --task arc_easy --method lora --set train.steps=20\n"
    "  peftmeter compare full lora\n"
    "\n"
    "Everywhere: --help, --json (one document on stdout), --quiet; `peftmeter --version`.\n"
    "Exit codes: 0 ok; 1 a check, run or regression failed; 2 usage, or nothing measured; 3 disk, database, "
    "missing file or program.\n";

static void print_usage(FILE *out) {
    fputs(usage, out);
    for (int i = 0; i < N_COMMANDS; i++) {
        if (!commands[i].cmd->summary) continue;
        if (commands[i].group) fprintf(out, "\n%s\n", commands[i].group);
        fprintf(out, "  %-13s %s\n", commands[i].cmd->name, commands[i].cmd->summary);
    }
    fputs(usage_end, out);
}

static void print_help(const pm_command *c) {
    fputs(c->help, stdout);
    if (c->more_help) c->more_help();
}

static void print_version(void) {
    if (pm_global.json) {
        cJSON *j = cJSON_CreateObject();
        cJSON_AddStringToObject(j, "version", pm_version);
        cJSON_AddStringToObject(j, "commit", pm_commit);
        if (pm_dirty >= 0) cJSON_AddBoolToObject(j, "dirty", pm_dirty);
        cJSON_AddStringToObject(j, "compiler", pm_compiler);
        cJSON_AddStringToObject(j, "flags", pm_cflags);
        pm_json_print(j);
        return;
    }
    printf("peftmeter %s (commit %.12s%s)\n", pm_version, pm_commit,
           pm_dirty > 0 ? ", with local changes" : "");
    printf("%s, %s\n", pm_compiler, pm_cflags);
}

static int report(const pm_err *e) {
    pm_err_print(e);
    return pm_exit_code(e->code);
}

static const pm_command *find_command(const char *name) {
    for (int i = 0; i < N_COMMANDS; i++)
        if (strcmp(commands[i].cmd->name, name) == 0) return commands[i].cmd;
    return NULL;
}

static pm_status unknown_command(const char *name, pm_err *e) {
    const char *known[N_COMMANDS];
    int n = 0;
    for (int i = 0; i < N_COMMANDS; i++)
        if (commands[i].cmd->summary) known[n++] = commands[i].cmd->name;
    const char *near = pm_nearest(name, known, n);
    bool option = name[0] == '-';
    pm_fail(e, PM_EUSAGE, "there is no %s %.64s", option ? "option" : "subcommand", name);
    if (near) return pm_hint(e, "did you mean `peftmeter %s`?", near);
    return pm_hint(e, "`peftmeter --help` lists the subcommands%s",
                   option ? "; their options follow their name" : "");
}

/* --json, --quiet and --help wherever they stand before "--"; returns how many arguments are left. */
static int take_globals(int argc, char **argv, bool *help) {
    int left = 1, i = 1;
    for (; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (strcmp(argv[i], "--json") == 0)
            pm_global.json = true;
        else if (strcmp(argv[i], "--quiet") == 0)
            pm_global.quiet = true;
        else if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            *help = true;
        else
            argv[left++] = argv[i];
    }
    for (; i < argc; i++) argv[left++] = argv[i];
    argv[left] = NULL;
    const char *term = getenv("TERM");
    bool dumb = term && strcmp(term, "dumb") == 0;
    pm_global.color = isatty(STDOUT_FILENO) && !pm_no_color() && !dumb;
    pm_global.progress = isatty(STDERR_FILENO) && !dumb && !pm_global.quiet;
    return left;
}

/* OpenBLAS picks its kernels while it is loaded, so a better choice needs a fresh start of this program (gemm.h says when). */
static void restart_for_coretype(char **argv) {
    char name[64];
    if (!pm_gemm_wants_coretype(name, sizeof name)) return;
    setenv(PM_CORETYPE_GUARD, "1", 1);
    if (name[0])
        setenv("OPENBLAS_CORETYPE", name, 1);
    else
        unsetenv("OPENBLAS_CORETYPE");
    execv("/proc/self/exe", argv);
    execvp(argv[0], argv); /* where there is no /proc; when that fails too, the slower kernels serve */
}

/* Output that could not be written is a failure, not a success with a short file. */
static int finish(int code) {
    if (fflush(stdout) == 0 && !ferror(stdout)) return code;
    pm_err e;
    pm_fail(&e, PM_EIO, "write standard output: %s", strerror(errno));
    return report(&e);
}

static int run_command(const pm_command *c, int argc, char **argv, char **original) {
    pm_err e = {0};
    if (!c->light) restart_for_coretype(original);
    return c->run(argc, argv, &e) == PM_OK ? finish(0) : report(&e);
}

static int dispatch(int argc, char **argv, char **original) {
    bool help = false;
    pm_err e = {0};
    int n = take_globals(argc, argv, &help);
    if (n > 1 && strcmp(argv[1], "--version") == 0) return print_version(), finish(0);
    bool help_command = n > 1 && strcmp(argv[1], "help") == 0;
    const char *name = help_command ? argv[2] : argv[1];
    if (!name && (help || help_command)) return print_usage(stdout), finish(0);
    if (!name) return print_usage(stderr), pm_exit_code(PM_EUSAGE);
    const pm_command *c = find_command(name);
    if (!c) return unknown_command(name, &e), report(&e);
    if (help || help_command) return print_help(c), finish(0);
    return run_command(c, n - 1, argv + 1, original);
}

int main(int argc, char **argv) {
    char **copy =
        calloc((size_t)argc + 2, sizeof *copy); /* two NULLs behind the last: argv[2] exists for `help` */
    PM_ASSERT(copy && argc > 0, "%d arguments", argc);
    memcpy(copy, argv, (size_t)argc * sizeof *copy);
    int code = dispatch(argc, copy, argv);
    free(copy);
    return code;
}
