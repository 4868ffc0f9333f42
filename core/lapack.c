/* lapack.c - singular values and Householder reflectors by LAPACK (gesdd, geqrf), through its Fortran names: every build of
 * OpenBLAS has them, and LAPACKE's header need not be there.
 *
 * A row-major [O,I] is LAPACK's column-major [I,O]: its transpose. So gesdd is asked for W^T = V S U^T, and what it returns, read
 * row-major, is Vt and U: nothing is transposed.
 */
#include "lapack.h"
#include "arena.h"
#include <math.h>

void dgesdd_(const char *jobz, const int *m, const int *n, double *a, const int *lda, double *s, double *u,
             const int *ldu, double *vt, const int *ldvt, double *work, const int *lwork, int *iwork,
             int *info);
void dgeqrf_(const int *m, const int *n, double *a, const int *lda, double *tau, double *work,
             const int *lwork, int *info);

static double *doubles(pm_arena *a, int64_t n) {
    return pm_arena_alloc(a, (size_t)n * sizeof(double), PM_MEM_WORKSPACE);
}

static double *to_double(pm_arena *a, const real *x, int64_t n) {
    double *y = doubles(a, n);
    for (int64_t i = 0; i < n; i++) y[i] = (double)x[i];
    return y;
}

static void from_double(const double *x, int64_t n, real *y) {
    for (int64_t i = 0; i < n; i++) y[i] = (real)x[i];
}

static bool all_finite(const double *x, int64_t n) {
    for (int64_t i = 0; i < n; i++)
        if (!isfinite(x[i])) return false;
    return true;
}

static bool svd(pm_arena *a, int O, int I, double *w, double *u, double *s, double *vt) {
    int k = O < I ? O : I, info = 0, lwork = -1;
    int *iwork = pm_arena_alloc(a, 8 * (size_t)k * sizeof(int), PM_MEM_WORKSPACE);
    double best;
    dgesdd_("S", &I, &O, w, &I, s, vt, &I, u, &k, &best, &lwork, iwork, &info);
    lwork = (int)best;
    if (!info) dgesdd_("S", &I, &O, w, &I, s, vt, &I, u, &k, doubles(a, lwork), &lwork, iwork, &info);
    return info == 0;
}

bool pm_svd(int64_t O, int64_t I, const real *w, real *u, real *s, real *vt) {
    int64_t k = O < I ? O : I;
    pm_arena *a = pm_arena_new("svd", 0);
    double *dw = to_double(a, w, O * I), *du = doubles(a, O * k), *ds = doubles(a, k),
           *dv = doubles(a, k * I);
    bool ok = all_finite(dw, O * I) && svd(a, (int)O, (int)I, dw, du, ds, dv); /* gesdd may hang on NaN */
    if (ok) {
        from_double(du, O * k, u);
        from_double(ds, k, s);
        from_double(dv, k * I, vt);
    }
    pm_arena_free(a);
    return ok;
}

/* geqrf leaves R on and above the diagonal; below it is v_j, whose leading 1 is implied. */
static void unpack(int64_t r, int64_t d, const double *qr, real *v, real *sign) {
    for (int64_t j = 0; j < r; j++) {
        for (int64_t c = 0; c < d; c++) v[j * d + c] = c < j ? 0 : c == j ? 1 : (real)qr[j * d + c];
        sign[j] = qr[j * d + j] < 0 ? -1 : 1;
    }
}

bool pm_qr_reflectors(int64_t r, int64_t d, const real *m, real *v, real *tau, real *sign) {
    pm_arena *a = pm_arena_new("qr", 0);
    double *qr = to_double(a, m, r * d), *dtau = doubles(a, r), best;
    int rows = (int)d, cols = (int)r, info = 0, lwork = -1;
    bool ok = all_finite(qr, r * d);
    if (ok) {
        dgeqrf_(&rows, &cols, qr, &rows, dtau, &best, &lwork, &info);
        lwork = (int)best;
        dgeqrf_(&rows, &cols, qr, &rows, dtau, doubles(a, lwork), &lwork, &info);
        unpack(r, d, qr, v, sign);
        from_double(dtau, r, tau);
    }
    pm_arena_free(a);
    return ok && info == 0;
}
