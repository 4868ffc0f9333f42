/* pretrain.c - makes the embedded model (pretrain.h).
 *
 * The start and the text are integer and division-free arithmetic: equal bits everywhere. A step is sums of products whose order a BLAS
 * chooses for its machine: equal bits for one build on one kind of CPU, close elsewhere. Hence two kinds of comparison, by hash and by loss.
 */
#include "pretrain.h"
#include "bytes.h"
#include "cmd.h"
#include "fresh.h"
#include "host.h"
#include "jsonio.h"
#include "progress.h"
#include "session.h"
#include "train.h"
#include "world.h"
#include <stdlib.h>
#include <string.h>

enum { HEAD = 100, EVERY = 100 }; /* losses that the record keeps: the first ones, then means */

static const pm_model_cfg TINY = {.arch = "llama",
                                  .C = 128,
                                  .F = 384,
                                  .L = 4,
                                  .H = 4,
                                  .n_kv = 2,
                                  .D = 32,
                                  .max_pos = 512,
                                  .norm_eps = (real)1e-5,
                                  .tied = true,
                                  .rope = {.theta = 1e4}};

pm_status pm_pretrain_defaults(pm_config *c, pm_err *e) {
    static const char *const SETTINGS[] = {"model=tiny",
                                           "task=tiny_text",
                                           "method=full",
                                           "threads=1",
                                           "train.steps=2000",
                                           "train.batch=16",
                                           "train.max_len=64",
                                           "train.loss_on=all",
                                           "optim.lr=0.004",
                                           "optim.schedule=cosine",
                                           "optim.warmup_frac=0.03",
                                           "optim.beta2=0.98",
                                           "optim.weight_decay=0.01",
                                           "eval.split=none"};
    pm_status rc = PM_OK;
    for (size_t i = 0; i < sizeof SETTINGS / sizeof *SETTINGS && !rc; i++)
        rc = pm_config_set_pair(c, SETTINGS[i], e);
    return rc;
}

void pm_pretrained_free(pm_pretrained *p) {
    free(p->loss);
    *p = (pm_pretrained){0};
}

/* ---- training ---- */

typedef struct job {
    pm_pretrained *out;
    int first;
    pm_progress bar;
} job;

/* The end of a partial training: not an error, so the message is nobody's. */
static bool is_enough(const job *j) {
    return j->first && j->out->n_done >= j->first;
}

static pm_status on_step(void *ctx, const pm_step *st, pm_err *e) {
    job *j = ctx;
    j->out->loss[j->out->n_done++] = st->loss;
    j->out->tokens += st->tokens;
    pm_progress_update(&j->bar, st->step + 1, "loss %.4f, %.0f tokens/s", st->loss,
                       (double)st->tokens / st->wall_s);
    if (pm_interrupted)
        return pm_fail(e, PM_ECANCELLED, "interrupted after step %d of %d", st->step + 1, j->out->n_steps);
    return is_enough(j) ? PM_ECANCELLED : PM_OK;
}

static pm_status train(pm_session *s, const pm_config *c, const pm_split *data, job *j, pm_err *e) {
    pm_plan plan;
    pm_status rc = pm_plan_make(c, data->n, &plan, e);
    if (rc) return rc;
    j->out->n_steps = plan.n_steps;
    j->out->loss = pm_xalloc((size_t)plan.n_steps * sizeof *j->out->loss);
    pm_progress_begin(&j->bar, "pretrain", j->first ? j->first : plan.n_steps, "step");
    rc = pm_train(s, c, data, &plan, on_step, j, e);
    pm_progress_end(&j->bar);
    pm_plan_free(&plan);
    return rc == PM_ECANCELLED && is_enough(j) && !pm_interrupted ? PM_OK : rc;
}

static pm_status load_text(const pm_config *c, const pm_session *s, pm_split *out, pm_err *e) {
    pm_task *t;
    pm_task_opts o = {.max_len = c->train.max_len, .loss_on_all = true};
    pm_status rc = pm_task_open(c->task, &t, e);
    if (rc) return rc;
    rc = pm_task_load(t, "train", s->tok, &o, out, e);
    pm_task_close(t);
    return rc;
}

static pm_status make_fresh(const pm_config *c, const char *dir, pm_err *e) {
    pm_model_cfg cfg = TINY;
    int n;
    char **word = pm_world_words(&n);
    pm_status rc = pm_fresh_model(&cfg, word, n, (uint64_t)c->seed, dir, e);
    pm_world_words_free(word, n);
    return rc;
}

pm_status pm_pretrain(const pm_config *c, const char *dir, int first, pm_pretrained *out, pm_err *e) {
    pm_session s = {0};
    pm_split data = {0};
    job j = {.out = out, .first = first};
    *out = (pm_pretrained){0};
    pm_status rc = make_fresh(c, dir, e);
    if (!rc) rc = pm_session_open(c, dir, NULL, &s, e);
    if (rc) return rc;
    snprintf(out->start_hash, sizeof out->start_hash, "%s", s.model->hash);
    out->parameters = pm_model_count(s.model);
    rc = load_text(c, &s, &data, e);
    snprintf(out->data_hash, sizeof out->data_hash, "%s", data.hash);
    if (!rc) rc = train(&s, c, &data, &j, e);
    if (!rc && !first) rc = pm_model_save(&s.loaded, PM_F32, dir, e);
    pm_split_free(&data);
    pm_session_close(&s);
    return rc;
}

/* ---- the record ---- */

static cJSON *numbers(const double *x, int n) {
    cJSON *list = cJSON_CreateArray();
    for (int i = 0; i < n; i++) {
        char text[40];
        snprintf(text, sizeof text, "%.17g", x[i]);
        cJSON_AddItemToArray(list, cJSON_CreateRaw(text));
    }
    return list;
}

static double mean(const double *x, int n) {
    double sum = 0;
    for (int i = 0; i < n; i++) sum += x[i];
    return sum / n;
}

/* Means of every EVERY steps. */
static cJSON *curve(const pm_pretrained *p) {
    cJSON *list = cJSON_CreateArray();
    for (int at = 0; at < p->n_done; at += EVERY) {
        char text[40];
        int n = p->n_done - at < EVERY ? p->n_done - at : EVERY;
        snprintf(text, sizeof text, "%.4f", mean(p->loss + at, n));
        cJSON_AddItemToArray(list, cJSON_CreateRaw(text));
    }
    return list;
}

/* Where the bits of the steps come from. */
static cJSON *made_on(void) {
    pm_host h;
    pm_host_get(&h);
    cJSON *j = cJSON_CreateObject();
    cJSON_AddStringToObject(j, "cpu", h.cpu);
    cJSON_AddStringToObject(j, "isa", h.isa);
    cJSON_AddStringToObject(j, "backend", pm_gemm_backend());
    cJSON_AddStringToObject(j, "compiler", pm_compiler);
    cJSON_AddStringToObject(j, "flags", pm_cflags);
    return j;
}

static cJSON *record(const pm_config *c, const pm_pretrained *p) {
    cJSON *j = cJSON_CreateObject();
    char command[256];
    snprintf(command, sizeof command, "peftmeter pretrain --seed %d --threads %d --out models/tiny", c->seed,
             c->threads);
    int last = p->n_done < EVERY ? p->n_done : EVERY;
    cJSON_AddStringToObject(j, "command", command);
    cJSON_AddItemToObject(j, "settings", pm_config_object(c));
    cJSON_AddNumberToObject(j, "parameters", (double)p->parameters);
    cJSON_AddNumberToObject(j, "steps", p->n_steps);
    cJSON_AddNumberToObject(j, "tokens", (double)p->tokens);
    cJSON_AddStringToObject(j, "start_hash", p->start_hash);
    cJSON_AddStringToObject(j, "data_hash", p->data_hash);
    cJSON_AddNumberToObject(j, "final_loss",
                            mean(p->loss + p->n_done - last, last)); /* of the last 100 steps */
    cJSON_AddItemToObject(j, "first_losses", numbers(p->loss, p->n_done < HEAD ? p->n_done : HEAD));
    cJSON_AddItemToObject(j, "mean_loss_by_100_steps", curve(p));
    cJSON_AddItemToObject(j, "made_on", made_on());
    return j;
}

pm_status pm_pretrain_record(const pm_config *c, const pm_pretrained *p, const char *dir, pm_err *e) {
    char path[4096];
    pm_status rc = pm_path_join(path, sizeof path, dir, "pretrain.json", e);
    return rc ? rc : pm_atomic_json(path, record(c, p), true, e);
}

pm_status pm_pretrain_recall(const char *dir, pm_config *c, pm_pretrained *p, pm_err *e) {
    char path[4096];
    cJSON *j;
    *p = (pm_pretrained){0};
    pm_status rc = pm_path_join(path, sizeof path, dir, "pretrain.json", e);
    if (!rc) rc = pm_json_read(path, &j, e);
    if (rc) return rc;
    const cJSON *losses = cJSON_GetObjectItemCaseSensitive(j, "first_losses");
    snprintf(p->start_hash, sizeof p->start_hash, "%s", pm_json_str(j, "start_hash", ""));
    snprintf(p->data_hash, sizeof p->data_hash, "%s", pm_json_str(j, "data_hash", ""));
    p->n_steps = pm_json_int(j, "steps", 0);
    p->n_done = cJSON_GetArraySize(losses);
    p->loss = pm_xalloc((size_t)(p->n_done + 1) * sizeof *p->loss);
    int i = 0;
    for (const cJSON *x = losses ? losses->child : NULL; x; x = x->next) p->loss[i++] = x->valuedouble;
    const cJSON *settings = cJSON_GetObjectItemCaseSensitive(j, "settings");
    if (!p->n_done || !cJSON_IsObject(settings))
        rc = pm_fail(e, PM_EFORMAT, "%s: no \"%s\"", path, p->n_done ? "settings" : "first_losses");
    if (!rc) rc = pm_config_apply(c, settings, e);
    cJSON_Delete(j);
    if (rc) pm_pretrained_free(p);
    return rc;
}
