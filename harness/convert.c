/* convert.c - methods that are a special case of another, exactly (convert.h).
 *
 * WeGeFT is LoRA: dW = s (W0 phi^T) psi (docs/METHODS.md) is s B A with B = W0 phi^T and A = psi, at the same r and alpha. What is shared
 * between layers as (phi, psi) is not as (B, A), so the LoRA is the larger file.
 */
#include "convert.h"
#include "adapter.h"
#include <stdio.h>
#include <string.h>

/* Parameter NAME of module; NULL: none. */
static const pm_param *find(const pm_params *l, const char *module, const char *name) {
    size_t n = strlen(module);
    for (int i = 0; i < l->n; i++)
        if (!strncmp(l->p[i]->name, module, n) && !strcmp(l->p[i]->name + n, name)) return l->p[i];
    return NULL;
}

/* A site's own, or the one that its projection type shares. */
static const pm_param *find_wegeft(const pm_session *s, const pm_site *site, const char *name) {
    char shared[64], own[80];
    snprintf(shared, sizeof shared, "wegeft.%s", pm_site_kind_name(site->kind));
    snprintf(own, sizeof own, ".wegeft%s", name);
    const pm_param *p = find(&s->run.params, site->name, own);
    return p ? p : find(&s->run.params, shared, name);
}

/* B [O,r] = W0 phi^T, A [r,I] = psi, at every site where there is a LoRA. */
static void lora_from_wegeft(const pm_session *s, const pm_params *lora) {
    for (int i = 0; i < s->model->n_sites; i++) {
        const pm_site *site = &s->model->sites[i];
        const pm_param *a = find(lora, site->name, ".lora_A.weight"),
                       *b = find(lora, site->name, ".lora_B.weight");
        if (!a) continue;
        const pm_param *phi = find_wegeft(s, site, ".phi"), *psi = find_wegeft(s, site, ".psi");
        PM_ASSERT(b && phi && psi, "%s: no phi, psi for a LoRA", site->name);
        memcpy(a->w, psi->w, (size_t)(psi->rows * psi->cols) * sizeof *a->w);
        pm_gemm(false, true, b->rows, phi->rows, phi->cols, 1, site->w->w, phi->cols, phi->w, phi->cols, 0,
                b->w, b->cols);
    }
}

static const struct conversion {
    const char *from, *as;
    void (*fill)(const pm_session *s,
                 const pm_params *to); /* `to`: attached, with the settings of the same names */
} CONVERSIONS[] = {{"wegeft", "lora", lora_from_wegeft}};
enum { N_CONVERSIONS = sizeof CONVERSIONS / sizeof *CONVERSIONS };

static const struct conversion *conversion(const pm_method *m, const char *as) {
    for (int i = 0; i < N_CONVERSIONS; i++)
        if (!strcmp(CONVERSIONS[i].from, m->name) && (!as || !strcmp(CONVERSIONS[i].as, as)))
            return &CONVERSIONS[i];
    return NULL;
}

const char *pm_convert_target(const pm_method *m) {
    const struct conversion *k = conversion(m, NULL);
    return k ? k->as : NULL;
}

pm_status pm_convert_check(const pm_method *m, const char *as, pm_err *e) {
    const pm_method *to;
    pm_status rc = pm_method_need(as, &to, e);
    if (rc || to == m || conversion(m, as)) return rc;
    pm_fail(e, PM_EUNSUPPORTED, "--as %s: a %s adapter computes something that no %s adapter does", as,
            m->name, as);
    const char *target = pm_convert_target(m);
    return target ? pm_hint(e, "--as %s, or without --as: %s's own layout", target, m->name)
                  : pm_hint(e, "without --as: %s's own layout", m->name);
}

/* The settings of the same name: rank, alpha, targets. What acts in training only (dropout) keeps its default. */
static pm_status copy_settings(const pm_config *c, const pm_method *to, void *cfg, pm_err *e) {
    static const char *const KEYS[] = {"rank", "alpha", "targets"};
    pm_status rc = PM_OK;
    pm_fields_defaults(to->fields, cfg);
    for (int i = 0; i < 3 && !rc; i++) {
        char value[PM_FIELD_STR];
        pm_field_get(pm_field_find(c->m->fields, KEYS[i]), c->mcfg, value, sizeof value);
        rc = pm_field_set(to->fields, cfg, "method.", KEYS[i], value, e);
    }
    return rc;
}

static pm_status convert(const pm_session *s, const pm_config *c, const struct conversion *k, const char *dir,
                         const char *base, pm_err *e) {
    const pm_method *to = pm_method_find(k->as);
    pm_arena *life = pm_arena_new("convert", 0);
    void *cfg = pm_arena_zalloc(life, to->cfg_size, PM_MEM_WORKSPACE);
    void *state = pm_arena_zalloc(life, to->state_size, PM_MEM_WORKSPACE);
    pm_run run = {.arena = life, .model = s->model, .claims = to->flags};
    pm_params_init(&run.params, life);
    pm_status rc = copy_settings(c, to, cfg, e);
    if (!rc) rc = to->attach(&run, cfg, state, e);
    if (!rc) {
        k->fill(s, &run.params);
        rc = pm_adapter_save(dir, to, cfg, &run.params, base, e);
    }
    pm_arena_free(life);
    return rc;
}

pm_status pm_convert_save(const pm_session *s, const pm_config *c, const char *as, const char *dir,
                          const char *base, pm_err *e) {
    if (!strcmp(as, c->m->name)) return pm_adapter_save(dir, c->m, c->mcfg, &s->run.params, base, e);
    return convert(s, c, conversion(c->m, as), dir, base, e);
}
