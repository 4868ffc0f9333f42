/* db_merge.h - folds one results database into another: every run key once, and nothing is counted twice however often it is done. */
#ifndef PM_DB_MERGE_H
#define PM_DB_MERGE_H
#include "db.h"

typedef struct pm_merged {
    int added, replaced,
        there; /* runs: new, in the place of a broken one, left out because their key is done */
} pm_merged;
/* All of it or nothing. Where both have a run key, a run that is ok stays or takes the place of one that is not; of two that both broke, the
 * later one. Adds to *n. PM_EDB. */
pm_status pm_db_merge(pm_db *into, const char *from, pm_merged *n, pm_err *e);
#endif
