/* keep.h - a folder of the cache that holds what is dear to compute (svf's singular vectors), one checked file a key. */
#ifndef PM_KEEP_H
#define PM_KEEP_H
#include "method.h"

/* The cache that weights are taken from and methods get as pm_run.cache; the caller closes it. NULL when there is no folder to keep things in: then everything is
 * computed. Safe from several threads and processes: a file is whole or not there, and its checksum is verified. */
pm_cache *pm_keep_open(void);
void pm_keep_close(pm_cache *c); /* what find returned is gone; NULL is fine */
#endif
