/* cache.h - where a run may keep what is dear to compute and is the same in the next run, beside it or later. The harness provides it (keep.c). */
#ifndef PM_CACHE_H
#define PM_CACHE_H
#include <stddef.h>

/* Thread-safe. A key says all that decides the bytes. */
typedef struct pm_cache {
    /* As long as the run; checked; NULL: not there. Pages are private when written to and shared with other processes until then. */
    const void *(*find)(struct pm_cache *c, const char *key, size_t n_bytes);
    void (*put)(struct pm_cache *c, const char *key, const void *p, size_t n_bytes);
} pm_cache;
#endif
