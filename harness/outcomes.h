/* outcomes.h - every item's outcome: how runs write them and reports read them. Tables: item_sets, items, answers, outcomes, details
 * (schema.sql); the view `examples` shows them as one row per item.
 *
 * Why not one row with all its texts: 10,000 runs answer the same 2,000 items. What belongs to the item (id, right answer) is stored once for
 * all runs, a text once for all items, and what reports need, right or wrong, is one blob per run and split (docs/database.md has the sizes).
 */
#ifndef PM_OUTCOMES_H
#define PM_OUTCOMES_H
#include "db.h"

typedef struct pm_outcome { /* NULL texts are stored as NULL */
    const char *example_id; /* two items of equal content share it */
    int correct;            /* 1, 0; -1: not scored (NULL) */
    double score;           /* NAN: NULL */
    const char *answer, *gold;
    const char *
        cluster; /* what the item is about, shared by items that are no independent draws; NULL: it stands alone */
} pm_outcome;

/* Items that wait until their split is whole, with copies of their texts. Zero-initialised is empty. */
typedef struct pm_outcome_list {
    pm_outcome *item;
    char **text; /* [4 n] */
    int64_t n, cap;
} pm_outcome_list;
void pm_outcomes_add(pm_outcome_list *l, const pm_outcome *x);
void pm_outcomes_clear(pm_outcome_list *l); /* frees all of it */

/* The items of one split in their order, all or none: part of the caller's transaction when one is open. A run has a split once (PM_EDB). */
pm_status pm_outcomes_write(pm_db *d, int64_t run_id, const char *split, const pm_outcome *item, int64_t n,
                            pm_err *e);
/* All splits of a run of one database as those of a run of another. */
pm_status pm_outcomes_copy(pm_db *from, int64_t from_run, pm_db *to, int64_t to_run, pm_err *e);
/* Those of a table of one row per item with its texts, as `examples` was before version 5. For db.c, within its transaction. */
pm_status pm_outcomes_upgrade(pm_db *d, const char *old_table, pm_err *e);

typedef struct pm_outcome_reader pm_outcome_reader;
typedef struct pm_outcomes {    /* [n], ordered by example_id; of equal ids the one that was stored first */
    int64_t n;                  /* 0: the run has none of this split */
    const signed char *correct; /* 1, 0, -1: not scored; until the next read */
    const char *const *id;      /* until the reader is closed */
    const char *items;          /* sha256 over the ids: equal where runs answered equal items */
    const int32_t *
        cluster; /* 0..n_clusters-1, an item without one its own; NULL: no two items share one. Until the reader is closed */
    int32_t n_clusters;
} pm_outcomes;

/* Reads databases of every version; those before 5 row by row. The database must outlive the reader. */
pm_status pm_outcome_reader_open(pm_db *d, pm_outcome_reader **out, pm_err *e);
pm_status pm_outcomes_read(pm_outcome_reader *r, int64_t run_id, const char *split, pm_outcomes *out,
                           pm_err *e);
void pm_outcome_reader_close(pm_outcome_reader *r); /* NULL is fine */
#endif
