/* cmd_adapter.c - a model, an adapter on it, a directory to write (cmd_adapter.h). */
#include "cmd_adapter.h"
#include <stdio.h>

pm_status pm_dtype_option(const char *name, pm_dtype *out, pm_err *e) {
    if (pm_model_dtype(name, out)) return PM_OK;
    pm_fail(e, PM_EUSAGE, "--dtype: '%.64s' is not a number type", name);
    return pm_hint(e, "f32 or bf16");
}

pm_status pm_adapter_cmd_configure(pm_adapter_cmd *x, pm_err *e) {
    if (!x->model) {
        pm_fail(e, PM_EUSAGE, "model: not given");
        return pm_hint(e, "--model NAME; `peftmeter models` lists them");
    }
    pm_status rc = pm_outdir_check(x->out, x->force, e);
    if (rc) return rc;
    x->c = pm_config_new();
    rc = pm_config_set(x->c, "model", x->model, e);
    if (!rc && x->adapter) rc = pm_config_from_adapter(x->c, x->adapter, e);
    for (int i = 0; i < x->sets.n && !rc; i++) rc = pm_config_set_pair(x->c, x->sets.at[i], e);
    return rc;
}

pm_status pm_adapter_cmd_open(pm_adapter_cmd *x, pm_err *e) {
    char path[1024];
    pm_status rc = pm_model_resolve(x->c->model, path, sizeof path, e);
    if (!rc) rc = pm_session_load(x->c, path, x->adapter, &x->s, e);
    if (!rc && x->s.run.note && !pm_global.quiet) fprintf(stderr, "note: %s\n", x->s.run.note);
    return rc;
}

void pm_adapter_cmd_close(pm_adapter_cmd *x) {
    pm_session_close(&x->s);
    pm_config_free(x->c);
}
