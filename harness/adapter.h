/* adapter.h - trained parameters on disk: Hugging Face PEFT's layout, read and written.
 *
 * A directory with adapter_config.json and adapter_model.safetensors (names under base_model.model.). A method that trains the base
 * (full) writes its weights as model.safetensors under their own names instead. LoRA directories are PEFT's own, both ways.
 */
#ifndef PM_ADAPTER_H
#define PM_ADAPTER_H
#include "method.h"

/* Creates dir when needed. Every file is whole or the old one; PM_EIO says why not. mcfg: m's settings. base_model_name may be NULL. */
pm_status pm_adapter_save(const char *dir, const pm_method *m, const void *mcfg, const pm_params *params,
                          const char *base_model_name, pm_err *e);

/* Which method the directory's adapter_config.json describes, and its settings: a block of (*m)->cfg_size bytes that the caller frees.
 * PM_EUNSUPPORTED names the first setting that nothing here honours; PM_EFORMAT a damaged file. */
pm_status pm_adapter_config_read(const char *dir, const pm_method **m, void **mcfg, pm_err *e);

/* Fills params from the directory, by name, whatever the stored float type. PM_EUNSUPPORTED: a pickle (adapter_model.bin). PM_EFORMAT names a missing, extra or mis-shaped tensor, or one
 * that holds a number that is not finite; then no parameter has changed. */
pm_status pm_adapter_load(const char *dir, const pm_params *params, pm_err *e);
#endif
