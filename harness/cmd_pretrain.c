/* cmd_pretrain.c - `pretrain`: makes the embedded model, or shows that it is made as its record says. */
#include "cmd.h"
#include "fetch.h"
#include "outdir.h"
#include "pretrain.h"
#include "text.h"
#include <cjson/cJSON.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const char help[] = "usage: peftmeter pretrain --out DIR [options]\n"
                           "       peftmeter pretrain --check DIR [--first N] [options]\n"
                           "\n"
                           "Makes the embedded model: random weights, then the embedded text (task "
                           "tiny_text), with the core that also "
                           "tunes.\n"
                           "DIR becomes a Hugging Face directory; its pretrain.json records settings, seed "
                           "and losses. One thread and one "
                           "seed\n"
                           "give the same bits for one build on one kind of CPU.\n"
                           "\n"
                           "--check repeats the first steps of DIR's record: the start and the text must be "
                           "equal bit for bit on every "
                           "machine,\n"
                           "the losses within 1e-3; it says how many are equal to the bit.\n"
                           "\n"
                           "  --out DIR        where to write; made when it does not exist\n"
                           "  --check DIR      a directory that pretrain wrote\n"
                           "  --first N        how many steps --check repeats; default 20\n"
                           "  --seed N         default 0\n"
                           "  --threads N      default 1\n"
                           "  --set KEY=VALUE  one setting (train.steps, optim.lr, ...), may be repeated\n"
                           "  --force          write into a directory that is not empty\n"
                           "\n"
                           "Examples:\n"
                           "  peftmeter pretrain --out results/tiny\n"
                           "  peftmeter pretrain --check models/tiny\n";

#define LOSS_BOUND 1e-3 /* relative; another BLAS or CPU rounds sums in another order */

typedef struct pretrain_args {
    const char *out, *check, *first, *seed, *threads;
    bool force;
    pm_list sets;
} pretrain_args;

static pm_status apply_options(pm_config *c, const pretrain_args *a, pm_err *e) {
    pm_status rc = PM_OK;
    for (int i = 0; i < a->sets.n && !rc; i++) rc = pm_config_set_pair(c, a->sets.at[i], e);
    if (!rc && a->seed) rc = pm_config_set(c, "seed", a->seed, e);
    if (!rc && a->threads) rc = pm_config_set(c, "threads", a->threads, e);
    return rc ? rc : pm_config_check(c, e);
}

/* ---- making ---- */

static void report_made(const pretrain_args *a, const pm_pretrained *p) {
    double last = p->loss[p->n_done - 1];
    if (pm_global.json) {
        cJSON *j = cJSON_CreateObject();
        cJSON_AddStringToObject(j, "out", a->out);
        cJSON_AddNumberToObject(j, "parameters", (double)p->parameters);
        cJSON_AddNumberToObject(j, "steps", p->n_steps);
        cJSON_AddNumberToObject(j, "tokens", (double)p->tokens);
        cJSON_AddNumberToObject(j, "last_loss", last);
        cJSON_AddStringToObject(j, "start_hash", p->start_hash);
        pm_json_print(j);
    } else if (!pm_global.quiet)
        printf("%s: %lld parameters, %d steps over %lld tokens, last loss %.4f\n", a->out,
               (long long)p->parameters, p->n_steps, (long long)p->tokens, last);
}

static pm_status make(const pretrain_args *a, pm_config *c, pm_err *e) {
    pm_outdir o;
    pm_pretrained p = {0};
    pm_status rc = pm_pretrain_defaults(c, e);
    if (!rc) rc = apply_options(c, a, e);
    if (!rc) rc = pm_outdir_begin(&o, a->out, a->force, e);
    if (rc) return rc;
    rc = pm_pretrain(c, o.stage, 0, &p, e);
    if (!rc) rc = pm_pretrain_record(c, &p, o.stage, e);
    rc = pm_outdir_end(&o, rc, e);
    if (!rc) report_made(a, &p);
    pm_pretrained_free(&p);
    return rc;
}

/* ---- checking ---- */

typedef struct verdict {
    bool same_start, same_data;
    int n, n_equal;
    double worst; /* relative difference of a loss */
} verdict;

static verdict compare(const pm_pretrained *was, const pm_pretrained *is) {
    verdict v = {.same_start = strcmp(was->start_hash, is->start_hash) == 0,
                 .same_data = strcmp(was->data_hash, is->data_hash) == 0,
                 .n = is->n_done};
    for (int i = 0; i < v.n; i++) {
        double d = fabs(is->loss[i] / was->loss[i] - 1);
        v.n_equal += is->loss[i] == was->loss[i];
        if (!(d <= v.worst)) v.worst = d;
    }
    return v;
}

static void report_check(const pretrain_args *a, const verdict *v, const pm_pretrained *is) {
    if (pm_global.json) {
        cJSON *j = cJSON_CreateObject();
        cJSON_AddStringToObject(j, "model", a->check);
        cJSON_AddBoolToObject(j, "same_start", v->same_start);
        cJSON_AddBoolToObject(j, "same_data", v->same_data);
        cJSON_AddNumberToObject(j, "steps", v->n);
        cJSON_AddNumberToObject(j, "equal_losses", v->n_equal);
        cJSON_AddNumberToObject(j, "largest_difference", v->worst);
        cJSON_AddItemToObject(j, "losses", cJSON_CreateDoubleArray(is->loss, is->n_done));
        pm_json_print(j);
    } else if (!pm_global.quiet)
        printf("%s: the start is %s, the text is %s; of %d losses %d equal to the bit, largest difference "
               "%.1e\n",
               a->check, v->same_start ? "equal" : "DIFFERENT", v->same_data ? "equal" : "DIFFERENT", v->n,
               v->n_equal, v->worst);
}

static pm_status judge(const pretrain_args *a, const verdict *v, pm_err *e) {
    if (v->same_start && v->same_data && v->worst <= LOSS_BOUND) return PM_OK;
    pm_fail(e, PM_ECHECK, "%s: this build does not make the model that its record describes", a->check);
    return pm_hint(
        e, "the world (harness/world.c) or the start changed: pretrain anew, and raise the tasks' version");
}

/* The start is written to disk like any model; nothing of it is kept. */
static pm_status repeat(const pm_config *c, int first, pm_pretrained *is, pm_err *e) {
    char dir[1024];
    pm_outdir o;
    const char *tmp = getenv("TMPDIR");
    snprintf(dir, sizeof dir, "%.900s/peftmeter-pretrain.%ld", tmp && *tmp ? tmp : P_tmpdir, (long)getpid());
    pm_status rc = pm_outdir_begin(&o, dir, false, e);
    if (rc) return rc;
    rc = pm_pretrain(c, o.stage, first, is, e);
    pm_outdir_end(&o, PM_ECANCELLED, NULL);
    return rc;
}

static pm_status check(const pretrain_args *a, pm_config *c, pm_err *e) {
    pm_pretrained was = {0}, is = {0};
    char *end = NULL;
    long first = a->first ? strtol(a->first, &end, 10) : 20;
    pm_status rc = pm_pretrain_recall(a->check, c, &was, e);
    if (!rc) rc = apply_options(c, a, e);
    if (!rc && ((end && *end) || first < 1 || first > was.n_done)) {
        rc = pm_fail(e, PM_EUSAGE, "--first %s: not a number of steps", a->first ? a->first : "20");
        pm_hint(e, "the record has the first %d", was.n_done);
    }
    if (!rc) rc = repeat(c, (int)first, &is, e);
    if (!rc) {
        verdict v = compare(&was, &is);
        report_check(a, &v, &is);
        rc = judge(a, &v, e);
    }
    pm_pretrained_free(&was);
    pm_pretrained_free(&is);
    return rc;
}

static pm_status run(int argc, char **argv, pm_err *e) {
    pretrain_args a = {0};
    const pm_opt opts[] = {{"--out", &a.out, NULL, NULL},         {"--check", &a.check, NULL, NULL},
                           {"--first", &a.first, NULL, NULL},     {"--seed", &a.seed, NULL, NULL},
                           {"--threads", &a.threads, NULL, NULL}, {"--set", NULL, NULL, &a.sets},
                           {"--force", NULL, &a.force, NULL},     {0}};
    pm_status rc = pm_opts_parse(opts, &argc, argv, e);
    if (!rc) rc = pm_args_check(argc, argv, 0, 0, e);
    if (!rc && a.check && a.out) {
        rc = pm_fail(e, PM_EUSAGE, "--check and --out exclude each other");
        pm_hint(e, "--check DIR writes nothing");
    }
    if (rc) return rc;
    pm_config *c = pm_config_new();
    rc = a.check ? check(&a, c, e) : make(&a, c, e);
    pm_config_free(c);
    return rc;
}

const pm_command pm_cmd_pretrain = {
    "pretrain", "makes the embedded model from the embedded text, or checks how it was made", help, run, NULL,
    false};
