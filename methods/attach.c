/* attach.c - what every attach needs: which projections a method acts on ("q_proj,v_proj" or "all" to a bit set), room by site,
 * and a random start. */
#include "method.h"
#include <string.h>

static int kind_named(const char *s, size_t n) {
    for (int k = 0; k < PM_SITE_N_LINEAR; k++) {
        const char *name = pm_site_kind_name((pm_site_kind)k);
        if (strlen(name) == n && memcmp(name, s, n) == 0) return k;
    }
    return -1;
}

pm_status pm_projections_parse(const char *key, const char *list, unsigned *mask, pm_err *e) {
    *mask = 0;
    if (strcmp(list, "none") == 0 && strcmp(key, "targets") != 0) return PM_OK;
    if (strcmp(list, "all") == 0) {
        *mask = (1u << PM_SITE_N_LINEAR) - 1;
        return PM_OK;
    }
    for (const char *s = list;;) {
        size_t n = strcspn(s, ",");
        int k = kind_named(s, n);
        if (k < 0) {
            pm_fail(e, PM_EUSAGE, "method.%s: unknown projection '%.*s'", key, (int)n, s);
            return pm_hint(
                e, "use 'all' or a comma list of q_proj,k_proj,v_proj,o_proj,gate_proj,up_proj,down_proj");
        }
        *mask |= 1u << k;
        if (!s[n]) return PM_OK;
        s += n + 1;
    }
}

pm_status pm_targets_parse(const char *list, unsigned *mask, pm_err *e) {
    return pm_projections_parse("targets", list, mask, e);
}

bool pm_is_projections(const pm_field *f) {
    static const char END[] = "_modules";
    size_t n = f->peft ? strlen(f->peft) : 0, end = sizeof END - 1;
    return n > end && strcmp(f->peft + n - end, END) == 0;
}

bool pm_is_target(unsigned mask, pm_site_kind k) {
    return k < PM_SITE_N_LINEAR && (mask >> k & 1);
}

int64_t pm_target_sum(const pm_model_cfg *m, const char *list,
                      int64_t (*each)(int64_t in, int64_t out, const void *cfg), const void *cfg) {
    unsigned targets;
    int64_t n = 0, in, out;
    if (pm_targets_parse(list, &targets, NULL)) return 0;
    for (pm_site_kind k = 0; k < PM_SITE_N_LINEAR; k++) {
        pm_kind_shape(m, k, &in, &out);
        if (pm_is_target(targets, k)) n += each(in, out, cfg);
    }
    return n;
}

void *pm_per_site(pm_run *r, size_t size) {
    return pm_arena_zalloc(r->arena, (size_t)r->model->n_sites * size, PM_MEM_WORKSPACE);
}

void pm_init_uniform(pm_run *r, pm_param *p, double bound) {
    pm_rng g = pm_rng_make(r->seed, pm_hash64(p->name, strlen(p->name)));
    pm_rng_fill_uniform(&g, p->w, p->rows * p->cols, (real)-bound, (real)bound);
}
