/* counts.c - trainable counts from dimensions and settings: every number is a method's own n_params, which the conformance test holds to
 * what attach creates. */
#include "counts.h"
#include "cmd.h"
#include "model.h"
#include "text.h"
#include <stdlib.h>
#include <string.h>

/* ---- the model ---- */

/* What `full` would train in the LLaMA family's layout. */
static int64_t closed_form(const pm_model_cfg *m) {
    return pm_method_find("full")->n_params(m, NULL);
}

static pm_status hint_preset(const char *name, pm_err *e) {
    const char *known[64];
    int n = 0;
    for (; n < 64 && pm_presets[n].name; n++) known[n] = pm_presets[n].name;
    const char *near = pm_nearest(name, known, n);
    if (near) return pm_hint(e, "did you mean %s?", near);
    return pm_hint(e, "`peftmeter params --help` lists the shapes, `peftmeter models` the models");
}

static pm_status read_shape(const char *name, pm_shape *s, pm_err *e) {
    char path[4096];
    const char *from = name;
    if (!pm_path_ends(name, ".json")) {
        pm_status rc = pm_model_resolve(name, path, sizeof path, e);
        if (rc) return rc == PM_EUSAGE ? hint_preset(name, e) : rc;
        from = path;
    }
    return pm_model_cfg_read(from, &s->cfg, e);
}

pm_status pm_shape_open(const char *name, pm_shape *s, pm_err *e) {
    const pm_preset *p = pm_preset_find(name);
    if (p)
        s->cfg = p->cfg;
    else {
        pm_status rc = read_shape(name, s, e);
        if (rc) return rc;
    }
    s->base = p && p->total ? p->total : closed_form(&s->cfg);
    return PM_OK;
}

/* ---- the counts ---- */

pm_status pm_counts_of(const pm_shape *s, const pm_config *c, pm_counts *out, pm_err *e) {
    pm_status rc = pm_config_check_method(c, e);
    if (rc) return rc;
    int64_t n = c->m->n_params(&s->cfg, c->mcfg);
    if (n == 0) {
        pm_fail(e, PM_EUSAGE, "%s with these settings trains nothing in this model", c->method);
        return pm_hint(e, "its layers are 0 to %d%s", s->cfg.L - 1,
                       s->cfg.ungated ? ", its MLP has no gate_proj" : "");
    }
    if (n == closed_form(&s->cfg)) n = s->base; /* all of it, whatever the architecture */
    out->trainable = n;
    out->total = s->base + (c->m->flags & PM_TRAINS_BASE ? 0 : n);
    out->percent_of_base = 100 * (double)n / (double)s->base;
    out->percent_of_total = 100 * (double)n / (double)out->total;
    return PM_OK;
}

bool pm_counts_by_kind(const pm_shape *s, const pm_config *c, int64_t n[PM_SITE_N_LINEAR]) {
    const pm_field *f = pm_field_find(c->m->fields, "targets");
    char list[PM_FIELD_STR];
    unsigned mask;
    if (!f) return false;
    pm_field_get(f, c->mcfg, list, sizeof list);
    if (pm_targets_parse(list, &mask, NULL)) return false;
    void *one = pm_xalloc(c->m->cfg_size);
    memcpy(one, c->mcfg, c->m->cfg_size);
    for (pm_site_kind k = 0; k < PM_SITE_N_LINEAR; k++) {
        pm_field_set(c->m->fields, one, "method.", "targets", pm_site_kind_name(k), NULL);
        n[k] = mask >> k & 1 ? c->m->n_params(&s->cfg, one) : 0;
    }
    free(one);
    return true;
}
