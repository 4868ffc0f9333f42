/* cmd_regress.c - did this commit change anything, and which method? Here: the words of the command line; the tiers are regress_*.c. */
#include "cmd.h"
#include "regress_build.h"
#include "regress_recorded.h"
#include "report.h"

#include <string.h>

typedef struct options {
    pm_csv_words csv;
    pm_recorded_words recorded;
    const char *base, *head, *junit, *format, *out;
    bool build;
} options;

static pm_status needs(const char *option, const char *value, pm_err *e) {
    if (value && *value) return PM_OK;
    pm_fail(e, PM_EUSAGE, "regress: %s is missing", option);
    return pm_hint(e, "`peftmeter regress --help` shows its form");
}

/* Each option in `must` has a value. */
typedef struct word {
    const char *option, *value;
} word;
static pm_status need_all(const word *must, size_t n, pm_err *e) {
    pm_status s = PM_OK;
    for (size_t i = 0; i < n && s == PM_OK; i++) s = needs(must[i].option, must[i].value, e);
    return s;
}

/* What belongs to another form would be passed over: a baseline that nothing is held to looks like one that holds. */
static pm_status refuse_foreign(const options *o, pm_err *e) {
    const bool csv = o->csv.file != NULL, recorded = !csv && !o->build;
    const char *form = o->build ? "with --build" : csv ? "with --csv" : "without --csv";
    const struct {
        const char *option, *value;
        bool fits;
    } given[] = {{"--csv", o->csv.file, !o->build},
                 {"--row", o->csv.row, csv},
                 {"--value", o->csv.value, csv},
                 {"--when", o->csv.when, csv},
                 {"--scale", o->csv.scale, csv},
                 {"--db", o->recorded.db, recorded},
                 {"--baseline", o->recorded.baseline, recorded},
                 {"--accept", o->recorded.accept, recorded},
                 {"--suite", o->recorded.suite, !csv}};
    for (size_t i = 0; i < sizeof given / sizeof *given; i++)
        if (given[i].value && !given[i].fits) {
            pm_fail(e, PM_EUSAGE, "regress: %s does nothing %s", given[i].option, form);
            return pm_hint(e, "`peftmeter regress --help` shows which options go together");
        }
    return PM_OK;
}

static pm_status check_words(const options *o, pm_err *e) {
    const word csv[] = {{"--row", o->csv.row},
                        {"--value", o->csv.value},
                        {"--when", o->csv.when},
                        {"--base", o->base},
                        {"--head", o->head}};
    const word recorded[] = {
        {"--head", o->head},
        {"--base (or --baseline)", o->recorded.baseline ? "given" : o->base},
        {"--baseline, which --accept writes,", o->recorded.accept ? o->recorded.baseline : "none"}};
    const word build[] = {{"--base", o->base}, {"--head", o->head}};
    if (o->build) return need_all(build, sizeof build / sizeof *build, e);
    return o->csv.file ? need_all(csv, sizeof csv / sizeof *csv, e)
                       : need_all(recorded, sizeof recorded / sizeof *recorded, e);
}

static pm_status compare_and_print(const options *o, const pm_format *f, pm_err *e) {
    pm_regress g = pm_regress_new("Regression");
    const pm_build_words build = {o->base, o->head, o->recorded.suite};
    pm_status s = o->build      ? pm_regress_build(&build, &g, e)
                  : o->csv.file ? pm_regress_csv(&o->csv, &g, e)
                                : pm_regress_recorded(&o->recorded, &g, e);
    if (s == PM_OK && o->junit) s = pm_regress_junit(&g, o->junit, e);
    if (s == PM_OK) s = pm_regress_finish(&g, f, o->out, e);
    pm_regress_free(&g);
    return s;
}

static pm_status accept(const options *o, pm_err *e) {
    int n = 0;
    pm_status s = pm_regress_accept(&o->recorded, &n, e);
    if (s == PM_OK && !pm_global.quiet)
        printf("%s: %d number%s changed\n", o->recorded.baseline, n, n == 1 ? "" : "s");
    return s;
}

static pm_status regress(int argc, char **argv, pm_err *e) {
    options o = {.format = pm_global.json ? "json" : "text"};
    const pm_opt opts[] = {{.name = "--base", .value = &o.base},
                           {.name = "--head", .value = &o.head},
                           {.name = "--db", .value = &o.recorded.db},
                           {.name = "--suite", .value = &o.recorded.suite},
                           {.name = "--baseline", .value = &o.recorded.baseline},
                           {.name = "--accept", .value = &o.recorded.accept},
                           {.name = "--junit", .value = &o.junit},
                           {.name = "--csv", .value = &o.csv.file},
                           {.name = "--row", .value = &o.csv.row},
                           {.name = "--value", .value = &o.csv.value},
                           {.name = "--when", .value = &o.csv.when},
                           {.name = "--scale", .value = &o.csv.scale},
                           {.name = "--format", .value = &o.format},
                           {.name = "--out", .value = &o.out},
                           {.name = "--build", .flag = &o.build},
                           {.name = NULL}};
    const pm_format *f = NULL;
    pm_status s = pm_opts_parse(opts, &argc, argv, e);
    if (s == PM_OK) s = pm_args_check(argc, argv, 0, 0, e);
    o.csv.base = o.recorded.base = o.base, o.csv.head = o.recorded.head = o.head;
    if (s == PM_OK) s = refuse_foreign(&o, e);
    if (s == PM_OK) s = check_words(&o, e);
    if (!o.recorded.db) o.recorded.db = "results/results.db";
    if (s == PM_OK) s = pm_format_find(o.format, &f, e);
    if (s != PM_OK) return s;
    return o.recorded.accept ? accept(&o, e) : compare_and_print(&o, f, e);
}

const pm_command pm_cmd_regress = {
    .name = "regress",
    .summary = "did anything change for the worse, and which method",
    .help =
        "usage: peftmeter regress --base REF --head REF [--db FILE] [--suite PLAN] [--baseline FILE] "
        "[options]\n"
        "       peftmeter regress --baseline FILE --head REF [--db FILE] [--suite PLAN] [--accept REASON]\n"
        "       peftmeter regress --base REF --head REF --build [--suite PLAN] [options]\n"
        "       peftmeter regress --csv FILE --row COLUMN --value COLUMN[:higher|:lower] --when COLUMN\n"
        "                         --base PREFIX --head PREFIX [--scale S] [options]\n"
        "\n"
        "Recorded runs (docs/REGRESSION.md): each run of head against the run of base that has the same\n"
        "settings, seed, model and data. Exact counters are equal or explained; answers to the same items "
        "are\n"
        "tested for each configuration, then one shift over all of them. Times are not compared: --build.\n"
        "\n"
        "  --base REF, --head REF  a commit whose runs --db holds (a prefix, or a tag or branch of this\n"
        "                    repository), a database FILE, FILE@COMMIT, or run ids, as 12,14-20\n"
        "  --db FILE         database that commits and ids are of (results/results.db)\n"
        "  --suite PLAN      only runs of this sweep, a plan's file or its name; of a file, all of them\n"
        "  --baseline FILE   reviewed exact numbers: what head is held to, or, with --base, what explains a\n"
        "                    difference\n"
        "  --accept REASON   make head's numbers the reviewed ones; the file keeps what changed and the "
        "reason\n"
        "\n"
        "Speed, with --build: both commits are built in work trees (kept in the cache) and take turns, a "
        "few\n"
        "milliseconds each, at every kernel and at training steps of each method of the suite: 7 pairs of\n"
        "processes, then 15 and 30 while a unit is open. What is called slower is measured again, and only "
        "both\n"
        "together count: in unchanged builds at most 1% of checks. Slowdowns up to 3%, or up to what\n"
        "`peftmeter doctor --noise` found to be this machine's noise, are not called. Two minutes, up to "
        "ten\n"
        "on a noisy machine, and a minute for each commit that is not built yet. For peftmeter itself.\n"
        "\n"
        "A table: did one and the same shift, however small, come over all its configurations, and which of\n"
        "them moved unlike the others? Of each row's name, the newest value whose time starts with each "
        "prefix.\n"
        "\n"
        "  --csv FILE        a table, its first line the columns; .gz and .bz2 too\n"
        "  --row COLUMN      names the configuration\n"
        "  --value COLUMN    what is compared; :higher (default) or :lower is better\n"
        "  --when COLUMN     time of the measurement, as 2026-01-09T17:02:52, all in one time zone\n"
        "  --base PREFIX     before: times that start so, as 2026-01\n"
        "  --head PREFIX     after\n"
        "  --scale S         points (values are shares; default where all lie in 0..1), percent (default "
        "where all\n"
        "                    are above 0) or plain\n"
        "\n"
        "A shift for the worse is said where chance alone would do so in at most 0.8% of cases, one for the "
        "better\n"
        "in 0.2% (docs/STATISTICS.md). That takes seven configurations in both.\n"
        "\n"
        "  --junit FILE      all cases as JUnit XML, for continuous integration\n"
        "  --format FORMAT   text (default), md, latex, csv, json, html\n"
        "  --out FILE        write there instead of standard output\n"
        "\n"
        "  peftmeter regress --base base.db --head head.db --junit regress.xml\n"
        "  peftmeter regress --base v1.2 --head HEAD --db results/history.db --suite results/suite.json\n"
        "  peftmeter regress --baseline results/baseline.json --head head.db --suite results/suite.json\n"
        "  peftmeter regress --csv history.csv --row experiment --value test_accuracy --when created_at \\\n"
        "                    --base 2026-01 --head 2026-07\n"
        "\n"
        "Exit 0: nothing is worse; 1: something is; 2: nothing was measured; 3: a file or database cannot "
        "be\n"
        "read.\n",
    .run = regress,
    .light = true,
};
