/* merge.h - a session's adapter folded into the weights of its model, and taken out again: what merge-adapter writes and the certificate
 * compares. */
#ifndef PM_MERGE_H
#define PM_MERGE_H
#include "session.h"

typedef struct pm_merged {
    pm_arena *in, *own; /* the folded weights: NULL, nothing is folded in; own: freed at the end */
    struct pm_kept *kept;
    int n_kept;
    const pm_hooks *hooks;
} pm_merged;

/* Folds the method into private copies of the projections' weights and biases and takes its hooks off: until pm_merged_end the session is
 * the plain model that would be saved. Copied weights are not packed, so their products run in fp32 whatever the precision. A method that
 * trains the base, or none, has nothing to fold. PM_EUNSUPPORTED when no weight can hold what the method does, and whatever its merge
 * says; then nothing has changed. */
pm_status pm_merged_begin(pm_session *s, pm_merged *m, pm_err *e);
/* The same with the copies in an arena of the caller's, which must not be reset before pm_merged_end. */
pm_status pm_merged_begin_in(pm_session *s, pm_arena *in, pm_merged *m, pm_err *e);
/* The session as it was before, to the bit. Safe after a failed begin and on a zeroed pm_merged. */
void pm_merged_end(pm_session *s, pm_merged *m);

/* The refusal alone, before anything is loaded: PM_OK when m (NULL: none) folds. */
pm_status pm_merge_check(const pm_method *m, pm_err *e);
#endif
