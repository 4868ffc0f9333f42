/* test_plot.c - figures of a database whose numbers are known: what each kind hands to gnuplot, texts that try to be commands or markup, labels that
 * do not overlap, and an SVG that can stand beside others.
 */
#include "plot.h"
#include "plot_draw.h"
#include "plot_gnuplot.h"
#include "plot_label.h"

#include "check.h"
#include <sqlite3.h>
#include <stdlib.h>
#include <unistd.h>

static char dir[] = P_tmpdir "/peftmeter-plot-XXXXXX";
static char db_path[128];

static const char hostile[] = "x`touch planted`\"\n!touch planted\n'<b>]]>&{^2}%s\\5";

/* ---- a database ---------------------------------------------------------------------------------------------------------- */

typedef struct plan {
    const char *stage, *label, *method;
    int seed, trial;
    double acc;
    int64_t trainable;
} plan;

static const plan plans[] = {
    {"final", "untuned", "none", 0, 0, 0.25, 0}, {"final", "lora", "lora", 0, 1, 0.7, 1000},
    {"final", "lora", "lora", 1, 1, 0.9, 1000},  {"final", hostile, "svf", 0, 0, 0.5, 100},
    {"final", hostile, "svf", 1, 0, 0.5, 100},   {"final", "full", "full", 0, 0, 0.6, 50000},
    {"final", "full", "full", 1, 0, 0.6, 50000}, {"tune", "lora", "lora", 0, 0, 0.4, 1000},
    {"tune", "lora", "lora", 0, 1, 0.8, 1000},
};

static void into_sweep(pm_db *d, int64_t id, const plan *p) {
    sqlite3_stmt *st = NULL;
    sqlite3_prepare_v2(pm_db_handle(d), "INSERT INTO sweep_runs VALUES ('s', ?, ?, ?, ?)", -1, &st, NULL);
    sqlite3_bind_int64(st, 1, id);
    sqlite3_bind_text(st, 2, p->stage, -1, SQLITE_STATIC);
    sqlite3_bind_text(st, 3, p->label, -1, SQLITE_STATIC);
    sqlite3_bind_int(st, 4, p->trial);
    CHECK_EQ_INT(sqlite3_step(st), SQLITE_DONE);
    sqlite3_finalize(st);
}

/* Ten steps with losses 1/step + seed, 1 token in 1 s for the first, then 10, 20, ..., 90 tokens/s. */
static void add_cost(pm_db *d, int64_t id, int seed) {
    pm_err e = {0};
    for (int i = 0; i < 10; i++)
        CHECK_OK(pm_db_step(d, id, i, 1.0 / (i + 1) + seed, 0.1, 1, i ? 10 * i : 1, 2, 1, &e));
    CHECK_OK(pm_db_counter(d, id, "warmup_steps_dropped", 1, &e));
    CHECK_OK(pm_db_phase(d, id, "train", 2, 2, 100 << 20, 70 << 20, &e));
    CHECK_OK(pm_db_memory(d, id, "weights", 60 << 20, &e));
    CHECK_OK(pm_db_memory(d, id, "activations", 20 << 20, &e));
}

static void add(pm_db *d, const plan *p, const char *commit) {
    pm_err e = {0};
    int64_t id;
    bool tune = strcmp(p->stage, "tune") == 0;
    pm_db_run r = {.model = "some/tiny",
                   .task = "t",
                   .method = p->method,
                   .config = "{\"train.steps\":10}",
                   .model_hash = "m",
                   .data_hash = "h",
                   .commit_id = commit,
                   .seed = p->seed,
                   .trainable_params = p->trainable,
                   .total_params = 100000,
                   .dirty = -1};
    CHECK_OK(pm_db_run_begin(d, &r, &id, &e));
    CHECK_OK(pm_db_metric(d, id, tune ? "validation" : "test", "acc", 1, p->acc, 0.01, 100, &e));
    if (p->trainable) add_cost(d, id, p->seed);
    CHECK_OK(pm_db_run_end(d, id, "ok", NULL, &e));
    into_sweep(d, id, p);
}

/* history: also the final runs of a later commit, full worse there. */
static pm_db *make_db(bool history) {
    pm_db *d;
    pm_err e = {0};
    unlink(db_path);
    CHECK_OK(pm_db_open(db_path, &d, &e));
    for (size_t i = 0; i < sizeof plans / sizeof *plans; i++) add(d, &plans[i], "a`touch planted`");
    for (size_t i = 0; history && i < sizeof plans / sizeof *plans; i++) {
        plan p = plans[i];
        if (strcmp(p.label, "full") == 0) p.acc -= 0.2;
        if (strcmp(p.stage, "final") == 0) add(d, &p, "bcdef0123456789");
    }
    return d;
}

typedef struct scene { /* a database and what one kind reads of it */
    pm_db *d;
    pm_results r;
    pm_report_input in;
    const pm_plot_kind *k;
} scene;

static void open_scene(scene *s, const char *kind) {
    pm_err e = {0};
    s->d = make_db(strcmp(kind, "history") == 0);
    s->k = pm_plot_kind_find(kind, &e);
    const pm_selection q = {.tuning = s->k->tuning, .outcomes = s->k->outcomes};
    CHECK_OK(pm_results_load(s->d, db_path, &q, &s->r, &e));
    s->in = (pm_report_input){.db = s->d, .path = db_path, .r = &s->r};
}

static void close_scene(scene *s) {
    pm_results_free(&s->r);
    pm_db_close(s->d);
}

/* The statements that the kind makes; the caller frees them. */
static char *statements(const char *kind) {
    scene s;
    pm_err e = {0};
    open_scene(&s, kind);
    pm_plot p = {
        .in = &s.in, .end = s.r.n_setups, .height = 450, .left = 70, .right = 20, .top = 34, .bottom = 88};
    CHECK_OK(s.k->make(&p, &e));
    close_scene(&s);
    return pm_buf_take(&p.data);
}

static void check_says(const char *kind, const char *const *want) {
    char *text = statements(kind);
    for (; *want; want++)
        if (!strstr(text, *want)) CHECK_FAIL_("%s does not say: %s\n%s", kind, *want, text);
    CHECK(!strchr(text, '`'));
    free(text);
}

/* ---- what is drawn ------------------------------------------------------------------------------------------------------- */

/* full trains more than lora and scores less: it is no part of the front. Two seeds: mean -+ 12.706 standard errors, within 0 and 100 % of the axis. */
static void accuracy_has_means_front_and_untuned(void) {
    static const char *const want[] = {"$front << END\n100 50 50 50\n1000 80 -47.062047",
                                       "$others << END\n50000 60 60 60\nEND",
                                       "$untuned << END\n45.4545455 25 NaN NaN\n110000 25 NaN NaN\nEND",
                                       "axis = \"test acc \\050\\045\\051\"",
                                       "set label \"lora\"",
                                       "set label \"full\"",
                                       NULL};
    check_says("accuracy", want);
}

/* The first number of the row that follows `head`. */
static double first_after(const char *text, const char *head) {
    const char *at = strstr(text, head);
    return at ? strtod(at + strlen(head), NULL) : (double)NAN;
}

/* Two rows that train as many: ten pixels from each other, around where they are; one that is alone stays. */
static void accuracy_sets_equal_rows_apart(void) {
    scene s;
    pm_err e = {0};
    open_scene(&s, "accuracy");
    for (int i = 0; i < s.r.n_runs; i++)
        if (s.r.run[i].trainable == 50000) s.r.run[i].trainable = 1000;
    pm_plot p = {
        .in = &s.in, .end = s.r.n_setups, .height = 450, .left = 70, .right = 20, .top = 34, .bottom = 88};
    CHECK_OK(s.k->make(&p, &e));
    double lora = first_after(p.data.p, "$front << END\n100 50 50 50\n"),
           full = first_after(p.data.p, "$others << END\n");
    CHECK_REL(lora * full, 1e6, 1e-6);
    CHECK_REL(log(full / lora), 10.0 / (PM_PLOT_WIDTH - 90) * log(2200 / (100 / 2.2)), 1e-6);
    pm_buf_free(&p.data);
    close_scene(&s);
}

/* Seeds 0 and 1: losses 1/step and 1/step + 1. */
static void loss_is_the_mean_over_seeds(void) {
    static const char *const want[] = {"$curves << END\n1 1.5\n2 1\n3 0.833333333\n",
                                       "name[3] = ", "apart = 1\n", "axis = \"training step\"", NULL};
    check_says("loss", want);
}

/* A range of a few thousandths would have numbers at its axis that are as wide as the margin and cover the axis' text. */
static void loss_that_hardly_changes_has_short_numbers(void) {
    scene s;
    pm_err e = {0};
    double low = 0, high = 0;
    open_scene(&s, "loss");
    CHECK_EQ_INT(sqlite3_exec(pm_db_handle(s.d), "UPDATE steps SET loss = 13.8195", NULL, NULL, NULL),
                 SQLITE_OK);
    pm_plot p = {
        .in = &s.in, .end = s.r.n_setups, .height = 450, .left = 70, .right = 20, .top = 34, .bottom = 88};
    CHECK_OK(s.k->make(&p, &e));
    const char *range = strstr(p.data.p, "set yrange [");
    CHECK(range && sscanf(range, "set yrange [%lf:%lf]", &low, &high) == 2);
    CHECK(low < 13.7 && high > 13.9);
    pm_buf_free(&p.data);
    close_scene(&s);
}

static void memory_stacks_categories(void) {
    static const char *const want[] = {
        "$stacks << END\n0 60 1\n0 60 2\n0 60 3\n\n\n60 80 1\n60 80 2\n60 80 3\nEND",
        "name[1] = \"weights\"\nname[2] = \"activations\"", "$live << END\n70 1\n",
        "set label \"80.0 \\050\\061\\060\\060.0\\051\"", NULL};
    check_says("memory", want);
}

/* Steps 1 to 9: 450 tokens in 9 s; single steps from 10 to 90, of both seeds: the tenth part between 10 and 20. */
static void throughput_has_mean_and_percentiles(void) {
    static const char *const want[] = {"$speed << END\n50 17 83 1\n50 17 83 2\n50 17 83 3\nEND",
                                       "set label \"50\"", NULL};
    check_says("throughput", want);
}

/* Of scores 0.4 and 0.8: the best of one 0.6, of two 0.7. */
static void budget_is_the_table(void) {
    static const char *const want[] = {"$curves << END\n1 60 40 80\n2 70 52.67949", "name[1] = \"lora\"",
                                       "n = 1\n", "axis = \"expected best validation acc", NULL};
    check_says("budget", want);
}

/* ---- texts --------------------------------------------------------------------------------------------------------------- */

static void quote_leaves_nothing_that_means_anything(void) {
    static const struct {
        const char *text, *quoted;
    } cases[] = {
        {"lora-r8 all_sites.2", "\"lora-r8 all_sites.2\""},
        {"a\"b`c\\d'e", "\"a\\042b\\140c\\134d\\047e\""},
        {"(64", "\"\\050\\066\\064\""}, /* gnuplot would read \0506 as one */
        {"one\ntwo\r\t\x01\x7f", "\"one two    \""},
        {"b\xc3\xa4r", "\"b\xc3\xa4r\""},
        {"\xff\xc3", "\"\xef\xbf\xbd\xef\xbf\xbd\""},
        {"\xc2\x85\xef\xbf\xbe", "\" \xef\xbf\xbd\""},
        {"twelve chars", "\"twelve chars\""},
        {"thirteen char", "\"thirteen ...\""},
        {"", "\"\""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        pm_buf b = {0};
        pm_plot_quote(cases[i].text, 12 + (i == 0) * 20, &b);
        CHECK_EQ_STR(b.p, cases[i].quoted);
        pm_buf_free(&b);
    }
}

/* Rows stand a little beside each other: full is the first of four, lora the third. Lines reach 0.2 beyond the first and last commit. */
static void history_has_levels_by_commit(void) {
    static const char *const want[] = {
        "axis = \"acc \\050\\045\\051\"",
        "$values << END\n0.85 60\n1.85 40\n",
        "$levels << END\n0.65 60\n1.05 60\nNaN NaN\n1.65 40\n2.05 40\nNaN NaN\n",
        "\n0.75 80\n2.15 80\nNaN NaN\n",
        "commit[2] = \"bcdef01\"",
        NULL};
    check_says("history", want);
    scene s;
    pm_err e = {0};
    open_scene(&s, "history");
    sqlite3_exec(pm_db_handle(s.d), "UPDATE runs SET commit_id = NULL WHERE commit_id GLOB 'b*'", NULL, NULL,
                 NULL);
    pm_plot p = {.in = &s.in, .end = s.r.n_setups};
    CHECK_EQ_INT(s.k->make(&p, &e), PM_EUSAGE);
    CHECK(strstr(e.hint, "--this-commit"));
    close_scene(&s);
}

static bool have_gnuplot(void) {
    pm_err e = {0};
    pm_buf script = {0}, out = {0};
    pm_buf_puts(&script, "set print '-'\nprint 1\n");
    bool there = pm_gnuplot(&script, &out, &e) == PM_OK;
    pm_buf_free(&script), pm_buf_free(&out);
    return there;
}

static void hostile_label_stays_text(void) {
    scene s;
    pm_err e = {0};
    char before[1024];
    CHECK(getcwd(before, sizeof before) != NULL);
    for (const pm_plot_kind *k = pm_plot_kinds; k->name; k++) {
        pm_buf svg = {0}, again = {0};
        open_scene(&s, k->name);
        CHECK(chdir(dir) == 0);
        CHECK_OK(pm_plot_svg(&s.in, k, 0, 0, &svg, &e));
        CHECK_OK(pm_plot_svg(&s.in, k, 0, 0, &again, &e));
        CHECK(access("planted", F_OK) != 0);
        CHECK(chdir(before) == 0);
        CHECK_EQ_STR(svg.p, again.p);
        CHECK(strncmp(svg.p, "<svg ", 5) == 0 && strstr(svg.p, "viewBox=\"0 0 720 "));
        CHECK(k->tuning || strstr(svg.p, "x`touch planted`\" !touch plante..."));
        CHECK(!strstr(svg.p, "<b>") && !strstr(svg.p, "]]>") && !strstr(svg.p, "<title>"));
        pm_buf_free(&svg), pm_buf_free(&again);
        close_scene(&s);
    }
}

static void svg_can_stand_beside_others(void) {
    pm_err e = {0};
    pm_buf out = {0};
    CHECK_OK(pm_svg_inline(
        "<?xml version=\"1.0\"?>\n<!DOCTYPE svg>\n<svg width='1'\n><title>p</title><g id='a'><use "
        "xlink:href='#b' id=\"c\" fill=\"url(#d)\"/><text>id='x' ]]> &lt;</text></g></svg>",
        "k", "1 < \"2\"", 720, 450, &out, &e));
    CHECK(strncmp(out.p, "<svg xmlns=", 11) == 0 && strstr(out.p, "aria-label=\"1 &lt; &quot;2&quot;\""));
    CHECK(strstr(out.p, "<g id='k-a'><use xlink:href='#k-b' id=\"k-c\" fill=\"url(#k-d)\"/>"));
    CHECK(strstr(out.p, "<text>id='x' ]]&gt; &lt;</text></g></svg>"));
    CHECK_EQ_INT(pm_svg_inline("no picture", "k", "", 1, 1, &out, &e), PM_EIO);
    pm_buf_free(&out);
}

static void keys_tell_figures_apart(void) {
    pm_setup setup[] = {{.model = "a/b"}, {.model = "a b"}};
    pm_task_facts task[] = {{.name = "t"}, {.name = "\"><script>"}};
    pm_results r = {.setup = setup, .n_setups = 2, .task = task, .n_tasks = 1};
    char key[PM_PLOT_KEY], other[PM_PLOT_KEY];
    pm_plot_key(&r, pm_plot_kinds, 0, 0, key);
    CHECK_EQ_STR(key, "accuracy");
    r.n_tasks = 2;
    pm_plot_key(&r, pm_plot_kinds, 0, 0, key);
    CHECK_EQ_STR(key, "accuracy-t");
    pm_plot_key(&r, pm_plot_kinds, 0, 1, key);
    CHECK_EQ_STR(key, "accuracy-___script_-0-1");
    r.several_models = 1;
    pm_plot_key(&r, pm_plot_kinds, 0, 0, key);
    pm_plot_key(&r, pm_plot_kinds, 1, 0, other);
    CHECK(strcmp(key, other) != 0);
}

/* ---- labels -------------------------------------------------------------------------------------------------------------- */

static bool meet(pm_box a, pm_box b) {
    return a.x0 < b.x1 && b.x0 < a.x1 && a.y0 < b.y1 && b.y0 < a.y1;
}

/* Twelve points on a small ring, and a line through the middle. */
static void labels_do_not_overlap(void) {
    enum { N = 12 };
    pm_label l[N];
    pm_box taken[N + 1] = {[N] = {0, 198, 600, 202}}, frame = {0, 0, 600, 400};
    for (int i = 0; i < N; i++) {
        l[i] = (pm_label){.x = 300 + 60 * cos(i), .y = 200 + 60 * sin(i), .width = 90, .height = 15};
        taken[i] = (pm_box){l[i].x - 6, l[i].y - 6, l[i].x + 6, l[i].y + 6};
    }
    pm_labels_place(l, N, taken, N + 1, frame);
    for (int i = 0; i < N; i++) {
        CHECK(l[i].box.x0 >= 0 && l[i].box.y0 >= 0 && l[i].box.x1 <= 600 && l[i].box.y1 <= 400);
        CHECK_NEAR(l[i].box.x1 - l[i].box.x0, 90, 1e-9);
        for (int k = 0; k < i; k++) CHECK(!meet(l[i].box, l[k].box));
        for (int k = 0; k <= N; k++) CHECK(!meet(l[i].box, taken[k]));
    }
}

/* A lone point in the right corner has its label at its left, without a line. */
static void label_stays_in_the_frame(void) {
    pm_label l = {.x = 595, .y = 200, .width = 90, .height = 15};
    pm_labels_place(&l, 1, NULL, 0, (pm_box){0, 0, 600, 400});
    CHECK(l.box.x1 < 595 && !l.leader);
}

int main(void) {
    if (!mkdtemp(dir)) return perror(dir), 1;
    snprintf(db_path, sizeof db_path, "%s/x.db", dir);
    RUN(accuracy_has_means_front_and_untuned);
    RUN(accuracy_sets_equal_rows_apart);
    RUN(loss_is_the_mean_over_seeds);
    RUN(loss_that_hardly_changes_has_short_numbers);
    RUN(memory_stacks_categories);
    RUN(throughput_has_mean_and_percentiles);
    RUN(budget_is_the_table);
    RUN(history_has_levels_by_commit);
    RUN(quote_leaves_nothing_that_means_anything);
    if (have_gnuplot())
        RUN(hostile_label_stays_text);
    else
        SKIP("hostile_label_stays_text", "there is no gnuplot");
    RUN(svg_can_stand_beside_others);
    RUN(keys_tell_figures_apart);
    RUN(labels_do_not_overlap);
    RUN(label_stays_in_the_frame);
    unlink(db_path);
    rmdir(dir);
    return check_done();
}
