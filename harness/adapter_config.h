/* adapter_config.h - adapter_config.json, written and read: private to adapter.c and adapter_config.c. */
#ifndef PM_ADAPTER_CONFIG_H
#define PM_ADAPTER_CONFIG_H
#include "method.h"

#define PM_ADAPTER_CONFIG "adapter_config.json"
#define PM_ADAPTER_TENSORS "adapter_model.safetensors"

/* The file's text; the caller frees. base_model_name may be NULL. */
char *pm_adapter_config_text(const pm_method *m, const void *mcfg, const char *base_model_name);
#endif
