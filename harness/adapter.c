/* adapter.c - adapter tensors in PEFT's layout (adapter.h). The settings beside them: adapter_config.c. */
#include "adapter.h"
#include "adapter_config.h"
#include "bytes.h"
#include "fetch.h"
#include "weights.h"
#include <math.h>
#include <stdlib.h>
#include <unistd.h>

/* The two layouts; the first whose file exists is what a directory holds. */
static const struct layout {
    const char *file, *prefix;
} ADAPTER = {PM_ADAPTER_TENSORS, "base_model.model."}, WEIGHTS = {"model.safetensors", ""};

static pm_status join(char *out, size_t cap, const char *dir, const char *file, pm_err *e) {
    if (snprintf(out, cap, "%s/%s", dir, file) < (int)cap) return PM_OK;
    pm_fail(e, PM_EIO, "%.200s...: the path is too long", dir);
    return pm_hint(e, "choose a shorter path for the adapter");
}

/* ---- save ---- */

static pm_status save_tensors(const char *path, const char *prefix, const pm_params *params, pm_err *e) {
    static const char *const metadata[] = {"format", "pt", NULL}; /* transformers insists on it */
    size_t n = (size_t)params->n;
    pm_save_tensor *t = pm_xcalloc(n, sizeof *t);
    char(*name)[256] = pm_xcalloc(n, sizeof *name);
    for (size_t i = 0; i < n; i++) {
        const pm_param *p = params->p[i];
        snprintf(name[i], sizeof name[i], "%s%s", prefix, p->name);
        t[i] = (pm_save_tensor){name[i], p->vector ? p->cols : p->rows, p->vector ? 0 : p->cols,
                                pm_param_stored(p)};
    }
    pm_status s = pm_safetensors_save(path, t, params->n, metadata, e);
    free(name);
    free(t);
    return s;
}

static pm_status save_config(const char *path, const pm_method *m, const void *mcfg, const char *base,
                             pm_err *e) {
    char *text = pm_adapter_config_text(m, mcfg, base);
    pm_status s = pm_atomic_text(path, text, e);
    free(text);
    return s;
}

pm_status pm_adapter_save(const char *dir, const pm_method *m, const void *mcfg, const pm_params *params,
                          const char *base_model_name, pm_err *e) {
    const struct layout *l = m->flags & PM_TRAINS_BASE ? &WEIGHTS : &ADAPTER;
    char tensors[4096], config[4096];
    pm_status s = join(tensors, sizeof tensors, dir, l->file, e);
    if (!s) s = join(config, sizeof config, dir, PM_ADAPTER_CONFIG, e);
    if (!s) s = pm_mkdirs(dir, e);
    if (!s) s = save_tensors(tensors, l->prefix, params, e);
    return s ? s : save_config(config, m, mcfg, base_model_name, e);
}

/* ---- load ---- */

/* A pickle is a program that runs when it is read. */
static pm_status refuse_pickle(const char *path, pm_err *e) {
    pm_fail(e, PM_EUNSUPPORTED, "%.300s: a pickle, not safetensors", path);
    return pm_hint(e, "if you trust it: python3 -c \"import torch, safetensors.torch as s; "
                      "s.save_file(torch.load('adapter_model.bin', weights_only=True), "
                      "'" PM_ADAPTER_TENSORS "')\"");
}

static pm_status open_dir(const char *dir, pm_safetensors **st, const struct layout **l, pm_err *e) {
    char path[4096], weights[4096], pickle[4096];
    pm_status s = join(path, sizeof path, dir, ADAPTER.file, e);
    if (!s) s = join(weights, sizeof weights, dir, WEIGHTS.file, e);
    if (!s) s = join(pickle, sizeof pickle, dir, "adapter_model.bin", e);
    if (s) return s;
    if (access(path, F_OK) && !access(pickle, F_OK)) return refuse_pickle(pickle, e);
    *l = access(path, F_OK) && !access(weights, F_OK) ? &WEIGHTS : &ADAPTER;
    s = pm_safetensors_open(*l == &WEIGHTS ? weights : path, st, e);
    if (s == PM_EIO)
        pm_hint(e, "an adapter is a directory with adapter_config.json and adapter_model.safetensors");
    return s;
}

static bool all_finite(const real *x, int64_t n) {
    for (int64_t i = 0; i < n; i++)
        if (!isfinite(x[i])) return false;
    return true;
}

/* Up to what rounding to bf16 does to them. */
static bool has_orthonormal_rows(const real *x, int64_t rows, int64_t cols) {
    for (int64_t i = 0; i < rows; i++)
        for (int64_t j = 0; j <= i; j++) {
            double dot = 0;
            for (int64_t c = 0; c < cols; c++) dot += (double)x[i * cols + c] * (double)x[j * cols + c];
            if (!(fabs(dot - (i == j)) < 1e-2)) return false;
        }
    return true;
}

static pm_status not_orthonormal(const char *dir, const char *name, pm_err *e) {
    pm_fail(e, PM_EFORMAT, "%.200s: tensor %s: its rows are not orthonormal", dir, name);
    return pm_hint(e, "it was changed, or is another parametrisation's variable: save the rotation itself");
}

static pm_status not_this_adapter(pm_err *e) {
    return pm_hint(e, "the adapter was made for another model or with other settings");
}

/* The tensor of p, checked; its numbers are converted into buf. */
static pm_status read_param(const char *dir, const pm_safetensors *st, const char *prefix, const pm_param *p,
                            real *buf, pm_err *e) {
    char name[300], shape[PM_SHAPE_TEXT];
    snprintf(name, sizeof name, "%s%s", prefix, p->name);
    const pm_tensor_info *t = pm_safetensors_find(st, name);
    if (!t) {
        pm_fail(e, PM_EFORMAT, "%.200s: tensor %s is missing", dir, name);
        return not_this_adapter(e);
    }
    if (!pm_tensor_info_fits(t, p->rows, p->cols) || !pm_dtype_is_float(t->dtype)) {
        pm_tensor_info_shape(t, shape);
        pm_fail(e, PM_EFORMAT, "%.200s: tensor %s: %s %s, needed [%lld,%lld]", dir, name,
                pm_dtype_name(t->dtype), shape, (long long)p->rows, (long long)p->cols);
        return not_this_adapter(e);
    }
    int64_t n = p->rows * p->cols;
    pm_dtype_to_real(t->dtype, t->data, n, buf);
    if (!all_finite(buf, n)) return pm_damaged(e, dir, "tensor %s: holds a number that is not finite", name);
    bool fits = !p->orthonormal || has_orthonormal_rows(buf, p->rows, p->cols);
    return fits ? PM_OK : not_orthonormal(dir, name, e);
}

static bool is_param(const pm_params *params, const char *name) {
    for (int i = 0; i < params->n; i++)
        if (!strcmp(params->p[i]->name, name)) return true;
    return false;
}

/* Every tensor of the file is one of params. */
static pm_status refuse_extra(const char *dir, const pm_safetensors *st, const char *prefix,
                              const pm_params *params, pm_err *e) {
    size_t skip = strlen(prefix);
    for (int i = 0; i < pm_safetensors_count(st); i++) {
        const char *name = pm_safetensors_at(st, i)->name;
        if (!strncmp(name, prefix, skip) && is_param(params, name + skip)) continue;
        pm_fail(e, PM_EFORMAT, "%.200s: tensor %s: the method has no parameter for it", dir, name);
        return not_this_adapter(e);
    }
    return PM_OK;
}

pm_status pm_adapter_load(const char *dir, const pm_params *params, pm_err *e) {
    pm_safetensors *st;
    const struct layout *l;
    pm_status s = open_dir(dir, &st, &l, e);
    if (s) return s;
    real *all = pm_xcalloc((size_t)pm_params_count(params), sizeof *all), *at = all;
    for (int i = 0; !s && i < params->n; at += params->p[i]->rows * params->p[i]->cols, i++)
        s = read_param(dir, st, l->prefix, params->p[i], at, e);
    if (!s) s = refuse_extra(dir, st, l->prefix, params, e);
    at = all;
    for (int i = 0; !s && i < params->n; i++) {
        int64_t n = params->p[i]->rows * params->p[i]->cols;
        memcpy(pm_param_stored(params->p[i]), at, (size_t)n * sizeof *at);
        at += n;
    }
    free(all);
    pm_safetensors_close(st);
    return s;
}
