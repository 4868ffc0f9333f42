/* resident.h - what is resident of this process besides what arenas and mapped weights count: the program and malloc's heap, by what the
 * system says of their pages (/proc/self/maps and pagemap). Measured piece by piece, never as what is left of a total: only so can the
 * memory table's sum be held against the system's own high-water mark.
 */
#ifndef PM_RESIDENT_H
#define PM_RESIDENT_H
#include "base.h"

/* Bytes; -1: the system does not say. */
typedef struct pm_resident {
    int64_t
        program; /* files with code in them (the program and its libraries), and code that was made at run time */
    int64_t heap; /* malloc's, what it keeps of freed pieces included */
} pm_resident;
pm_resident pm_resident_get(void);

/* Of the pages that hold [p, p + n_bytes). -1: the system does not say. */
int64_t pm_resident_in(const void *p, size_t n_bytes);

/* Gives back to the system what is kept for later use and holds nothing: malloc's freed pieces, the scratch of matrix products. */
void pm_resident_give_back(void);
#endif
