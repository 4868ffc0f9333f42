/* cli.c - what subcommands share: global switches, option tables, help from field tables, JSON output, interrupts. */
#include "cmd.h"

#include <cjson/cJSON.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

pm_globals pm_global;

/* ---- exit codes ---------------------------------------------------------------------------------------------------------- */

int pm_exit_code(pm_status s) {
    static const int code[] = {
        [PM_OK] = 0,  [PM_EUSAGE] = 2, [PM_EIO] = 3,       [PM_EFORMAT] = 3,    [PM_EUNSUPPORTED] = 2,
        [PM_EDB] = 3, [PM_ECHECK] = 1, [PM_EDIVERGED] = 1, [PM_ECANCELLED] = 1, [PM_ELOCKED] = 2,
    };
    return code[s];
}

/* ---- errors -------------------------------------------------------------------------------------------------------------- */

bool pm_no_color(void) {
    const char *v = getenv("NO_COLOR");
    return v && *v;
}

/* One line each, whatever a file or an argument put into the text. */
static void print_line(const char *label, const char *color, const char *text) {
    bool colored = isatty(STDERR_FILENO) && !pm_no_color();
    fprintf(stderr, colored ? "\033[%sm%s\033[0m " : "%.0s%s ", color, label);
    for (; *text; text++) fputc(iscntrl((unsigned char)*text) ? '?' : *text, stderr);
    fputc('\n', stderr);
}

void pm_err_print(const pm_err *e) {
    print_line("peftmeter:", "1;31", e->msg);
    if (e->hint[0]) print_line("hint:", "1", e->hint);
}

/* ---- options ------------------------------------------------------------------------------------------------------------- */

enum { OPTS_MAX = 32 };

static const pm_opt *find_opt(const pm_opt *o, const char *arg, size_t n) {
    for (; o->name; o++)
        if (strlen(o->name) == n && memcmp(o->name, arg, n) == 0) return o;
    return NULL;
}

static pm_status unknown_opt(const pm_opt *opts, const char *command, const char *arg, size_t n, pm_err *e) {
    const char *known[OPTS_MAX + 3] = {"--json", "--quiet", "--help"};
    char word[64];
    int count = 3;
    for (; opts->name && count < OPTS_MAX + 3; opts++) known[count++] = opts->name;
    snprintf(word, sizeof word, "%.*s", (int)n, arg);
    const char *near = pm_nearest(word, known, count);
    pm_fail(e, PM_EUSAGE, "%s: there is no option %s", command, word);
    return near ? pm_hint(e, "did you mean %s?", near)
                : pm_hint(e, "`peftmeter %s --help` lists the options", command);
}

static pm_status add_to_list(const pm_opt *o, const char *value, pm_err *e) {
    int room = (int)(sizeof o->list->at / sizeof *o->list->at);
    if (o->list->n == room) return pm_fail(e, PM_EUSAGE, "%s: more than %d times", o->name, room);
    o->list->at[o->list->n++] = value;
    return PM_OK;
}

/* `value` is NULL where none was given. */
static pm_status store(const pm_opt *o, const char *command, const char *value, pm_err *e) {
    if (o->flag ? value != NULL : value == NULL) {
        pm_fail(e, PM_EUSAGE, "%s: %s %s", command, o->name, o->flag ? "takes no value" : "needs a value");
        return pm_hint(e, "`peftmeter %s --help` shows its form", command);
    }
    if (o->list) return add_to_list(o, value, e);
    if (o->flag)
        *o->flag = true;
    else
        *o->value = value;
    return PM_OK;
}

pm_status pm_opts_parse(const pm_opt *opts, int *argc, char **argv, pm_err *e) {
    int left = 1;
    for (int i = 1; i < *argc; i++) {
        const char *arg = argv[i];
        if (strcmp(arg, "--") == 0) {
            while (++i < *argc) argv[left++] = argv[i];
            break;
        }
        if (arg[0] != '-' || !arg[1]) {
            argv[left++] = argv[i];
            continue;
        }
        size_t n = strcspn(arg, "=");
        const pm_opt *o = find_opt(opts, arg, n);
        if (!o) return unknown_opt(opts, argv[0], arg, n, e);
        const char *value = arg[n] ? arg + n + 1 : NULL;
        if (!value && !o->flag && i + 1 < *argc) value = argv[++i];
        pm_status s = store(o, argv[0], value, e);
        if (s != PM_OK) return s;
    }
    *argc = left;
    return PM_OK;
}

pm_status pm_args_check(int argc, char **argv, int min, int max, pm_err *e) {
    int n = argc - 1;
    if (n >= min && n <= max) return PM_OK;
    if (n > max)
        pm_fail(e, PM_EUSAGE, "%s: one argument too many: %.64s", argv[0], argv[max + 1]);
    else
        pm_fail(e, PM_EUSAGE, "%s: %s", argv[0], n == 0 ? "no arguments" : "not enough arguments");
    return pm_hint(e, "`peftmeter %s --help` shows its form", argv[0]);
}

/* ---- settings ------------------------------------------------------------------------------------------------------------ */

static const char *const type_name[] = {
    [PM_FIELD_INT] = "int",       [PM_FIELD_REAL] = "real", [PM_FIELD_BOOL] = "bool",
    [PM_FIELD_STRING] = "string", [PM_FIELD_ENUM] = "enum",
};

static bool has_range(const pm_field *f) {
    return f->min != 0 || f->max != 0;
}

void pm_fields_print(FILE *out, const pm_field *f, const char *prefix) {
    for (; f->key; f++) {
        char name[96], what[96] = "";
        snprintf(name, sizeof name, "%s%s", prefix, f->key);
        if (f->choices)
            snprintf(what, sizeof what, "%s", f->choices);
        else if (has_range(f))
            snprintf(what, sizeof what, "%s %.9g..%.9g", type_name[f->type], f->min, f->max);
        else
            snprintf(what, sizeof what, "%s", type_name[f->type]);
        fprintf(out, "  %-20s %-12s %s\n", name, f->def[0] ? f->def : "\"\"", what);
        fprintf(out, "  %-20s %s\n", "", f->help);
    }
}

cJSON *pm_fields_json(const pm_field *f, const char *prefix) {
    cJSON *list = cJSON_CreateArray();
    for (; f->key; f++) {
        char name[96];
        cJSON *o = cJSON_CreateObject();
        snprintf(name, sizeof name, "%s%s", prefix, f->key);
        cJSON_AddStringToObject(o, "key", name);
        cJSON_AddStringToObject(o, "type", type_name[f->type]);
        cJSON_AddStringToObject(o, "default", f->def);
        if (has_range(f))
            cJSON_AddNumberToObject(o, "min", f->min), cJSON_AddNumberToObject(o, "max", f->max);
        if (f->choices) cJSON_AddStringToObject(o, "choices", f->choices);
        cJSON_AddStringToObject(o, "help", f->help);
        if (f->peft) cJSON_AddStringToObject(o, "adapter_config", f->peft);
        cJSON_AddItemToArray(list, o);
    }
    return list;
}

void pm_json_print(cJSON *j) {
    char *text = cJSON_Print(j);
    PM_ASSERT(text, "out of memory: printing JSON");
    puts(text);
    free(text);
    cJSON_Delete(j);
}

/* ---- interrupts ---------------------------------------------------------------------------------------------------------- */

volatile sig_atomic_t pm_interrupted;

static void on_signal(int sig) {
    if (pm_interrupted) _exit(128 + sig);
    pm_interrupted = sig;
}

void pm_catch_interrupts(void) {
    struct sigaction a;
    memset(&a, 0, sizeof a);
    a.sa_handler = on_signal;
    a.sa_flags = SA_RESTART;
    sigemptyset(&a.sa_mask);
    sigaction(SIGINT, &a, NULL);
    sigaction(SIGTERM, &a, NULL);
    struct sigaction hangup;
    sigaction(SIGHUP, NULL, &hangup);
    if (hangup.sa_handler != SIG_IGN) sigaction(SIGHUP, &a, NULL); /* nohup means: go on */
}
