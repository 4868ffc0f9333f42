/* test_speed.c - the speed tier on builds whose times are known: scripts that answer as `worker --pace` does. And that the kernels' table leaves none out. */
#include "arena.h"
#include "gemm.h"
#include "kernel_bench.h"
#include "speed.h"
#include "text.h"

#include "check.h"
#include "scratch.h"

#include <math.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* ---- builds -------------------------------------------------------------------------------------------------------------- */

static char folder[64];

/* A program that says `ready` and these names, and answers K with nanoseconds: `formula`, in the shell's arithmetic, of the request's number n and the unit k. */
static void make_build(pm_build *b, const char *name, const char *names, const char *formula) {
    snprintf(b->root, sizeof b->root, "%s", folder);
    snprintf(b->program, sizeof b->program, "%s/%s", folder, name);
    FILE *f = fopen(b->program, "w");
    fprintf(f, "#!/bin/sh\necho ready %s\nn=0\nwhile read k; do n=$((n + 1)); echo $((%s))e-9; done\n", names,
            formula);
    fclose(f);
    chmod(b->program, 0700);
}

static void make_script(pm_build *b, const char *name, const char *text) {
    make_build(b, name, "x", "1");
    FILE *f = fopen(b->program, "w");
    fprintf(f, "#!/bin/sh\n%s\n", text);
    fclose(f);
}

static const pm_speed_unit *unit(const pm_duel *d, const char *name) {
    for (int u = 0; u < d->n; u++)
        if (strcmp(d->unit[u].name, name) == 0) return &d->unit[u];
    return NULL;
}

static const pm_work works[] = {{"kernels", "kernels"}, {"lora", "{\"a\":1}"}, {"dora", "{\"a\":2}"}};

static pm_build *new_builds(void) {
    return pm_xalloc(2 * sizeof(pm_build));
}

static void speed_names_the_kernel_that_is_slower(void) {
    pm_err e = {0};
    pm_arena *a = pm_arena_new("test", 0);
    pm_build *b = new_builds();
    pm_duel d;
    make_build(&b[0], "base", "x y z", "1000 * (1 + k) * (1000 + n * 7919 % 10)");
    make_build(&b[1], "head", "z y x new", "10 * (3 - k) * (1000 + n * 7907 % 10) * (k == 1 ? 110 : 100)");
    CHECK_OK(pm_duel_open(&b[0], &b[1], works, 1, a, &d, &e));
    CHECK_EQ_INT(d.n, 3); /* what both know */
    CHECK_OK(pm_duel_run(&d, &e));
    for (int u = 0; u < d.n; u++)
        CHECK_EQ_INT(pm_speed_regressed(&d.unit[u]), strcmp(d.unit[u].name, "y") == 0);
    const pm_speed_unit *y = unit(&d, "y"), *x = unit(&d, "x");
    if (y && x) {
        CHECK_NEAR(y->test[PM_SPEED_FIRST].slowdown, 0.1, 0.01);
        CHECK_NEAR(y->test[PM_SPEED_AGAIN].slowdown, 0.1, 0.01);
        CHECK_EQ_INT(y->n[PM_SPEED_AGAIN], 7);
        CHECK_EQ_INT(x->n[PM_SPEED_FIRST], 7); /* decided: nothing more was measured */
        CHECK_EQ_INT(x->n[PM_SPEED_AGAIN], 0);
        CHECK_EQ_INT(x->test[PM_SPEED_FIRST].verdict, PM_SPEED_SAME);
        CHECK_REL(x->base_s, 1.0045e-3, 0.01);
    }
    free(b);
    pm_arena_free(a);
}

/* The mean of the methods, pair by pair, is a unit of its own. */
static void speed_sees_what_all_methods_have_in_common(void) {
    pm_err e = {0};
    pm_arena *a = pm_arena_new("test", 0);
    pm_build *b = new_builds();
    pm_duel d;
    make_build(&b[0], "base", "step", "100000");
    make_build(&b[1], "head", "step", "105000");
    CHECK_OK(pm_duel_open(&b[0], &b[1], works, 3, a, &d, &e));
    CHECK_EQ_INT(d.n, 4); /* `kernels` of these builds has the one unit `step` */
    CHECK_EQ_STR(d.unit[3].name, "all methods");
    CHECK_OK(pm_duel_run(&d, &e));
    for (int i = 0; i < 7; i++) CHECK_NEAR(d.unit[3].x[PM_SPEED_FIRST][i], log(1.05), 1e-12);
    CHECK(pm_speed_regressed(&d.unit[3]));
    free(b);
    pm_arena_free(a);
}

/* A build whose processes, the first, the second, ..., take what `factor` makes of their number; a process's own number would be another in every run of this test. */
static void make_loud(pm_build *b, const char *name, int factor) {
    char text[300];
    snprintf(text, sizeof text,
             "c=0; test -f loud-%s && read c <loud-%s; c=$((c + 1)); echo $c >loud-%s\n"
             "echo ready still loud; while read k; do echo $((1000 + k * (c * c * %d %% 400)))e-9; done",
             name, name, name, factor);
    make_script(b, name, text);
}

/* Processes that differ by up to a third: nothing is decided by 30 pairs; what was decided by 7 stays as it was then. */
static void speed_goes_on_only_with_what_is_open(void) {
    pm_err e = {0};
    pm_arena *a = pm_arena_new("test", 0);
    pm_build *b = new_builds();
    pm_duel d;
    make_loud(&b[0], "base", 7919);
    make_loud(&b[1], "head", 6007);
    CHECK_OK(pm_duel_open(&b[0], &b[1], works, 1, a, &d, &e));
    CHECK_OK(pm_duel_run(&d, &e));
    CHECK_EQ_INT(d.unit[0].test[PM_SPEED_FIRST].verdict, PM_SPEED_SAME);
    CHECK_EQ_INT(d.unit[0].test[PM_SPEED_FIRST].pairs, 7);
    CHECK_EQ_INT(d.unit[0].n[PM_SPEED_FIRST], 7);
    CHECK_EQ_INT(d.unit[1].test[PM_SPEED_FIRST].verdict, PM_SPEED_OPEN);
    CHECK_EQ_INT(d.unit[1].test[PM_SPEED_FIRST].pairs, 30);
    CHECK_EQ_INT(d.unit[1].n[PM_SPEED_FIRST], 30);
    free(b);
    pm_arena_free(a);
}

/* Slower in its first eight processes (one of them to learn the units) and not after: called once, and no regression. */
static void speed_asks_twice(void) {
    pm_err e = {0};
    pm_arena *a = pm_arena_new("test", 0);
    pm_build *b = new_builds();
    pm_duel d;
    make_build(&b[0], "base", "x", "1000");
    make_script(&b[1], "head",
                "c=0; test -f count && read c <count; c=$((c + 1)); echo $c >count\n"
                "echo ready x; while read k; do echo $((c > 8 ? 1000 : 1100))e-9; done");
    CHECK_OK(pm_duel_open(&b[0], &b[1], works, 1, a, &d, &e));
    CHECK_OK(pm_duel_run(&d, &e));
    CHECK_EQ_INT(d.unit[0].test[PM_SPEED_FIRST].verdict, PM_SPEED_SLOWER);
    CHECK_EQ_INT(d.unit[0].test[PM_SPEED_AGAIN].verdict, PM_SPEED_SAME);
    CHECK(!pm_speed_regressed(&d.unit[0]));
    free(b);
    pm_arena_free(a);
}

/* Every turn of either takes longer than the one before: who always began would look faster. */
static void speed_begins_in_turns(void) {
    static const char drift[] =
        "echo ready x; while read k; do c=0; test -f count && read c <count; c=$((c + 1)); "
        "echo $c >count; echo $((100 + 10 * c))e-9; done";
    pm_err e = {0};
    pm_arena *a = pm_arena_new("test", 0);
    pm_build *b = new_builds();
    pm_duel d;
    make_script(&b[0], "base", drift);
    make_script(&b[1], "head", drift);
    unlink(path_in(folder, "count"));
    CHECK_OK(pm_duel_open(&b[0], &b[1], works, 1, a, &d, &e));
    CHECK_OK(pm_duel_measure(&d, 2, &e));
    for (int i = 0; i < 2; i++) CHECK_NEAR(d.unit[0].x[PM_SPEED_FIRST][i], 0, 0.005);
    free(b);
    pm_arena_free(a);
}

/* A certificate of a noisy moment keeps a slowdown from being called; it does not make it none. */
static void speed_does_not_call_the_same_what_a_certificate_hides(void) {
    pm_err e = {0};
    pm_arena *a = pm_arena_new("test", 0);
    pm_build *b = new_builds();
    pm_duel d;
    make_build(&b[0], "base", "x y", "100000 * (1 + k)");
    make_build(&b[1], "head", "x y", "(k == 0 ? 110000 : 102000) * (1 + k)");
    CHECK_OK(pm_duel_open(&b[0], &b[1], works, 1, a, &d, &e));
    for (int u = 0; u < d.n; u++)
        for (int look = 0; look < PM_SPEED_LOOKS; look++) d.unit[u].least[look] = 0.2;
    CHECK_OK(pm_duel_run(&d, &e));
    for (int u = 0; u < d.n; u++) {
        CHECK(!pm_speed_regressed(&d.unit[u]));
        CHECK_EQ_INT(pm_speed_hidden(&d.unit[u]), strcmp(d.unit[u].name, "x") == 0);
    }
    free(b);
    pm_arena_free(a);
}

/* A disturbance that lasts longer than a turn and comes to both is no difference. */
static void speed_turns_cancel_what_comes_to_both(void) {
    pm_err e = {0};
    pm_arena *a = pm_arena_new("test", 0);
    pm_build *b = new_builds();
    pm_duel d;
    make_build(&b[0], "base", "x", "1000 * (1 + (n > 8) + (n > 20))");
    make_build(&b[1], "head", "x", "1000 * (1 + (n > 8) + (n > 20))");
    CHECK_OK(pm_duel_open(&b[0], &b[1], works, 1, a, &d, &e));
    CHECK_OK(pm_duel_measure(&d, 3, &e));
    for (int i = 0; i < 3; i++) CHECK_NEAR(d.unit[0].x[PM_SPEED_FIRST][i], 0, 1e-12);
    free(b);
    pm_arena_free(a);
}

/* ---- builds that fail ---------------------------------------------------------------------------------------------------- */

static void speed_tells_apart_which_build_fails(void) {
    pm_err e = {0};
    pm_arena *a = pm_arena_new("test", 0);
    pm_build *b = new_builds();
    pm_duel d;
    make_build(&b[0], "base", "x", "1");
    make_script(&b[1], "head", "echo 'peftmeter: method lora: gone' >&2; exit 2");
    CHECK_OK(pm_duel_open(&b[0], &b[1], works, 2, a, &d, &e));
    CHECK_EQ_INT(d.n, 0);
    CHECK_EQ_INT(d.failed[1], 1);
    CHECK(strstr(d.trouble[1].msg, "head cannot be timed: peftmeter: method lora: gone") != NULL);
    CHECK_OK(pm_duel_open(&b[1], &b[0], works, 1, a, &d, &e));
    CHECK_EQ_INT(d.failed[0], 0);
    make_script(&b[0], "base", "echo 'peftmeter: worker: unknown option --pace' >&2; exit 2");
    CHECK_EQ_INT(pm_duel_open(&b[0], &b[1], works, 1, a, &d, &e), PM_EUNSUPPORTED);
    CHECK(strstr(e.hint, "older than the speed tier") != NULL);
    free(b);
    pm_arena_free(a);
}

/* It ends in the middle: the answer is missing, not the program. */
static void speed_survives_a_build_that_dies(void) {
    pm_err e = {0};
    pm_arena *a = pm_arena_new("test", 0);
    pm_build *b = new_builds();
    pm_duel d;
    make_build(&b[0], "base", "x", "1");
    make_script(&b[1], "head",
                "echo ready x; read a; echo 1; read a; echo 'out of memory: arena step' >&2; exit 3");
    CHECK_OK(pm_duel_open(&b[0], &b[1], works, 1, a, &d, &e));
    CHECK_EQ_INT(pm_duel_run(&d, &e), PM_ECHECK);
    CHECK(strstr(e.msg, "head cannot be timed: out of memory: arena step") != NULL);
    free(b);
    pm_arena_free(a);
}

/* ---- the kernels' table -------------------------------------------------------------------------------------------------- */

static bool in_table(const char *name) {
    for (int k = 0; k < pm_kernel_count(); k++)
        if (strcmp(pm_kernel_name(k), name) == 0) return true;
    return false;
}

/* Every function of kernels.h, but for those that compute nothing. */
static void kernels_are_all_timed(void) {
    FILE *f = fopen("core/kernels.h", "r");
    pm_buf text = {0};
    int found = 0;
    CHECK(f != NULL);
    if (!f) return;
    pm_buf_read(&text, f);
    fclose(f);
    for (const char *at = text.p; (at = strstr(at, " pm_k_")); at++) {
        char name[64] = "";
        sscanf(at, " pm_%60[a-z0-9_]", name);
        if (at[4 + strlen(name)] != '(' || strcmp(name, "k_attention_scratch") == 0) continue;
        found++;
        if (!in_table(name)) CHECK_FAIL_("%s has no row in harness/kernel_bench.c", name);
    }
    CHECK(found >= 24);
    pm_buf_free(&text);
}

static void kernels_take_time(void) {
    pm_err e = {0};
    CHECK_OK(pm_gemm_init("auto", 1, &e));
    pm_kernel_bench *b = pm_kernel_bench_new();
    for (int k = 0; k < pm_kernel_count(); k++) {
        double s = pm_kernel_batch(b, k);
        if (!(s > 0 && s < 1)) CHECK_FAIL_("%s: %g s", pm_kernel_name(k), s);
    }
    pm_kernel_bench_free(b);
}

int main(void) {
    snprintf(folder, sizeof folder, "%s/pm_speed_XXXXXX", P_tmpdir);
    if (!mkdtemp(folder)) return 1;
    RUN(speed_names_the_kernel_that_is_slower);
    RUN(speed_sees_what_all_methods_have_in_common);
    RUN(speed_goes_on_only_with_what_is_open);
    RUN(speed_asks_twice);
    RUN(speed_begins_in_turns);
    RUN(speed_does_not_call_the_same_what_a_certificate_hides);
    RUN(speed_turns_cancel_what_comes_to_both);
    RUN(speed_tells_apart_which_build_fails);
    RUN(speed_survives_a_build_that_dies);
    RUN(kernels_are_all_timed);
    RUN(kernels_take_time);
    unlink(path_in(folder, "count"));
    unlink(path_in(folder, "loud-base"));
    unlink(path_in(folder, "loud-head"));
    unlink(path_in(folder, "base"));
    unlink(path_in(folder, "head"));
    rmdir(folder);
    return check_done();
}
