/* session.h - a model with a method on it, ready to train, score or generate: what run, eval and generate
 * share. */
#ifndef PM_SESSION_H
#define PM_SESSION_H
#include "batch.h"
#include "config.h"
#include "model.h"

typedef struct pm_session {
    pm_cache *cache;              /* of what runs share; NULL: none */
    pm_arena *base, *life, *step; /* weights | adapter, gradients, moments | tape */
    pm_loaded loaded;
    pm_model *model;         /* = loaded.model */
    pm_tokenizer *tok;       /* = loaded.tok; NULL: none */
    const pm_method *method; /* NULL: the untuned model */
    void *state;             /* the method's */
    pm_run run;
    pm_hooks hooks;
    pm_tape tape;
    bool prepared;  /* attaching computed something that later runs will find */
    pm_batch batch; /* scratch for whoever runs a forward pass */
} pm_session;

/* Starts the GEMM backend, joins what processes have in common (commons.h), loads the model at model_path (already resolved), attaches c's method (c->m NULL:
 * none), reads adapter_dir when not NULL, and packs what stays frozen. On failure nothing is left open. */
pm_status pm_session_open(const pm_config *c, const char *model_path, const char *adapter_dir, pm_session *s,
                          pm_err *e);
/* The same without packing, which would hold every weight twice: for commands that read and write weights and compute little. */
pm_status pm_session_load(const pm_config *c, const char *model_path, const char *adapter_dir, pm_session *s,
                          pm_err *e);
/* The GEMM backend and the threads c asks for, checked (gemm.h). pm_session_open does it too. */
pm_status pm_backend_start(const pm_config *c, pm_err *e);
/* Sets c's method and its settings from a PEFT directory. */
pm_status pm_config_from_adapter(pm_config *c, const char *dir, pm_err *e);
void pm_session_close(pm_session *s); /* a zeroed session is fine */

/* Runs the batch forward; hidden states of the scored rows. record: for training. -> [n_scored, C] on the
 * session's tape (reset first). */
pm_tensor *pm_session_forward(pm_session *s, pm_batch *b, bool record, bool train);
#endif
