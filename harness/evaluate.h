/* evaluate.h - scoring a split: one result an item, so that any two runs can be compared by a paired test
 * later. */
#ifndef PM_EVALUATE_H
#define PM_EVALUATE_H
#include "session.h"

typedef struct pm_metric {
    char name[24];
    int version;
    double value, stderr_; /* NAN: not measured */
    int64_t n;
} pm_metric;
enum { PM_METRICS_MAX = 4 };

typedef struct pm_item {
    const pm_example *ex;
    int correct;  /* 1, 0; -1: the kind has no right and wrong (lm, tokens) */
    double score; /* choice, classify: log-likelihood of the gold option; exact: NAN; lm, tokens: mean nats a
                     token */
    const char *answer, *gold; /* text; NULL: none */
} pm_item;
/* Called once an item, in order; a status other than PM_OK stops the evaluation and is returned. */
typedef pm_status (*pm_item_fn)(void *ctx, const pm_item *it, int done, int total, pm_err *e);

/* choice, classify: acc (summed log-likelihood), acc_norm (by characters; lm-evaluation-harness); exact:
 * exact_match; lm, tokens: nll (nats a scored token) and ppl. Results do not depend on how items are grouped
 * into batches beyond rounding. */
pm_status pm_evaluate(pm_session *s, const pm_task *task, const pm_split *data, pm_metric out[PM_METRICS_MAX],
                      int *n_out, pm_item_fn fn, void *ctx, pm_err *e);

/* How many items from lo on (at least one, where there is one) an evaluation of the split works on at once, or nearly so. */
int pm_eval_group(const pm_task *task, const pm_split *d, int lo);

/* Log-likelihood of every choice of examples [0, n): logp holds them one after another. Options of a question
 * share their prefix. */
void pm_score_choices(pm_session *s, const pm_example *ex, int n, double *logp);
#endif
