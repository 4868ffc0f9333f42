/* test_roofline.c - what is kept is what was measured, for these shapes, threads and precision alone; a better measurement replaces it. */
#include "check.h"
#include "keep.h"
#include "roofline.h"
#include <stdlib.h>
#include <unistd.h>

static pm_err e;
static const pm_model_cfg tiny = {.C = 64, .F = 128, .H = 4, .n_kv = 2, .D = 16};

static void measured_once(void) {
    pm_cache *cache = pm_keep_open();
    CHECK(isnan(pm_roofline_known(cache, &tiny, PM_FP32, 1)));
    double x = pm_roofline_measure(cache, &tiny, PM_FP32, 1, false);
    CHECK(x > 0.01 && x < 1e5);
    CHECK_NEAR(pm_roofline_known(cache, &tiny, PM_FP32, 1), x, 0);
    CHECK_NEAR(pm_roofline_measure(cache, &tiny, PM_FP32, 1, false), x, 0);
    pm_keep_close(cache);
    cache = pm_keep_open(); /* another process */
    CHECK_NEAR(pm_roofline_known(cache, &tiny, PM_FP32, 1), x, 0);
    pm_keep_close(cache);
}

static void known_for_what_was_measured(void) {
    pm_cache *cache = pm_keep_open();
    pm_model_cfg other = tiny;
    other.F = 160;
    CHECK(isnan(pm_roofline_known(cache, &other, PM_FP32, 1)));
    CHECK(isnan(pm_roofline_known(cache, &tiny, PM_BF16, 1)));
    CHECK(isnan(pm_roofline_known(cache, &tiny, PM_FP32, 2)));
    CHECK(isnan(pm_roofline_known(NULL, &tiny, PM_FP32, 1)));
    CHECK(pm_roofline_measure(NULL, &tiny, PM_FP32, 1, false) > 0);
    pm_keep_close(cache);
}

/* A cache that says something else than the machine can be. */
static double said;
static const void *find_said(pm_cache *c, const char *key, size_t n_bytes) {
    (void)c, (void)key;
    return n_bytes == sizeof said ? &said : NULL;
}
static void put_said(pm_cache *c, const char *key, const void *p, size_t n_bytes) {
    (void)c, (void)key;
    if (n_bytes == sizeof said) memcpy(&said, p, n_bytes);
}

static void the_better_one_stays(void) {
    pm_cache c = {find_said, put_said};
    said = 1e-6; /* measured on a busy machine */
    CHECK_NEAR(pm_roofline_measure(&c, &tiny, PM_FP32, 1, false), 1e-6, 0);
    CHECK(pm_roofline_measure(&c, &tiny, PM_FP32, 1, true) > 0.01 && said > 0.01);
    said = 1e9;
    CHECK_NEAR(pm_roofline_measure(&c, &tiny, PM_FP32, 1, true), 1e9, 0);
    said = -1; /* nonsense is nothing */
    CHECK(isnan(pm_roofline_known(&c, &tiny, PM_FP32, 1)));
}

int main(void) {
    char dir[] = P_tmpdir "/pm_roofline_XXXXXX";
    CHECK(mkdtemp(dir) && !setenv("PEFTMETER_CACHE", dir, 1));
    CHECK_OK(pm_gemm_init("auto", 1, &e));
    RUN(measured_once);
    RUN(known_for_what_was_measured);
    RUN(the_better_one_stays);
    return check_done();
}
