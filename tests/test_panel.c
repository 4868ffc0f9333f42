/* test_panel.c - the panel test: its numbers against scipy's, what it can decide at all, and tables of every kind that `regress --csv` may be given. */
#include "cmd.h"
#include "regress.h"
#include "report.h"

#include "check.h"
#include "golden/panel.h"
#include "scratch.h"
#include <stdlib.h>
#include <unistd.h>

#define COUNT(a) (sizeof(a) / sizeof *(a))

static char dir[] = P_tmpdir "/peftmeter-panel-XXXXXX";
static pm_arena *arena;

/* ---- the numbers --------------------------------------------------------------------------------------------------------- */

static pm_panel test_of(const double *d, int n, int better, double floor) {
    double residual[64];
    return pm_panel_test(d, n, better, floor, arena, residual);
}

static void panel_agrees_with_scipy(void) {
    for (size_t i = 0; i < COUNT(golden_panel); i++) {
        pm_panel p = test_of(golden_panel[i].d, golden_panel[i].n, 1, 0);
        CHECK_EQ_INT(p.down, golden_panel[i].down);
        CHECK_EQ_INT(p.up, golden_panel[i].up);
        CHECK_EQ_INT(p.equal, golden_panel[i].n - p.down - p.up);
        CHECK_REL(p.mean, golden_panel[i].mean, 1e-9);
        CHECK_REL(p.interval.low, golden_panel[i].low, 1e-9);
        CHECK_REL(p.interval.high, golden_panel[i].high, 1e-9);
        CHECK_REL(p.t, golden_panel[i].t, 1e-9);
        CHECK_REL(p.p_t, golden_panel[i].p_t, 1e-9);
        CHECK_REL(p.p_sign, golden_panel[i].p_sign, 1e-9);
        CHECK_REL(p.p_worse, golden_panel[i].p_low, 1e-9);
        CHECK_REL(p.p_better, golden_panel[i].p_high, 1e-9);
        CHECK_REL(p.shift, golden_panel[i].shift, 1e-9);
        CHECK_REL(p.limit, golden_panel[i].limit, 1e-9);
    }
}

static void panel_knows_which_way_is_worse(void) {
    static const double down[] = {-1, -2, -3, -4, -5, -6, -7, -8, -9};
    pm_panel higher = test_of(down, 9, 1, 0), lower = test_of(down, 9, -1, 0);
    CHECK_EQ_INT(higher.verdict, PM_PANEL_WORSE);
    CHECK_EQ_INT(lower.verdict, PM_PANEL_BETTER);
    CHECK(higher.p_worse == lower.p_better && higher.p_better == lower.p_worse);
    CHECK(higher.t < 0 && lower.t == higher.t);
}

/* What can be decided at all: worse from seven differences on, better from nine; no number of configurations without a difference. */
static void panel_decides_from_seven(void) {
    double d[64];
    for (int n = 1; n <= 20; n++) {
        for (int i = 0; i < n; i++) d[i] = -1000 - i;
        CHECK_EQ_INT(test_of(d, n, 1, 0).verdict, n < 7 ? PM_PANEL_FEW : PM_PANEL_WORSE);
        CHECK_EQ_INT(test_of(d, n, -1, 0).verdict, n < 7   ? PM_PANEL_FEW
                                                   : n < 9 ? PM_PANEL_NONE
                                                           : PM_PANEL_BETTER);
        for (int i = 0; i < n; i++) d[i] = 0;
        CHECK_EQ_INT(test_of(d, n, 1, 0).verdict, n < 7 ? PM_PANEL_FEW : PM_PANEL_NONE);
        CHECK_EQ_INT(test_of(d, n, 1, 0).equal, n);
    }
    for (int i = 0; i < 38; i++) d[i] = i < 6 ? -1 : 0;
    CHECK_EQ_INT(test_of(d, 38, 1, 0).verdict, PM_PANEL_NONE);
    for (int i = 0; i < 7; i++) d[i] = i ? -1 : 0.5;
    CHECK_EQ_INT(test_of(d, 7, 1, 0).verdict, PM_PANEL_NONE);
}

/* Equal differences have a mean and no t, also where only rounding tells them apart. */
static void panel_gives_no_t_without_spread(void) {
    double base[8], head[8], d[8];
    for (int i = 0; i < 8; i++) base[i] = 0.1 * i, head[i] = base[i] + 0.03;
    pm_panel_differences(PM_PANEL_POINTS, base, head, 8, d);
    pm_panel p = test_of(d, 8, 1, 0);
    CHECK(isnan(p.t) && isnan(p.p_t));
    CHECK_NEAR(p.mean, 3, 1e-12);
    CHECK_EQ_INT(p.up, 8);
}

/* The normal approximation above PM_RANKS_EXACT is within 1% of the exact p where it decides. */
static void panel_takes_thousands(void) {
    enum { N = PM_RANKS_EXACT };
    double *d = calloc(3 * N, sizeof *d), *residual = calloc(3 * N, sizeof *d);
    for (int i = 0; i < N; i++) d[i] = (i + 1) * (i * 7919 % 1000 < 557 ? -1 : 1);
    pm_panel exact = pm_panel_test(d, N, 1, 0, arena, residual);
    d[N] = 0.5; /* one more, of the least rank */
    pm_panel approximate = pm_panel_test(d, N + 1, 1, 0, arena, residual);
    CHECK(exact.p_worse > 1e-4 && exact.p_worse < 0.05);
    CHECK_REL(approximate.p_worse, exact.p_worse, 0.02);
    for (int i = 0; i < 3 * N; i++) d[i] = i % 2 ? -1 - i : 0.5 * i;
    CHECK_EQ_INT(pm_panel_test(d, 3 * N, 1, 0, arena, residual).verdict, PM_PANEL_WORSE);
    free(d), free(residual);
}

static void scale_is_read_off_the_values(void) {
    static const double shares[] = {0, 0.5, 1}, sizes[] = {0.5, 2, 30}, any[] = {-1, 0, 2},
                        zero[] = {0, 2, 3};
    CHECK_EQ_INT(pm_panel_scale_of(shares, shares, 3), PM_PANEL_POINTS);
    CHECK_EQ_INT(pm_panel_scale_of(shares, sizes, 3), PM_PANEL_PLAIN);
    CHECK_EQ_INT(pm_panel_scale_of(sizes, sizes, 3), PM_PANEL_PERCENT);
    CHECK_EQ_INT(pm_panel_scale_of(sizes, any, 3), PM_PANEL_PLAIN);
    CHECK_EQ_INT(pm_panel_scale_of(zero, sizes, 3), PM_PANEL_PLAIN);
}

/* Base and head exchanged: the same with the other sign, in the logarithms that are tested. */
static void percent_is_symmetric(void) {
    static const double a[] = {1, 2, 3, 40}, b[] = {2, 1, 3.3, 50};
    double there[4], back[4];
    pm_panel_differences(PM_PANEL_PERCENT, a, b, 4, there);
    pm_panel_differences(PM_PANEL_PERCENT, b, a, 4, back);
    for (int i = 0; i < 4; i++) CHECK_NEAR(there[i], -back[i], 1e-15);
    CHECK_NEAR(pm_panel_shown(PM_PANEL_PERCENT, there[2]), 10, 1e-12);
    CHECK_NEAR(pm_panel_shown(PM_PANEL_PERCENT, there[0]), 100, 1e-12);
}

/* ---- tables -------------------------------------------------------------------------------------------------------------- */

static const char *written(const char *text) {
    const char *path = path_in(dir, "table.csv");
    FILE *f = fopen(path, "wb");
    fputs(text, f);
    fclose(f);
    return path;
}

static pm_csv_words words(const char *file) {
    return (pm_csv_words){
        .file = file, .row = "name", .value = "value", .when = "time", .base = "2026-01", .head = "2026-02"};
}

/* The panel test of a table. The caller frees *g. */
static pm_status regress(const pm_csv_words *w, pm_regress *g, pm_err *e) {
    *g = pm_regress_new("t");
    return pm_regress_csv(w, g, e);
}

/* base -> head of a configuration as the table prints them; "" where it is not there. */
static const char *moved(const pm_regress *g, const char *name) {
    static char out[4][64];
    static int turn;
    const pm_table *t = g->report->tables[0];
    turn = (turn + 1) % 4;
    out[turn][0] = 0;
    for (int i = 0; i < t->n_rows; i++)
        if (strcmp(pm_table_at(t, i, 0)->text, name) == 0)
            snprintf(out[turn], sizeof *out, "%g %g", pm_table_at(t, i, 1)->value,
                     pm_table_at(t, i, 2)->value);
    return out[turn];
}

static void csv_takes_the_newest_of_each_prefix(void) {
    pm_err e = {0};
    pm_regress g;
    pm_csv_words w = words(written("name,time,value\n"
                                   "a,2026-01-05,3\n" /* not in the order of times */
                                   "a,2026-01-09,4\n"
                                   "a,2026-01-01,5\n"
                                   "a,2026-02-01,6\n"
                                   "a,2026-02-01,7\n"  /* at the same time: the later line */
                                   "a,x2026-01-31,8\n" /* holds the prefix, does not start with it */
                                   "a,x2026-02-28,8\n"
                                   "b,2026-01-01,1\n"
                                   "b,2026-02-01,2\n"
                                   "b,2026-02-09,\n" /* newer, but not measured */
                                   "b,2026-02-08,NaN\n"
                                   "c,2026-01-01,1\n"
                                   "d,2026-02-01,1\n"));
    CHECK_OK(regress(&w, &g, &e));
    CHECK_EQ_INT(g.report->tables[0]->n_rows, 2);
    CHECK_EQ_STR(moved(&g, "a"), "4 7");
    CHECK_EQ_STR(moved(&g, "b"), "1 2");
    CHECK(strstr(g.report->tables[0]->notes[0], "1 only in base, 1 only in head, 2 lines without a number"));
    pm_regress_free(&g);
}

static void csv_reads_what_spreadsheets_write(void) {
    pm_err e = {0};
    pm_regress g;
    pm_csv_words w = words(written("\xef\xbb\xbf\"name\",time,\"value\"\r\n"
                                   "\"a, \"\"b\"\"\nc\",2026-01-01,\"1.5\"\r\n"
                                   "\r\n"
                                   "\"a, \"\"b\"\"\nc\",2026-02-01, 2.5e0 \r\n"
                                   "d,2026-01-01,n/a\r\n"
                                   "d,2026-02-01,INF\r\n"
                                   "e,2026-03-01,not read\r\n"
                                   "f,2026-01-01,-1\r\n"
                                   "f,2026-02-01,1"));
    CHECK_OK(regress(&w, &g, &e));
    CHECK_EQ_INT(g.report->tables[0]->n_rows, 2);
    CHECK_EQ_STR(moved(&g, "a, \"b\"\nc"), "1.5 2.5");
    CHECK_EQ_STR(moved(&g, "f"), "-1 1");
    pm_regress_free(&g);
}

typedef struct refusal {
    const char *text; /* of the file; NULL: there is none */
    const char *row, *value, *base, *scale;
    int exit;
    const char *msg, *hint; /* what they must hold */
} refusal;

static const refusal refusals[] = {
    {NULL, NULL, NULL, NULL, NULL, 3, "absent.csv", ""},
    {"", NULL, NULL, NULL, NULL, 3, "empty", "write it again"},
    {"\xef\xbb\xbf", NULL, NULL, NULL, NULL, 3, "empty", "first line"},
    {"name,time,value\n", NULL, NULL, NULL, NULL, 2, "nothing to compare", "starts with --base 2026-01"},
    {"name,time,value\na,2026-01-01,1\n", NULL, NULL, NULL, NULL, 2, "nothing to compare", "--head 2026-02"},
    {"name,time,value\na,2026-01-01,1\nb,2026-02-01,1\n", NULL, NULL, NULL, NULL, 2, "nothing to compare",
     "must name"},
    {"name,time,value\na,2026-02-01,1\n", NULL, NULL, "2026", NULL, 2, "nothing to compare",
     "different lines"},
    {"name,time,value\na,2026-01-01,1\na,2026-02-01,\n", NULL, NULL, NULL, NULL, 2, "nothing to compare",
     "--head 2026-02"},
    {"name,time,value\n", "nom", NULL, NULL, NULL, 2, "--row: there is no column nom",
     "columns: name, time, value"},
    {"name,time,value\n", NULL, "speed:lower", NULL, NULL, 2, "--value: there is no column speed",
     "name, time, value"},
    {"name,time,value\n", NULL, "value:less", NULL, NULL, 2, "\"less\" is no direction", "COLUMN:higher"},
    {"name,time,value\n", NULL, "value:", NULL, NULL, 2, "no direction", "COLUMN:lower"},
    {"name,time,name,value\n", NULL, NULL, NULL, NULL, 3, "2 columns are called name", "rename"},
    {"name,time,value\na,2026-01-01\n", NULL, NULL, NULL, NULL, 3, "row 1 has 2 columns, not 3",
     "comma-separated"},
    {"name,time,value\na,\"2026-01-01,1\n", NULL, NULL, NULL, NULL, 3, "never closed", "comma-separated"},
    {"name,time,value\na,2026-01-01,12%\n", NULL, NULL, NULL, NULL, 3, "row 1: value is \"12%\"", "a number"},
    {"name,time,value\na,2026-01-01,-1e308\n", NULL, NULL, NULL, NULL, 3, "row 1: value is \"-1e308\"",
     "1e100"},
    {"name,time,value\na,2026-01-01,2\na,2026-02-01,0\n", NULL, NULL, NULL, "percent", 2, "a has a value",
     "plain"},
    {"name,time,value\na,2026-01-01,2\na,2026-02-01,0\n", NULL, NULL, NULL, "log", 2, "no scale log",
     "points, percent"},
};

static void csv_refuses(void) {
    for (size_t i = 0; i < COUNT(refusals); i++) {
        const refusal *r = &refusals[i];
        pm_err e = {0};
        pm_regress g;
        pm_csv_words w = words(r->text ? written(r->text) : path_in(dir, "absent.csv"));
        if (r->row) w.row = r->row;
        if (r->value) w.value = r->value;
        if (r->base) w.base = r->base;
        w.scale = r->scale;
        CHECK_EQ_INT(pm_exit_code(regress(&w, &g, &e)), r->exit);
        if (!strstr(e.msg, r->msg) || !strstr(e.hint, r->hint))
            CHECK_FAIL_("refusal %zu: %s | %s, want %s | %s", i, e.msg, e.hint, r->msg, r->hint);
        pm_regress_free(&g);
    }
}

/* n configurations that all change by `change`, the first by `first`. */
static const char *table_of(int n, double change, double first) {
    pm_buf b = {0};
    pm_buf_puts(&b, "name,time,value:x,value\n");
    for (int i = 0; i < n; i++) {
        double at = 10 + i;
        pm_buf_printf(&b, "m%d,2026-01-01,%.17g,%.17g\n", i, at, at);
        pm_buf_printf(&b, "m%d,2026-02-01,%.17g,%.17g\n", i, at, at + (i ? change : first));
    }
    const char *path = written(b.p ? b.p : "");
    pm_buf_free(&b);
    return path;
}

/* want: the panel's verdict, then who stands apart. */
static void check_verdict(const char *value, const char *file, const char *want, int exit) {
    pm_err e = {0};
    pm_regress g;
    pm_csv_words w = words(file);
    const pm_format *f = NULL;
    pm_buf said = {0};
    w.value = value;
    w.scale = "plain";
    CHECK_OK(regress(&w, &g, &e));
    pm_buf_puts(&said, pm_case_verdict_name(g.cases[0].verdict));
    for (int i = 0; i < g.n_cases; i++)
        if (g.cases[i].verdict == PM_CASE_APART) pm_buf_printf(&said, " %s", g.cases[i].name);
    CHECK_EQ_STR(said.p, want);
    CHECK_OK(pm_format_find("json", &f, &e));
    CHECK_EQ_INT(pm_exit_code(pm_regress_finish(&g, f, path_in(dir, "out.json"), &e)), exit);
    pm_buf_free(&said);
    pm_regress_free(&g);
}

/* What changed and how it ends; a configuration that moved alone is named and is no panel regression. */
static void csv_ends_as_it_should(void) {
    check_verdict("value", table_of(9, -1, -1), "worse", 1);
    check_verdict("value:lower", table_of(9, 1, 1), "worse", 1);
    check_verdict("value:higher", table_of(9, 1, 1), "better", 0);
    check_verdict("value:lower", table_of(9, -1, -1), "better", 0);
    check_verdict("value", table_of(9, 0, 0), "same", 0);
    check_verdict("value:x", table_of(9, -1, -1), "same", 0); /* a column of that name, unchanged */
    check_verdict("value:x:lower", table_of(9, 1, 1), "same", 0);
    check_verdict("value", table_of(9, 0, -5), "same m0", 0);
    check_verdict("value", table_of(9, 0, -0.1), "same", 0); /* below the floor */
    check_verdict("value", table_of(9, -1, -9), "worse m0", 1);
    check_verdict("value", table_of(6, -1, -9), "undecided", 2);
    check_verdict("value", table_of(1, -1, -1), "undecided", 2);
}

/* ---- the history --------------------------------------------------------------------------------------------------------- */

static int run(const char *value, const char *base, const char *head, const char *format, pm_err *e) {
    char word[][64] = {"regress",    "--csv",      "tests/golden/history.csv",
                       "--row",      "experiment", "--when",
                       "created_at", "--value",    "",
                       "--base",     "",           "--head",
                       "",           "--format",   "",
                       "--out",      "",           "--row=experiment"};
    char *argv[COUNT(word) + 1] = {0};
    snprintf(word[8], 64, "%s", value);
    snprintf(word[10], 64, "%s", base);
    snprintf(word[12], 64, "%s", head);
    snprintf(word[14], 64, "%s", format);
    snprintf(word[16], 64, "%s", path_in(dir, "out"));
    for (size_t i = 0; i < COUNT(word); i++) argv[i] = word[i];
    return pm_exit_code(pm_cmd_regress.run((int)COUNT(word), argv, e));
}

static char *said(void) {
    pm_buf b = {0};
    FILE *f = fopen(path_in(dir, "out"), "r");
    if (f) pm_buf_read(&b, f), fclose(f);
    return pm_buf_take(&b);
}

static void check_said(const char *text, const char *want) {
    if (!strstr(text, want)) CHECK_FAIL_("does not say \"%s\":\n%s", want, text);
}

/* 38 configurations, 36 of them down: flagged. */
static void history_has_a_drop(void) {
    pm_err e = {0};
    CHECK_EQ_INT(run("test_accuracy", "2026-01", "2026-07", "text", &e), 1);
    char *text = said();
    check_said(text, "a common shift for the worse: mean -1.65 points over 38 configurations, 36 down");
    check_said(text, " -10.6 ");
    check_said(text, "-1.65 [-1.97, -1.33]");
    check_said(e.msg,
               "regression: panel test_accuracy: a common shift for the worse: mean -1.65 points over 38 "
               "configurations, 36 down, 1 up (p worse 5.1e-11)");
    CHECK(!strstr(text, "apart:"));
    free(text);
}

/* The same code twice: not flagged. */
static void history_has_a_quiet_week(void) {
    pm_err e = {0};
    CHECK_EQ_INT(run("test_accuracy", "2025-06-17", "2025-06-19", "text", &e), 0);
    char *text = said();
    check_said(text, "no common shift: mean -0.05 points over 14 configurations, 7 down, 5 up");
    check_said(text, " -0.3 ");
    CHECK(!strstr(text, "apart:"));
    free(text);
}

static void history_has_one_that_needs_more_memory(void) {
    pm_err e = {0};
    CHECK_EQ_INT(run("accelerator_memory_max_gib:lower", "2026-01", "2026-07", "text", &e), 0);
    char *text = said(), *first = strstr(text, "apart:");
    check_said(text, "apart: lora--llama-3.2-3B-rank32-lorafa: +10.07 %, +10.08 % beside the common shift.");
    check_said(
        text,
        "boft--llama-3.2-3B-default                         22.734  22.996        1.15          1.16\n");
    CHECK(first && !strstr(first + 1, "apart:"));
    CHECK_EQ_INT(run("accelerator_memory_max_gib:lower", "2026-01", "2026-07", "json", &e), 0);
    char *json = said();
    check_said(json, "\"residual_note\":\t\"apart\"");
    check_said(json, "\"verdict\":\t\"same\"");
    free(text), free(json);
}

static void command_wants_its_words(void) {
    static const char *const line[][16] = {
        {"regress"},
        {"regress", "--csv", "f", "--row", "a", "--value", "b", "--when", "c", "--base", "d"},
        {"regress", "--csv", "f", "--row", "a", "--value", "b", "--when", "c", "--base", "", "--head", "e"},
        {"regress", "--csv", "f", "--row", "a", "--value", "b", "--when", "c", "--base", "d", "--head", "e",
         "f"},
    };
    for (size_t i = 0; i < COUNT(line); i++) {
        char copy[16][16], *argv[17] = {0};
        int n = 0;
        pm_err e = {0};
        for (; n < 16 && line[i][n]; n++) snprintf(copy[n], 16, "%s", line[i][n]), argv[n] = copy[n];
        CHECK_EQ_INT(pm_exit_code(pm_cmd_regress.run(n, argv, &e)), 2);
        CHECK(strstr(e.hint, "peftmeter regress --help"));
    }
}

int main(void) {
    if (!mkdtemp(dir)) return 1;
    arena = pm_arena_new("test", (size_t)1 << 28);
    RUN(panel_agrees_with_scipy);
    RUN(panel_knows_which_way_is_worse);
    RUN(panel_decides_from_seven);
    RUN(panel_gives_no_t_without_spread);
    RUN(panel_takes_thousands);
    RUN(scale_is_read_off_the_values);
    RUN(percent_is_symmetric);
    RUN(csv_takes_the_newest_of_each_prefix);
    RUN(csv_reads_what_spreadsheets_write);
    RUN(csv_refuses);
    RUN(csv_ends_as_it_should);
    RUN(history_has_a_drop);
    RUN(history_has_a_quiet_week);
    RUN(history_has_one_that_needs_more_memory);
    RUN(command_wants_its_words);
    unlink(path_in(dir, "table.csv")), unlink(path_in(dir, "out")), unlink(path_in(dir, "out.json"));
    rmdir(dir);
    pm_arena_free(arena);
    return check_done();
}
