/* config.h - everything that decides a run, in one struct, each field from a table; its canonical JSON is
 * hashed into the run key. */
#ifndef PM_CONFIG_H
#define PM_CONFIG_H
#include "method.h"

typedef struct pm_config {
    char model[PM_FIELD_STR], task[PM_FIELD_STR], method[PM_FIELD_STR];
    int seed, threads /* 0: all that OpenMP offers */, precision /* pm_precision */,
        backend /* auto|onednn|openblas */;
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
        char probe
            [PM_FIELD_STR]; /* the text that forgetting is measured on: a task or a file of token rows; "": none */
        int every, limit;
    } eval;
    const pm_method *m; /* set with `method` */
    void *mcfg;         /* the method's own settings, m->cfg_size bytes */
} pm_config;

extern const pm_field pm_config_fields[]; /* keys as in the contract: model, train.steps, ... */

/* The method of that name; PM_EUSAGE with the nearest name. */
pm_status pm_method_need(const char *name, const pm_method **out, pm_err *e);

/* Never NULL; defaults everywhere, model, task and method empty. The caller frees it with pm_config_free. */
pm_config *pm_config_new(void);
void pm_config_free(pm_config *c); /* NULL is fine */
/* "train.steps", "method.rank", ... A method.* key needs `method` set before; another method brings back its
 * own defaults. PM_EUSAGE with a "did you mean". */
pm_status pm_config_set(pm_config *c, const char *key, const char *value, pm_err *e);
/* "KEY=VALUE", as --set takes it. */
pm_status pm_config_set_pair(pm_config *c, const char *pair, pm_err *e);
/* A JSON object, nested or with dotted keys ("method" may be an object with "name"). Lists become comma
 * lists. Unknown or doubled keys are PM_EUSAGE, broken JSON PM_EFORMAT, an unreadable file PM_EIO. After a
 * failure c holds a mixture: free it. */
pm_status pm_config_load(pm_config *c, const char *path, pm_err *e);
/* The same from a text; `from` names it in messages. */
pm_status pm_config_load_text(pm_config *c, const char *text, const char *from, pm_err *e);
/* The same from an object that is parsed already: a part of a larger file. */
struct cJSON;
pm_status pm_config_apply(pm_config *c, const struct cJSON *settings, pm_err *e);
/* A value as it would be written after KEY=, a list as a comma list; false for null, objects and what is too long. */
bool pm_config_value_text(const struct cJSON *v, char *out, size_t cap);
/* The embedded default: without a model, and without a task or with an embedded one (tiny_*), the model is tiny; with the model tiny and
 * without a task, the task is tiny_facts. Whether anything was set. */
bool pm_config_embedded(pm_config *c);
/* Cross-field rules: required fields, steps or epochs, warm-up within the run, targets. */
pm_status pm_config_check(const pm_config *c, pm_err *e);
/* The part of it that needs only the method: targets. */
pm_status pm_config_check_method(const pm_config *c, pm_err *e);

/* What 0 stands for: the method's learning rate, this process's OpenMP threads. */
double pm_config_lr(const pm_config *c);
int pm_config_threads(const pm_config *c);

/* Canonical: one line, sorted dotted keys, every field present, lr and threads as used. Caller frees. */
char *pm_config_json(const pm_config *c);
struct cJSON *pm_config_object(const pm_config *c); /* the same, not printed; the caller deletes it */

/* What the settings alone do not say about a run. */
typedef struct pm_run_facts {
    const char *task; /* its own name, not the path it was opened by */
    int task_version;
    const char *data_hash, *train_hash /* "" when nothing is trained */, *model_hash,
        *adapter_hash /* of --adapter-in; "" without one */,
        *probe_hash /* of eval.probe's rows; "" without one */;
} pm_run_facts;
/* The run key: sha256 over the canonical JSON, the method's and the task's version and the hashes. Paths are
 * left out (model, and task as given), for the hashes and the name identify both and the key must be the same
 * on every machine. */
void pm_run_key(const pm_config *c, const pm_run_facts *f, char hex[65]);
#endif
