/* process.h - other programs: one that answers line by line, or one whose output is wanted when it has ended.
 *
 * Unlike pool.h, whose children are this program and speak once, at their end. A child dies with its parent, and has its own process group.
 */
#ifndef PM_PROCESS_H
#define PM_PROCESS_H
#include "text.h"
#include <sys/types.h>

typedef struct pm_process {
    pid_t pid;      /* 0: none */
    FILE *in, *out; /* its standard input and output */
    FILE *err;      /* what it said on standard error */
} pm_process;

/* Starts argv[0] (looked for on PATH) in `dir` (NULL: here). env: NAME=VALUE to set, NAME to remove, NULL at the end, or NULL. PM_EIO. */
pm_status pm_process_start(const char *const *argv, const char *dir, const char *const *env, pm_process *p,
                           pm_err *e);
/* Closes its input, waits, and returns its exit code (128 + signal; 127: it could not be started). said: what was on standard error is added,
 * or NULL. A zeroed p: 0. */
int pm_process_end(pm_process *p, pm_buf *said);
/* Runs it to its end; out gets what it wrote to standard output and error, in order. *code as above. */
pm_status pm_process_run(const char *const *argv, const char *dir, const char *const *env, pm_buf *out,
                         int *code, pm_err *e);
/* The last n lines of a text: where to start printing. */
const char *pm_last_lines(const char *text, int n);
#endif
