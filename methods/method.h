/* method.h - what a fine-tuning method is: one const struct at the bottom of its file, one X(name) line in registry.c.
 *
 * docs/new-method.md leads from template.c to a tested method. docs/METHODS.md has the equations.
 */
#ifndef PM_METHOD_H
#define PM_METHOD_H
#include "cache.h"
#include "field.h"
#include "pm.h"

/* What attach and the hooks may use. */
typedef struct pm_run {
    pm_arena *arena; /* run lifetime */
    pm_model *model;
    pm_params params; /* every trainable parameter is listed here */
    uint64_t seed;
    unsigned
        claims; /* the method's flags; attach clears what its settings do not keep (a random start is no identity) */
    const char *note; /* one line attach has for the user, in the arena; NULL: none */
    pm_cache *cache;  /* NULL: none */
    /* Long work in attach calls it with progress_ctx, one thread at a time; false: stop, with PM_ECANCELLED. NULL: nobody listens. */
    bool (*progress)(void *ctx, int done, int total);
    void *progress_ctx;
    int64_t
        mapped_bytes; /* of what the cache gave and the method uses where it is mapped: they count as weights */
} pm_run;

/* Claims, each proven by the conformance test. */
enum {
    PM_IDENTITY_INIT = 1, /* output equals the base model's before the first step */
    PM_MERGEABLE = 2,     /* folds into W exactly; merge is set */
    PM_TRAINS_BASE = 4,   /* base parameters are trained: there is no adapter file apart from the weights */
    PM_PROMPT_ONLY = 8 /* acts at prompt positions alone: without a prompt the output is the base model's */
};

typedef struct pm_method {
    const char *name, *title,
        *cite;            /* id = file name = database key | as printed | paper, arXiv id, section */
    const char *equation; /* one line, in the notation of the file's header */
    int version;          /* bump when numbers may change: older rows stop being comparable */
    unsigned flags;
    const char
        *peft; /* constants of adapter_config.json, matched on import: {"peft_type":"LORA","use_dora":true};
                         NULL: peft_type is the name in capitals */
    size_t cfg_size, state_size; /* zeroed blocks are handed over; a method never mallocs or frees */
    const pm_field *fields;
    double default_lr;     /* used when optim.lr is not given */
    const char *lr_source; /* where that default comes from */
    pm_status (*attach)(pm_run *r, const void *cfg, void *st,
                        pm_err *e);                              /* required: create or unfreeze parameters */
    int64_t (*n_params)(const pm_model_cfg *m, const void *cfg); /* required: the paper's closed form */
    pm_tensor *(*linear)(pm_tape *t, const pm_site *s, pm_tensor *x,
                         void *st); /* [N,I] -> [N,O] at a projection */
    pm_tensor *(*hidden)(pm_tape *t, const pm_site *s, pm_tensor *h,
                         void *st); /* [N,C] -> [N,C] at EMBED, ATTN_OUT, MLP_OUT, BLOCK_OUT */
    void (*kv)(pm_tape *t, const pm_site *s, pm_tensor **k, pm_tensor **v,
               void *st); /* may prepend rows per sequence */
    void (*after_step)(pm_run *r, void *st, int step,
                       int n_steps); /* parameters have changed: budgets, re-projection */
    pm_status (*merge)(pm_model *m, void *st, pm_err *e); /* fold into W; required iff MERGEABLE */
} pm_method;

extern const pm_method *const pm_methods[];        /* NULL-terminated, in table order */
const pm_method *pm_method_find(const char *name); /* NULL when unknown */

/* Target projections from "q_proj,v_proj" or "all": a bit set over pm_site_kind. PM_EUSAGE with the list of names. */
pm_status pm_targets_parse(const char *list, unsigned *mask, pm_err *e);
/* The same for the list of projections in the field `key`; other than the targets it may be "none". */
pm_status pm_projections_parse(const char *key, const char *list, unsigned *mask, pm_err *e);
bool pm_is_projections(const pm_field *f); /* whether that is what it holds: PEFT's key ends in _modules */
bool pm_is_target(unsigned mask, pm_site_kind k);
/* For n_params: the sum of each(I, O, cfg) over the target projections of one layer; 0 when the list is bad. */
int64_t pm_target_sum(const pm_model_cfg *m, const char *list,
                      int64_t (*each)(int64_t in, int64_t out, const void *cfg), const void *cfg);

/* For attach: a zeroed pointer (or whatever has this size) for every site of the model; and a start drawn from U(-bound, bound), by the
 * run's seed and the parameter's name. */
void *pm_per_site(pm_run *r, size_t size);
void pm_init_uniform(pm_run *r, pm_param *p, double bound);
#endif
