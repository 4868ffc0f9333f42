/* cmd_adapter.h - what merge-adapter, export and import share: a model, an adapter on it, a directory to write. */
#ifndef PM_CMD_ADAPTER_H
#define PM_CMD_ADAPTER_H
#include "cmd.h"
#include "outdir.h"
#include "session.h"
#include "weights.h"

typedef struct pm_adapter_cmd {
    const char *model, *adapter, *out; /* as given; adapter NULL: none */
    bool force;
    pm_list sets;
    pm_config *c; /* from pm_adapter_cmd_configure on */
    pm_session s; /* from pm_adapter_cmd_open on */
} pm_adapter_cmd;

/* Checks the options and reads the adapter's settings: all that can be refused before the model is loaded. */
pm_status pm_adapter_cmd_configure(pm_adapter_cmd *x, pm_err *e);
/* Loads the model, attaches the adapter's method and reads its tensors; nothing is packed. */
pm_status pm_adapter_cmd_open(pm_adapter_cmd *x, pm_err *e);
void pm_adapter_cmd_close(pm_adapter_cmd *x); /* whatever was reached */

/* --dtype: f32 or bf16. */
pm_status pm_dtype_option(const char *name, pm_dtype *out, pm_err *e);
#endif
