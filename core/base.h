/* base.h - what every file of peftmeter shares: the number type, errors, assertions.
 *
 * Why: a broken invariant is a bug and aborts (PM_ASSERT, on in release); a problem with the world (file, JSON,
 * SQL, a user's value) is a pm_status returned up to main, which prints it with its hint. Nothing below main prints or exits.
 */
#ifndef PM_BASE_H
#define PM_BASE_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The number type of every tensor. The same sources build in double for gradient checks at 1e-6. */
#ifdef PM_DOUBLE
typedef double real;
#else
typedef float real;
#endif

typedef enum pm_status {
    PM_OK = 0,
    PM_EUSAGE,       /* the user's words or values: exit 2 */
    PM_EIO,          /* a file, the disk, the network, a missing program: exit 3 */
    PM_EFORMAT,      /* a file's content is damaged or not what it claims: exit 3 */
    PM_EUNSUPPORTED, /* well-formed, but this build cannot do it: exit 2 */
    PM_EDB,          /* SQLite: exit 3 */
    PM_ECHECK,       /* a check, a run or a regression failed: exit 1 */
    PM_EDIVERGED,    /* loss or gradient became NaN or infinite: a row with status diverged, exit 1 */
    PM_ECANCELLED,   /* interrupted by a signal: a row with status cancelled, exit 1 */
    PM_ELOCKED       /* test data was asked for while it is locked (tuning): exit 2 */
} pm_status;

/* Filled by the function that fails; the caller owns it. `hint` names the flag, file or command that mends it. */
typedef struct pm_err {
    pm_status code;
    char msg[512];
    char hint[256];
} pm_err;

/* Sets code and message and returns the code, so that `return pm_fail(e, PM_EIO, "open %s: %s", ...)` reads as one thing.
 * e may be NULL (the message is dropped). The hint is cleared. */
__attribute__((format(printf, 3, 4))) pm_status pm_fail(pm_err *e, pm_status code, const char *fmt, ...);
/* Adds the hint line to a failure already recorded; returns e->code (PM_EIO when e is NULL). */
__attribute__((format(printf, 2, 3))) pm_status pm_hint(pm_err *e, const char *fmt, ...);

/* A bug, not the world: prints file, line and the message to stderr and aborts. On in release builds. */
#define PM_ASSERT(cond, ...)                                                                                 \
    do {                                                                                                     \
        if (!(cond)) pm_bug(__FILE__, __LINE__, #cond, __VA_ARGS__);                                         \
    } while (0)
__attribute__((noreturn, format(printf, 4, 5))) void pm_bug(const char *file, int line, const char *cond,
                                                            const char *fmt, ...);

/* Seconds on CLOCK_MONOTONIC. */
double pm_now_s(void);
#endif
