/* session.c - opening, attaching, packing; one forward pass. */
#include "session.h"
#include "adapter.h"
#include "cmd.h"
#include "commons.h"
#include "keep.h"
#include "progress.h"
#include <stdlib.h>
#include <string.h>

/* What is computed once for a model, and found again later, may take minutes: a bar, and a way out. */
static bool show_progress(void *ctx, int done, int total) {
    pm_progress *bar = ctx;
    if (!bar->what) pm_progress_begin(bar, "preparing (kept for later runs)", total, "weight");
    pm_progress_update(bar, done, NULL);
    return !pm_interrupted;
}

static pm_status attach(const pm_config *c, pm_session *s, pm_err *e) {
    s->run = (pm_run){.arena = s->life, .model = s->model, .seed = (uint64_t)c->seed};
    pm_params_init(&s->run.params, s->life);
    if (!c->m) return PM_OK;
    s->method = c->m;
    s->run.claims = c->m->flags;
    s->run.cache = s->cache;
    s->run.progress = show_progress;
    s->state = pm_arena_zalloc(s->life, c->m->state_size + 1, PM_MEM_WORKSPACE);
    pm_progress bar = {0};
    s->run.progress_ctx = &bar;
    pm_status rc = c->m->attach(&s->run, c->mcfg, s->state, e);
    s->run.progress = NULL;
    s->prepared = bar.what != NULL;
    if (bar.what) pm_progress_end(&bar);
    if (rc) return rc;
    s->hooks = (pm_hooks){c->m->linear, c->m->hidden, c->m->kv, s->state};
    s->tape.hooks = &s->hooks;
    return PM_OK;
}

pm_status pm_backend_start(const pm_config *c, pm_err *e) {
    char name[PM_FIELD_STR];
    pm_field_get(pm_field_find(pm_config_fields, "backend"), c, name, sizeof name);
    return pm_gemm_init(name, pm_config_threads(c), e);
}

static pm_status open_all(const pm_config *c, const char *model_path, const char *adapter_dir, pm_session *s,
                          pm_err *e) {
    pm_status rc = pm_backend_start(c, e);
    if (!rc) rc = pm_model_load_kept(model_path, s->base, s->cache, &s->loaded, e);
    if (rc) return rc;
    s->model = s->loaded.model;
    s->tok = s->loaded.tok;
    rc = attach(c, s, e);
    return !rc && adapter_dir ? pm_adapter_load(adapter_dir, &s->run.params, e) : rc;
}

pm_status pm_config_from_adapter(pm_config *c, const char *dir, pm_err *e) {
    const pm_method *m;
    void *mcfg;
    pm_status rc = pm_adapter_config_read(dir, &m, &mcfg, e);
    if (rc) return rc;
    rc = pm_config_set(c, "method", m->name, e);
    if (!rc) memcpy(c->mcfg, mcfg, m->cfg_size);
    free(mcfg);
    return rc;
}

pm_status pm_session_load(const pm_config *c, const char *model_path, const char *adapter_dir, pm_session *s,
                          pm_err *e) {
    memset(s, 0, sizeof *s);
    s->base = pm_arena_new("base", 0);
    pm_arena_use_common(s->base, pm_commons_joined());
    s->life = pm_arena_new("run", 0);
    s->step = pm_arena_new("step", 0);
    s->cache = pm_keep_open();
    pm_tape_init(&s->tape, s->step);
    s->tape.seed = (uint64_t)c->seed;
    pm_status rc = open_all(c, model_path, adapter_dir, s, e);
    if (rc) pm_session_close(s);
    return rc;
}

pm_status pm_session_open(const pm_config *c, const char *model_path, const char *adapter_dir, pm_session *s,
                          pm_err *e) {
    pm_status rc = pm_session_load(c, model_path, adapter_dir, s, e);
    if (!rc) pm_model_pack(s->model, s->base, (pm_precision)c->precision);
    return rc;
}

void pm_session_close(pm_session *s) {
    pm_batch_free(&s->batch);
    pm_model_close(&s->loaded);
    pm_arena_free(s->step);
    pm_arena_free(s->life);
    pm_arena_free(s->base);
    pm_keep_close(s->cache);
    memset(s, 0, sizeof *s);
}

pm_tensor *pm_session_forward(pm_session *s, pm_batch *b, bool record, bool train) {
    pm_tape_reset(&s->tape);
    s->tape.record = record;
    s->tape.train = train;
    s->tape.seqs = pm_batch_view(b);
    pm_tensor *h = pm_llama_forward(&s->tape, s->model, b->ids);
    pm_tensor *scored = pm_rows(&s->tape, h, b->row, b->n_scored);
    pm_drop(&s->tape, h);
    return scored;
}
