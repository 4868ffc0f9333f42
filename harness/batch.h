/* batch.h - ragged batches: token rows of several sequences laid end to end, with the rows whose next token
 * is scored. No padding. */
#ifndef PM_BATCH_H
#define PM_BATCH_H
#include "net.h"
#include "task.h"

typedef struct pm_batch {
    int32_t *ids; /* [N] */
    pm_seqs seqs; /* points into the arrays below; valid after pm_batch_view */
    int32_t *start, *len, *pos0, *parent, *prompt_len;
    int32_t *row, *target; /* [n_scored]: hidden row and the token it must predict */
    int n_scored;
    int cap_tokens, cap_seqs, cap_scored;
} pm_batch;

void pm_batch_clear(pm_batch *b); /* keeps the memory */
void pm_batch_free(pm_batch *b);
/* Appends a sequence of n tokens; parent -1 or an earlier sequence it continues. Returns its index. */
int pm_batch_add(pm_batch *b, const int32_t *ids, int n, int parent, int pos0, int prompt_len);
void pm_batch_score(pm_batch *b, int32_t row, int32_t target);
/* A training example: every label but -100 becomes a scored row (the position before it). */
void pm_batch_add_example(pm_batch *b, const pm_example *ex);
const pm_seqs *pm_batch_view(pm_batch *b); /* after the last add */
#endif
