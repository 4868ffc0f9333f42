/* text.h - a growing byte buffer and allocations that never return NULL, for the harness's own bookkeeping.
 *
 * Why: rows, templates and file contents have no size known beforehand; out of memory aborts with the size, as everywhere.
 */
#ifndef PM_TEXT_H
#define PM_TEXT_H
#include "base.h"
#include <stdio.h>

void *pm_xalloc(size_t bytes);                /* zeroed; free() */
void *pm_xrealloc(void *p, size_t bytes);     /* the tail is not zeroed; free() */
char *pm_xstrndup(const char *s, size_t n);   /* free() */
int pm_by_text(const void *a, const void *b); /* for qsort and bsearch over char * */
/* A copy in which every byte that is not part of valid UTF-8 is U+FFFD: model output can be anything, readers expect text. free() */
char *pm_utf8_clean(const char *s);

typedef struct pm_buf { /* zero-initialised is empty; p is NUL-terminated as soon as something was put */
    char *p;
    size_t n, cap;
} pm_buf;
void pm_buf_put(pm_buf *b, const void *bytes, size_t n);
void pm_buf_puts(pm_buf *b, const char *s);
__attribute__((format(printf, 2, 3))) void pm_buf_printf(pm_buf *b, const char *fmt, ...);
void pm_buf_read(pm_buf *b,
                 FILE *f); /* all that is left of the stream; ferror says whether that was all of it */
void pm_buf_free(pm_buf *b);
char *
pm_buf_take(pm_buf *b); /* the bytes ("" when empty), now the caller's (free); the buffer is empty again */

/* Joins dir and name with one slash into out. PM_EIO when it does not fit. */
pm_status pm_path_join(char *out, size_t cap, const char *dir, const char *name, pm_err *e);
/* A path a fetched file may have below a folder: relative, no "..", no empty part. */
bool pm_path_is_inside(const char *rel);
bool pm_path_ends(const char *path, const char *suffix);
#endif
