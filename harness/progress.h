/* progress.h - how far a long piece of work is, on stderr: one line that moves on a terminal, a plain line every few seconds elsewhere,
 * nothing with --quiet.
 *
 *   pm_progress p;
 *   pm_progress_begin(&p, "train", 100, "step");
 *   for (...) pm_progress_update(&p, i + 1, "loss %.3f", loss);
 *   pm_progress_end(&p);                         also after a failure: the line says where it stopped
 */
#ifndef PM_PROGRESS_H
#define PM_PROGRESS_H
#include "base.h"

typedef struct pm_progress {
    const char *what, *unit; /* train, step; unit "B" is printed as kB, MB, GB */
    int64_t total, first,
        done; /* total 0: not known; first: already there at the start (a resumed download) */
    double begun_s, shown_s;
    double
        left_s; /* what the rest takes, where the caller knows better than the rate so far; 0 or NAN: by the rate */
    char extra[96];
} pm_progress;

/* The strings are kept, not copied. */
void pm_progress_begin(pm_progress *p, const char *what, int64_t total, const char *unit);
/* Cheap enough for every step: prints at most ten times a second on a terminal, every five seconds elsewhere. fmt may be NULL. */
__attribute__((format(printf, 3, 4))) void pm_progress_update(pm_progress *p, int64_t done, const char *fmt,
                                                              ...);
/* The last line: how much in what time. */
void pm_progress_end(pm_progress *p);

/* The text of a moment, at most `width` columns, for the functions above and their test: a bar when it fits and `bar` is set. */
void pm_progress_text(const pm_progress *p, double now_s, int width, bool bar, char *out, size_t cap);
/* "0:07", "12:30", "1:02:03". */
void pm_duration_text(double seconds, char *out, size_t cap);
#endif
