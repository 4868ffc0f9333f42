/* sweep_match.c - settings with which a method trains a wanted number of parameters: the rank where there is one, else which projections.
 * Counts are the methods' closed forms, tried one by one: there are a few thousand ranks and 127 sets of projections.
 */
#include "sweep.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct search {
    const pm_shape *shape;
    pm_config *c;
    int64_t want, best; /* distance of the best setting so far; -1: none yet */
    char value[PM_FIELD_STR];
} search;

static void try_setting(search *s, const char *key, const char *value) {
    if (pm_field_set(s->c->m->fields, s->c->mcfg, "method.", key, value, NULL)) return;
    int64_t n = s->c->m->n_params(&s->shape->cfg, s->c->mcfg), off = llabs(n - s->want);
    if (n <= 0 || (s->best >= 0 && off >= s->best)) return; /* of equals the first: the smaller */
    s->best = off;
    snprintf(s->value, sizeof s->value, "%s", value);
}

/* Above the model's width a low-rank update is none. */
static void try_ranks(search *s) {
    char value[16];
    for (int r = 1; r <= s->shape->cfg.C; r++) {
        snprintf(value, sizeof value, "%d", r);
        try_setting(s, "rank", value);
    }
}

static void try_targets(search *s) {
    for (int few = 1; few <= PM_SITE_N_LINEAR; few++)
        for (unsigned mask = 1; mask < 1u << PM_SITE_N_LINEAR; mask++) {
            char value[PM_FIELD_STR] = "";
            int n = 0;
            for (pm_site_kind k = 0; k < PM_SITE_N_LINEAR; k++) {
                if (!(mask >> k & 1)) continue;
                size_t used = strlen(value);
                snprintf(value + used, sizeof value - used, "%s%s", n++ ? "," : "", pm_site_kind_name(k));
            }
            if (n == few) try_setting(s, "targets", value);
        }
}

const char *pm_match_key(const pm_method *m) {
    if (m->fields && pm_field_find(m->fields, "rank")) return "method.rank";
    if (m->fields && pm_field_find(m->fields, "targets")) return "method.targets";
    return NULL;
}

pm_status pm_match(const pm_shape *shape, pm_config *c, int64_t want, pm_matched *out, pm_err *e) {
    search s = {.shape = shape, .c = c, .want = want, .best = -1};
    const char *key = pm_match_key(c->m);
    pm_counts n;
    *out = (pm_matched){0};
    if (key && strcmp(key, "method.rank") == 0)
        try_ranks(&s);
    else if (key)
        try_targets(&s);
    pm_status rc = s.best >= 0 ? pm_config_set(c, key, s.value, e) : PM_OK;
    if (!rc && s.best >= 0) snprintf(out->setting, sizeof out->setting, "%s=%s", key, s.value);
    if (!rc) rc = pm_counts_of(shape, c, &n, e);
    if (!rc) out->trainable = n.trainable;
    return rc;
}
