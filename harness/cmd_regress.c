/* cmd_regress.c - did this commit change anything, and which method? Here: the words of the command line; the tiers are regress_*.c. */
#include "cmd.h"
#include "regress.h"
#include "report.h"

#include <string.h>

typedef struct options {
    pm_csv_words csv;
    const char *format, *out;
} options;

static pm_status needs(const char *option, const char *value, pm_err *e) {
    if (value && *value) return PM_OK;
    pm_fail(e, PM_EUSAGE, "regress: %s is missing", option);
    return pm_hint(e, "`peftmeter regress --help` shows its form");
}

static pm_status check_words(const options *o, pm_err *e) {
    const struct {
        const char *option, *value;
    } must[] = {{"--csv", o->csv.file},  {"--row", o->csv.row},   {"--value", o->csv.value},
                {"--when", o->csv.when}, {"--base", o->csv.base}, {"--head", o->csv.head}};
    pm_status s = PM_OK;
    for (size_t i = 0; i < sizeof must / sizeof *must && s == PM_OK; i++)
        s = needs(must[i].option, must[i].value, e);
    return s;
}

static pm_status compare_and_print(const options *o, const pm_format *f, pm_err *e) {
    pm_regress g = pm_regress_new("Regression");
    pm_status s = pm_regress_csv(&o->csv, &g, e);
    if (s == PM_OK) s = pm_regress_finish(&g, f, o->out, e);
    pm_regress_free(&g);
    return s;
}

static pm_status regress(int argc, char **argv, pm_err *e) {
    options o = {.format = pm_global.json ? "json" : "text"};
    const pm_opt opts[] = {
        {.name = "--base", .value = &o.csv.base},   {.name = "--head", .value = &o.csv.head},
        {.name = "--csv", .value = &o.csv.file},    {.name = "--row", .value = &o.csv.row},
        {.name = "--value", .value = &o.csv.value}, {.name = "--when", .value = &o.csv.when},
        {.name = "--scale", .value = &o.csv.scale}, {.name = "--format", .value = &o.format},
        {.name = "--out", .value = &o.out},         {.name = NULL}};
    const pm_format *f = NULL;
    pm_status s = pm_opts_parse(opts, &argc, argv, e);
    if (s == PM_OK) s = pm_args_check(argc, argv, 0, 0, e);
    if (s == PM_OK) s = check_words(&o, e);
    if (s == PM_OK) s = pm_format_find(o.format, &f, e);
    return s == PM_OK ? compare_and_print(&o, f, e) : s;
}

const pm_command pm_cmd_regress = {
    .name = "regress",
    .summary = "did anything change for the worse, and which method",
    .help =
        "usage: peftmeter regress --csv FILE --row COLUMN --value COLUMN[:higher|:lower] --when COLUMN\n"
        "                         --base PREFIX --head PREFIX [--scale S] [--format FORMAT] [--out FILE]\n"
        "\n"
        "Did one and the same shift, however small, come over all configurations of a table, and which of "
        "them\n"
        "moved unlike the others? Of each row's name, the newest value whose time starts with each prefix.\n"
        "\n"
        "  --csv FILE        a table, its first line the columns; .gz and .bz2 too\n"
        "  --row COLUMN      names the configuration\n"
        "  --value COLUMN    what is compared; :higher (default) or :lower is better\n"
        "  --when COLUMN     time of the measurement, as 2026-01-09T17:02:52\n"
        "  --base PREFIX     before: times that start so, as 2026-01\n"
        "  --head PREFIX     after\n"
        "  --scale S         points (values are shares; default where all lie in 0..1), percent (default "
        "where all\n"
        "                    are above 0) or plain\n"
        "  --format FORMAT   text (default), md, latex, csv, json, html\n"
        "  --out FILE        write there instead of standard output\n"
        "\n"
        "A shift for the worse is said where chance alone would do so in at most 0.8% of cases, one for the "
        "better\n"
        "in 0.2% (docs/STATISTICS.md). That takes seven configurations in both.\n"
        "\n"
        "  peftmeter regress --csv history.csv --row experiment --value test_accuracy --when created_at \\\n"
        "                    --base 2026-01 --head 2026-07\n"
        "\n"
        "Exit 0: no shift for the worse; 1: there is one; 2: nothing to compare; 3: the file cannot be "
        "read.\n",
    .run = regress,
    .light = true,
};
