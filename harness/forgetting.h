/* forgetting.h - what tuning made a model forget: token cross-entropy on a probe, a text that tuning does not teach, before and after.
 *
 * Law: an adapter that does nothing forgets exactly 0. Both sides read the same rows, whole, in the same batches, which depend on the
 * probe alone (nothing is padded, and no setting of training reaches them), and add up in one order; "before" is the model with the
 * adapter off, so it depends on model, probe and precision, not on method, seed or training.
 */
#ifndef PM_FORGETTING_H
#define PM_FORGETTING_H
#include "evaluate.h"

typedef struct pm_forgetting {
    pm_task *task;
    pm_split text;          /* the probe's rows */
    const char *split;      /* of the task: validation, test; train of a bare .jsonl of token rows */
    double *before, *after; /* [text.n] nats of each row, summed over its scored tokens; NULL: not measured */
    int64_t *tokens;        /* [text.n] scored tokens of each row */
} pm_forgetting;

/* Whether that can be a probe: PM_EUSAGE as below, without reading a row. */
pm_status pm_forgetting_check(const char *probe, pm_err *e);
/* Reads the probe: a task of kind lm or tokens (its validation split; where there is none its test split), or a .jsonl of token rows. PM_EUSAGE: another kind
 * of task; else as pm_task_open and pm_task_load. model_path: the
 * model's, by which workers of a sweep share its tokens; NULL: nothing is shared. The caller closes f, also after a failure. */
pm_status pm_forgetting_open(const char *probe, const pm_tokenizer *tok, const char *model_path,
                             pm_forgetting *f, pm_err *e);
void pm_forgetting_close(pm_forgetting *f); /* a zeroed one is fine */

/* Scores the probe, with the session's method off (before) or on. fn, ctx: as of pm_evaluate, whose status is returned. The session is as
 * it was, its tape reset. */
typedef enum pm_side { PM_BEFORE, PM_AFTER } pm_side;
pm_status pm_forgetting_score(pm_forgetting *f, pm_session *s, pm_side side, pm_item_fn fn, void *ctx,
                              pm_err *e);

/* Nats a token, means over all tokens of the probe; standard errors are from row to row (rows were drawn, not tokens), of the difference by
 * pairs. Both sides are scored. */
enum { PM_CROSS_ENTROPY_BEFORE, PM_CROSS_ENTROPY_AFTER, PM_FORGOTTEN, PM_FORGETTING_METRICS };
void pm_forgetting_metrics(const pm_forgetting *f, pm_metric out[PM_FORGETTING_METRICS]);
#endif
