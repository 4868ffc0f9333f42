/* pace_serve.c - the child's side of pace.h. */
#include "gemm.h"
#include "kernel_bench.h"
#include "pace.h"
#include "runner.h"
#include "train.h"
#include "usage.h"
#include <stdio.h>
#include <stdlib.h>

/* The next request; false at the end of the input. */
static bool asked(int n, int *k) {
    char line[32], *end;
    if (!fgets(line, sizeof line, stdin)) return false;
    long value = strtol(line, &end, 10);
    *k = (int)value;
    return end != line && value >= 0 && value < n;
}

static void answer(double seconds) {
    printf("%.9e\n", seconds);
    fflush(stdout);
}

static pm_status serve_kernels(pm_err *e) {
    pm_status rc = pm_gemm_init("auto", 1, e);
    if (rc) return rc;
    pm_kernel_bench *b = pm_kernel_bench_new();
    printf("ready");
    for (int k = 0; k < pm_kernel_count(); k++) printf(" %s", pm_kernel_name(k));
    printf("\n");
    fflush(stdout);
    for (int k; asked(pm_kernel_count(), &k);) answer(pm_kernel_batch(b, k));
    pm_kernel_bench_free(b);
    return PM_OK;
}

/* After a step: its time, then the wait for the next request. The first step precedes the first request, so it is never answered. */
static pm_status after_step(void *ctx, const pm_step *s, pm_err *e) {
    double *begun = ctx;
    int k;
    if (s->step == 0)
        printf("ready step\n"), fflush(stdout);
    else
        answer(pm_cpu_s() - *begun);
    bool more = asked(1, &k);
    *begun = pm_cpu_s();
    return more ? PM_OK : pm_fail(e, PM_ECANCELLED, "nobody asks for more steps");
}

static pm_status serve_steps(const char *settings, pm_err *e) {
    double begun = 0;
    pm_config *c = pm_config_new();
    pm_status rc = pm_config_load_text(c, settings, "--pace", e);
    if (!rc) rc = pm_config_check(c, e);
    if (!rc) rc = pm_run_steps(c, after_step, &begun, e);
    pm_config_free(c);
    return rc == PM_ECANCELLED ? PM_OK : rc;
}

pm_status pm_pace_serve(const char *what, pm_err *e) {
    return *what == '{' ? serve_steps(what, e) : serve_kernels(e);
}
