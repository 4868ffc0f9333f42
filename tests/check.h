/* check.h - the test harness: CHECK_* print both sides, a test file is a table of functions, a binary exits non-zero when anything failed
 * and ends with the line `N passed, N failed` (`, N skipped` may follow).
 *
 *   static void arena_aligns(void) { CHECK_EQ_INT((intptr_t)p % 64, 0); }
 *   int main(void) { RUN(arena_aligns); return check_done(); }
 */
#ifndef PM_CHECK_H
#define PM_CHECK_H
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

static int check_passed_, check_failed_, check_skipped_, check_bad_;

#define CHECK_FAIL_(...)                                                                                     \
    (check_bad_++, fprintf(stderr, "  %s:%d: ", __FILE__, __LINE__), fprintf(stderr, __VA_ARGS__),           \
     fputc('\n', stderr))
#define CHECK(cond)                                                                                          \
    do {                                                                                                     \
        if (!(cond)) CHECK_FAIL_("%s is false", #cond);                                                      \
    } while (0)
#define CHECK_EQ_INT(a, b)                                                                                   \
    do {                                                                                                     \
        long long a_ = (long long)(a), b_ = (long long)(b);                                                  \
        if (a_ != b_) CHECK_FAIL_("%s = %lld, want %s = %lld", #a, a_, #b, b_);                              \
    } while (0)
#define CHECK_EQ_STR(a, b)                                                                                   \
    do {                                                                                                     \
        const char *a_ = (a), *b_ = (b);                                                                     \
        if (!a_ || !b_ || strcmp(a_, b_) != 0)                                                               \
            CHECK_FAIL_("%s = \"%s\", want \"%s\"", #a, a_ ? a_ : "(null)", b_ ? b_ : "(null)");             \
    } while (0)
/* |a - b| <= tol; NaN fails. */
#define CHECK_NEAR(a, b, tol)                                                                                \
    do {                                                                                                     \
        double a_ = (double)(a), b_ = (double)(b), t_ = (double)(tol);                                       \
        if (!(fabs(a_ - b_) <= t_))                                                                          \
            CHECK_FAIL_("%s = %.9g, want %.9g, difference %.3g > %.3g", #a, a_, b_, fabs(a_ - b_), t_);      \
    } while (0)
/* |a - b| <= tol * max(|a|, |b|); NaN fails. */
#define CHECK_REL(a, b, tol)                                                                                 \
    do {                                                                                                     \
        double a_ = (double)(a), b_ = (double)(b), t_ = (double)(tol), m_ = fmax(fabs(a_), fabs(b_));        \
        if (!(fabs(a_ - b_) <= t_ * m_))                                                                     \
            CHECK_FAIL_("%s = %.9g, want %.9g, relative %.3g > %.3g", #a, a_, b_, fabs(a_ - b_) / m_, t_);   \
    } while (0)
#define CHECK_OK(call)                                                                                       \
    do {                                                                                                     \
        if ((call) != PM_OK) CHECK_FAIL_("%s: %s | %s", #call, e.msg, e.hint);                               \
    } while (0)

/* One test: a call, reported as `name` when it fails. */
#define RUN_AS(name, call)                                                                                   \
    do {                                                                                                     \
        int before_ = check_bad_;                                                                            \
        call;                                                                                                \
        if (check_bad_ == before_)                                                                           \
            check_passed_++;                                                                                 \
        else                                                                                                 \
            check_failed_++, fprintf(stderr, "FAIL %s\n", name);                                             \
    } while (0)
#define RUN(fn) RUN_AS(#fn, fn())
#define SKIP(what, reason) (check_skipped_++, printf("skip %s: %s\n", what, reason))

static inline int check_done(void) {
    if (check_skipped_)
        printf("%d passed, %d failed, %d skipped\n", check_passed_, check_failed_, check_skipped_);
    else
        printf("%d passed, %d failed\n", check_passed_, check_failed_);
    return check_failed_ || (!check_passed_ && !check_skipped_);
}
#endif
