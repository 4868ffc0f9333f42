/* fair.h - may the rows of a table stand side by side? Each configuration has a part that must match: what it was trained and scored on, with how much
 * training, at which precision. What was tuned (learning rate, rank) may differ.
 */
#ifndef PM_FAIR_H
#define PM_FAIR_H
#include "report_data.h"

enum { PM_FAIR_QUALITY = 1, PM_FAIR_SPEED = 2, PM_FAIR_FORGETTING = 4 }; /* what the table compares */

typedef struct pm_misfit { /* a row on a task, against what most rows of its model have there */
    int setup, task;
    const char *key, *value, *usual;
} pm_misfit;

typedef struct pm_fair {
    pm_misfit *list; /* by row, task and key; from r's arena */
    int n;
} pm_fair;
void pm_fair_check(const pm_results *r, unsigned what, pm_fair *out);
/* Two rows on one task alone. */
void pm_fair_pair(const pm_results *r, unsigned what, int a, int b, int task, pm_fair *out);
/* Whether rows that differ in this setting, or in model_hash, are not comparable in quality. */
bool pm_fair_must_match(const char *key);
/* PM_ECHECK naming the first: rows, key, both values and the flag that goes on. PM_OK when there is none. */
pm_status pm_fair_refuse(const pm_results *r, const pm_fair *f, const char *path, pm_err *e);
/* Keys by which a row differs anywhere, "train.steps, precision", from r's arena; NULL: none. */
const char *pm_fair_badge(const pm_results *r, const pm_fair *f, int setup);
#endif
