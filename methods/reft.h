/* reft.h - what the ReFT family shares: an edit of the residual stream after chosen blocks, at the first and last prompt tokens.
 *
 * Positions (pyreft's): with P prompt tokens, the first min(P/2, prefix) and the last min(P/2, suffix) of them, by position id: so an
 * edit fires once, also when the prompt is shared by several options or sits in a cache, and never on an answer's tokens.
 */
#ifndef PM_REFT_H
#define PM_REFT_H
#include "method.h"

typedef struct pm_reft_cfg {
    int rank, prefix, suffix;
    bool tied;
    double dropout;
    char layers[PM_FIELD_STR];
} pm_reft_cfg;
extern const pm_field pm_reft_fields[]; /* of a pm_reft_cfg at the start of the method's settings */

/* One intervention: h + out(W h + b ...). The last matrix is the method's own. */
typedef struct pm_reft_phi {
    pm_param *w, *b;   /* [r,C], [1,r] */
    pm_param *out;     /* loreft: [r,C]; direft: [C,r] */
    pm_orthobase base; /* loreft */
    bool ready;        /* loreft: base belongs to what out stores */
} pm_reft_phi;

/* What a method of the family adds: its own matrix, and the edit of rows [n,C]. */
typedef struct pm_reft_kind {
    const char *name; /* of the module: loreft */
    void (*create)(pm_run *r, const pm_reft_cfg *c, const char *module, pm_reft_phi *phi);
    pm_tensor *(*edit)(pm_tape *t, pm_tensor *rows, pm_reft_phi *phi);
} pm_reft_kind;

typedef struct pm_reft {
    const pm_reft_kind *kind;
    pm_reft_cfg c;
    pm_reft_phi *phi; /* [2 L]: of layer l at 2 l (tied, or prefix) and 2 l + 1 (suffix); w NULL: none */
} pm_reft;

pm_status pm_reft_attach(pm_run *r, const pm_reft_cfg *c, const pm_reft_kind *kind, pm_reft *st, pm_err *e);
/* r (2 C + 1) for each intervention; two interventions a layer when untied. */
int64_t pm_reft_count(const pm_model_cfg *m, const void *cfg);
/* The `hidden` hook. */
pm_tensor *pm_reft_hidden(pm_tape *t, const pm_site *s, pm_tensor *h, void *st);
#endif
