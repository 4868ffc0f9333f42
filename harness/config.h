/* config.h - everything that decides a run, in one struct, each field from a table; its canonical JSON is hashed into the run key. */
#ifndef PM_CONFIG_H
#define PM_CONFIG_H
#include "method.h"

typedef struct pm_config {
    char model[PM_FIELD_STR], task[PM_FIELD_STR], method[PM_FIELD_STR];
    int seed, threads, precision /* pm_precision */, backend /* auto|onednn|openblas */;
    struct {
        int steps, batch, grad_accum, max_len, loss_on /* answer|all */;
        double epochs; /* used when steps = 0 */
        bool shuffle;
    } train;
    struct {
        double lr /* 0: the method's default */, weight_decay, beta1, beta2, eps, warmup_frac, clip;
        int schedule, warmup_steps;
    } optim;
    struct {
        char split[PM_FIELD_STR]; /* none | validation | test | a file of token rows */
        int every, limit;
    } eval;
    const pm_method *m; /* set with `method` */
    void *mcfg;         /* the method's own settings, m->cfg_size bytes */
} pm_config;

extern const pm_field pm_config_fields[]; /* keys as in the contract: model, train.steps, ... */

pm_config *pm_config_new(void);
void pm_config_free(pm_config *c);
/* "train.steps", "method.rank", ... A method.* key needs `method` set before. PM_EUSAGE with a "did you mean". */
pm_status pm_config_set(pm_config *c, const char *key, const char *value, pm_err *e);
/* A JSON object, nested or with dotted keys. */
pm_status pm_config_load(pm_config *c, const char *path, pm_err *e);
/* Cross-field rules: required fields, steps or epochs, targets. */
pm_status pm_config_check(const pm_config *c, pm_err *e);
/* Canonical: sorted dotted keys, every field present. Caller frees. */
char *pm_config_json(const pm_config *c);
#endif
