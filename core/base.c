/* base.c - errors, bugs and the clock (base.h). */
#include "base.h"
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

pm_status pm_fail(pm_err *e, pm_status code, const char *fmt, ...) {
    if (!e) return code;
    va_list args;
    va_start(args, fmt);
    vsnprintf(e->msg, sizeof e->msg, fmt, args);
    va_end(args);
    e->code = code;
    e->hint[0] = '\0';
    return code;
}

pm_status pm_hint(pm_err *e, const char *fmt, ...) {
    if (!e) return PM_EIO;
    va_list args;
    va_start(args, fmt);
    vsnprintf(e->hint, sizeof e->hint, fmt, args);
    va_end(args);
    return e->code;
}

void pm_bug(const char *file, int line, const char *cond, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    fprintf(stderr, "peftmeter: bug at %s:%d: %s is false: ", file, line, cond);
    vfprintf(stderr, fmt, args);
    fputc('\n', stderr);
    va_end(args);
    abort();
}

double pm_now_s(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}
