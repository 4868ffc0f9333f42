/* cmd_claims.c - a file of claims against a database. */
#include "cmd.h"
#include "report_pair.h"

typedef struct options {
    const char *db, *sweep, *format, *out;
    bool badge;
} options;

static pm_status judge(pm_db *d, const options *o, const pm_format *f, const char *file, pm_err *e) {
    const pm_selection q = {.sweep = o->sweep, .outcomes = true};
    pm_results results;
    pm_report *report = pm_report_new("Claims");
    int refuted = 0;
    pm_status s = pm_results_load(d, o->db, &q, &results, e);
    const pm_report_input in = {.db = d, .path = o->db, .r = &results, .badge = o->badge};
    if (s == PM_OK) s = pm_report_claims(&in, file, report, &refuted, e);
    if (s == PM_OK) s = pm_report_write(report, f, o->out, e);
    pm_results_free(&results);
    pm_report_free(report);
    if (s != PM_OK || !refuted) return s;
    pm_fail(e, PM_ECHECK, "%s: %d claim%s refuted", file, refuted, refuted == 1 ? " is" : "s are");
    return pm_hint(e, "the table's difference says by how much");
}

static pm_status claims(int argc, char **argv, pm_err *e) {
    options o = {.db = "results/results.db", .format = pm_global.json ? "json" : "text"};
    const pm_opt opts[] = {{.name = "--db", .value = &o.db},         {.name = "--sweep", .value = &o.sweep},
                           {.name = "--format", .value = &o.format}, {.name = "--out", .value = &o.out},
                           {.name = "--badge", .flag = &o.badge},    {.name = NULL}};
    const pm_format *f = NULL;
    pm_db *d = NULL;
    pm_status s = pm_opts_parse(opts, &argc, argv, e);
    if (s == PM_OK) s = pm_args_check(argc, argv, 1, 1, e);
    if (s == PM_OK) s = pm_format_find(o.format, &f, e);
    if (s == PM_OK) s = pm_db_open_readonly(o.db, &d, e);
    if (s == PM_OK) s = judge(d, &o, f, argv[1], e);
    pm_db_close(d);
    return s;
}

const pm_command pm_cmd_claims = {
    .name = "claims",
    .summary = "a file of claims: supported, refuted or undecided",
    .help =
        "usage: peftmeter claims FILE.json [--db FILE] [--sweep NAME] [--format FORMAT] [--out FILE] "
        "[--badge]\n"
        "\n"
        "FILE.json: {\"claims\": [{\"a\": \"dora\", \"b\": \"lora\", \"task\": \"tiny_facts\", \"points\": "
        "1,\n"
        "                         \"equal_parameters\": 0.1, \"text\": \"as a paper says it\"}]}\n"
        "\n"
        "a beats b by more than so many points (0 when left out; below 0: is not worse by more than that) on "
        "the\n"
        "task; with equal_parameters only where their trainable numbers differ by at most that part. a and b "
        "are\n"
        "rows of `peftmeter report`. Any false verdict in the whole list has a probability of at most 5%.\n"
        "For what is undecided the table says how many more seeds or items a decision would take.\n"
        "\n"
        "  --db FILE        database (results/results.db)\n"
        "  --sweep NAME     rows of this sweep (default: the only one, else all runs but tuning trials)\n"
        "  --format FORMAT  text (default), md, latex, csv, json\n"
        "  --out FILE       write there instead of standard output\n"
        "  --badge          judge rows that are not comparable too\n"
        "\n"
        "  peftmeter claims claims.json --db results/demo.db\n"
        "\n"
        "Exit 0: none is refuted; 1: some are; 2: a row or a task that is not there.\n",
    .run = claims,
    .light = true,
};
