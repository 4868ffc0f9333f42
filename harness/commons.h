/* commons.h - memory that a sweep and all of its workers have in common (core/common.h): an anonymous file that workers inherit.
 *
 * It has no name on disk (memfd_create, else a temporary file that is unlinked at once), so nothing is left of it when its processes have
 * ended, whatever ended them. Blocks are mapped read-only. A worker believes nothing: a file of another size, layout or build, or a
 * descriptor that is something else, is no common memory, and the worker computes everything for itself.
 */
#ifndef PM_COMMONS_H
#define PM_COMMONS_H
#include "common.h"

/* A new one, empty: a descriptor that child processes inherit, for the caller to close; -1 where the system gives none. */
int pm_commons_create(void);
/* Joins the one that descriptor fd refers to; NULL: it does not fit this build, or is none. fd stays open, and the caller's. */
pm_common *pm_commons_open(int fd);
void pm_commons_close(pm_common *c); /* what find and done gave is gone; NULL is fine */
/* Bytes of all blocks that are whole; 0 when there are none, or fd is no common memory. */
int64_t pm_commons_bytes(int fd);

/* The one that this process belongs to, or NULL: sessions and tasks opened from then on use it. */
void pm_commons_join(int fd); /* a descriptor that does not fit changes nothing */
pm_common *pm_commons_joined(void);
#endif
