/* sweep_match.c - settings with which a method trains a wanted number of parameters: the rank where there is one, else which projections.
 * Where the rank alone ends far from it, a second setting may make the method smaller: fewer blocks (ReFT) or fewer projections (low-rank
 * updates), as few fewer as it takes. ReFT's positions train nothing of their own, so they are no way to come nearer.
 * Counts are the methods' closed forms, tried one by one.
 */
#include "sweep.h"
#include "text.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct search {
    const pm_shape *shape;
    const pm_method *m;
    void *cfg;                           /* scratch: the method's settings as they are tried */
    int64_t want, best;                  /* distance of the best setting so far; -1: none yet */
    char rank[16], second[PM_FIELD_STR]; /* the best; "": as the settings have it */
} search;

static bool set(search *s, const char *key, const char *value) {
    return !pm_field_set(s->m->fields, s->cfg, "method.", key, value, NULL);
}

/* Notes the settings as they are if no others came nearer: of equals the first. Returns their count, 0: they cannot be. */
static int64_t note(search *s, const char *rank, const char *second) {
    int64_t n = s->m->n_params(&s->shape->cfg, s->cfg), off = llabs(n - s->want);
    if (n <= 0 || (s->best >= 0 && off >= s->best)) return n;
    s->best = off;
    snprintf(s->rank, sizeof s->rank, "%s", rank);
    snprintf(s->second, sizeof s->second, "%s", second);
    return n;
}

/* Counts grow with the rank; above the model's width a low-rank update is none. */
static void try_ranks(search *s, const char *second) {
    char value[16];
    int64_t n = 0;
    for (int r = 1; r <= s->shape->cfg.C && n < s->want; r++) {
        snprintf(value, sizeof value, "%d", r);
        if (set(s, "rank", value)) n = note(s, value, second);
    }
}

static bool has(const search *s, const char *key) {
    return s->m->fields && pm_field_find(s->m->fields, key);
}

static void try_second(search *s, const char *key, const char *value) {
    if (!set(s, key, value)) return;
    if (has(s, "rank"))
        try_ranks(s, value);
    else
        note(s, "", value);
}

/* n of the model's blocks, evenly spread. */
static void try_layers(search *s, int n) {
    char value[PM_FIELD_STR] = "";
    for (int i = 0; i < n; i++) {
        size_t used = strlen(value);
        snprintf(value + used, sizeof value - used, "%s%d", i ? "," : "",
                 (2 * i + 1) * s->shape->cfg.L / (2 * n));
    }
    try_second(s, "layers", value);
}

/* Every choice of n projections. */
static void try_targets(search *s, int n) {
    for (unsigned mask = 1; mask < 1u << PM_SITE_N_LINEAR; mask++) {
        char value[PM_FIELD_STR] = "";
        int in = 0;
        for (pm_site_kind k = 0; k < PM_SITE_N_LINEAR; k++) {
            if (!(mask >> k & 1)) continue;
            size_t used = strlen(value);
            snprintf(value + used, sizeof value - used, "%s%s", in++ ? "," : "", pm_site_kind_name(k));
        }
        if (in == n) try_second(s, "targets", value);
    }
}

static bool is_near(const search *s) {
    return s->best >= 0 && (double)s->best <= PM_MATCH_NEAR * (double)s->want;
}

/* What makes a method smaller in steps, from all of it (in the model at hand) down. */
typedef struct reducer {
    const char *key;
    void (*attempt)(search *s, int n);
} reducer;
static const reducer reducers[] = {{"layers", try_layers}, {"targets", try_targets}, {NULL, NULL}};

static const reducer *reducer_of(const pm_method *m) {
    const reducer *r = reducers;
    while (r->key && !(m->fields && pm_field_find(m->fields, r->key))) r++;
    return r->key ? r : NULL;
}

/* A plan that chose blocks or projections keeps them. */
static bool is_free(const search *s, const char *key) {
    const pm_field *f = pm_field_find(s->m->fields, key);
    char value[PM_FIELD_STR];
    pm_field_get(f, s->cfg, value, sizeof value);
    return strcmp(value, f->def) == 0;
}

const char *pm_match_key(const pm_method *m) {
    const reducer *r = reducer_of(m);
    if (m->fields && pm_field_find(m->fields, "rank")) return "method.rank";
    return r && strcmp(r->key, "targets") == 0 ? "method.targets" : NULL;
}

static void find(search *s, const reducer *r) {
    bool rank = has(s, "rank");
    if (rank) try_ranks(s, "");
    if (!r || (rank && (is_near(s) || !is_free(s, r->key)))) return;
    int most = strcmp(r->key, "layers") == 0 ? s->shape->cfg.L - 1 : PM_SITE_N_LINEAR;
    for (int n = most; n >= 1 && !(rank && is_near(s)); n--) r->attempt(s, n);
}

static pm_status apply(const char *key, const char *value, pm_config *c, pm_matched *out, pm_err *e) {
    char name[64];
    size_t used = strlen(out->setting);
    if (!*value) return PM_OK;
    snprintf(name, sizeof name, "method.%s", key);
    snprintf(out->setting + used, sizeof out->setting - used, "%s%s=%s", used ? " " : "", name, value);
    return pm_config_set(c, name, value, e);
}

pm_status pm_match(const pm_shape *shape, pm_config *c, int64_t want, pm_matched *out, pm_err *e) {
    search s = {.shape = shape, .m = c->m, .want = want, .best = -1};
    const reducer *r = reducer_of(c->m);
    pm_counts n;
    *out = (pm_matched){0};
    s.cfg = pm_xalloc(c->m->cfg_size + 1);
    if (c->m->cfg_size) memcpy(s.cfg, c->mcfg, c->m->cfg_size);
    find(&s, r);
    free(s.cfg);
    pm_status rc = apply("rank", s.rank, c, out, e);
    if (!rc && r) rc = apply(r->key, s.second, c, out, e);
    if (!rc) rc = pm_counts_of(shape, c, &n, e);
    if (!rc) out->trainable = n.trainable;
    out->near = !rc && (double)llabs(n.trainable - want) <= PM_MATCH_NEAR * (double)want;
    return rc;
}
