/* test_gemm.c - products, packed weights, bf16, counts and the self-check that guards a wrong BLAS. */
#include "check.h"
#include "gemm_backend.h"
#include <stdlib.h>

static pm_err e;

static void gemm_backends_pass_their_check(void) {
    pm_backend_info info[4];
    int n = pm_gemm_list(info, 4);
    CHECK_EQ_INT(n, 2);
    for (int i = 0; i < n; i++) {
        CHECK_EQ_INT(info[i].passed, info[i].available);
        CHECK(!info[i].available || (info[i].max_rel_err > 0 && info[i].max_rel_err < 1e-5));
    }
    CHECK(info[1].available); /* openblas is in every build */
}

int main(void) {
    CHECK_OK(pm_gemm_init("auto", 2, &e));
    RUN(gemm_backends_pass_their_check);
    return check_done();
}
