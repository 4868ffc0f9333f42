/* pretrain.h - the embedded model: made from nothing on the embedded text, by the same core that tunes. */
#ifndef PM_PRETRAIN_H
#define PM_PRETRAIN_H
#include "config.h"

/* What a pretraining was, and how it went. */
typedef struct pm_pretrained {
    char start_hash[65],
        data_hash[65]; /* of the model before the first step, of the token rows: equal on every machine */
    double *loss;      /* [n_done] */
    int n_done, n_steps;
    int64_t tokens, parameters;
} pm_pretrained;
void pm_pretrained_free(pm_pretrained *p);

/* The settings of models/tiny: task tiny_text, method full, one thread, and how long. */
pm_status pm_pretrain_defaults(pm_config *c, pm_err *e);
/* Makes a model in dir, which exists, trains it by c and saves it there. first > 0: only the first steps of that training, and the model
 * that dir then holds is of no use. The caller frees *out, also after a failure. */
pm_status pm_pretrain(const pm_config *c, const char *dir, int first, pm_pretrained *out, pm_err *e);

/* dir/pretrain.json: the command, settings, hashes, losses. */
pm_status pm_pretrain_record(const pm_config *c, const pm_pretrained *p, const char *dir, pm_err *e);
/* The settings and the course of the pretraining that made dir. */
pm_status pm_pretrain_recall(const char *dir, pm_config *c, pm_pretrained *p, pm_err *e);
#endif
