/* arena.h - memory by lifetime: base (weights, data), run (adapter, moments), step (tape).
 *
 * What: an arena reserves address space once and hands out 64-byte aligned pieces by moving a pointer; the system
 * gives it pages as they are touched. Reset keeps the pages, so after the first steps nothing asks the system for memory.
 * Why: one place allocates, so the memory columns (peak live bytes by category) are exact counts, not samples.
 * Pieces given back with pm_arena_recycle are handed out again for the same size (activations of the step arena).
 * Debug builds fill with 0xAA on allocation and 0x55 on recycle and reset.
 */
#ifndef PM_ARENA_H
#define PM_ARENA_H
#include "base.h"
#include "common.h"

/* The memory table's categories; names by pm_mem_name. */
typedef enum pm_mem {
    PM_MEM_WEIGHTS,
    PM_MEM_ADAPTER,
    PM_MEM_GRADIENTS,
    PM_MEM_OPTIMIZER,
    PM_MEM_ACTIVATIONS,
    PM_MEM_WORKSPACE,
    PM_MEM_N
} pm_mem;
const char *pm_mem_name(pm_mem category);

typedef struct pm_arena pm_arena;

/* Reserves up to limit_bytes of address space (0: the machine's physical memory, or an eighth of `ulimit -v`). Aborts with the size when refused.
 * The caller frees it with pm_arena_free. */
pm_arena *pm_arena_new(const char *name, size_t limit_bytes);
void pm_arena_free(pm_arena *a); /* NULL is fine */

/* n bytes, 64-byte aligned, uninitialised; never NULL (aborts with the size when the limit is passed). Lives until reset. */
void *pm_arena_alloc(pm_arena *a, size_t bytes, pm_mem category);
void *pm_arena_zalloc(pm_arena *a, size_t bytes, pm_mem category); /* the same, zeroed */
/* Strings count as workspace. */
char *pm_arena_strdup(pm_arena *a, const char *s);
__attribute__((format(printf, 2, 3))) char *pm_arena_printf(pm_arena *a, const char *fmt, ...);

/* What depends on its key alone, read-only: found in the memory that processes have in common, else written by fill, there if there is room and
 * in this arena if not. It counts as this arena's in every case. fill false: NULL, and nothing is left. Lives until reset. */
typedef bool (*pm_fill)(void *ctx, void *out);
const void *pm_arena_common(pm_arena *a, const char *key /* NULL: this arena alone */, size_t bytes,
                            pm_mem category, pm_fill fill, void *ctx);
void pm_arena_use_common(pm_arena *a, pm_common *c); /* NULL, as at first: no memory is in common */

/* Gives a piece back for reuse by a later allocation of the same size; bytes and category as in its allocation. */
void pm_arena_recycle(pm_arena *a, void *p, size_t bytes, pm_mem category);
/* Everything handed out is gone; pages and peaks are kept. */
void pm_arena_reset(pm_arena *a);

/* Bytes as they were asked for, without the rounding to 64. */
int64_t pm_arena_live(const pm_arena *a, pm_mem category); /* bytes now */
int64_t pm_arena_peak(const pm_arena *a,
                      pm_mem category); /* most bytes of the category at once since pm_arena_peak_clear */
int64_t pm_arena_peak_total(const pm_arena *a); /* most bytes of all categories together at once */
void pm_arena_peak_clear(pm_arena *a);          /* peaks := live */
int64_t
pm_arena_fresh(const pm_arena *a); /* allocations that moved the high-water mark: 0 in a settled step loop */
int64_t pm_arena_asked(const pm_arena *a); /* bytes of all allocations ever, whatever became of them */
/* Where its pieces lie and how far it ever reached, whole huge pages. */
const void *pm_arena_span(const pm_arena *a, size_t *n_bytes);
int64_t
pm_arena_elsewhere(const pm_arena *a); /* of the bytes it counts: in memory that processes have in common */
/* Bytes that can be handed out now without asking the system for memory: what was in use before the last reset. */
size_t pm_arena_room(const pm_arena *a);
#endif
