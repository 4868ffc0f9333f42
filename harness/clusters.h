/* clusters.h - items that are about one thing (a creature, a passage) share a cluster's name; statistics take numbers. */
#ifndef PM_CLUSTERS_H
#define PM_CLUSTERS_H
#include "base.h"

/* of[i]: the number of item i's cluster, in the order of the names; an item without a name (NULL) is a cluster of its own. Returns how many there are, or 0,
 * and leaves `of` alone, when no two items share one: then clusters say nothing. */
int32_t pm_clusters_number(const char *const *name, int64_t n, int32_t *of);
#endif
