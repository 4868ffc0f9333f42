/* model.h - from a name, a Hugging Face directory or a GGUF file to a model ready to train, with its tokenizer. */
#ifndef PM_MODEL_H
#define PM_MODEL_H
#include "cache.h"
#include "net.h"
#include "tokenizer.h"

typedef struct pm_loaded {
    pm_model *model;    /* lives in the base arena */
    pm_tokenizer *tok;  /* NULL when the directory has none (allowed: token tasks need none) */
    char path[1024];    /* what was opened */
    pm_safetensors *st; /* kept open: F32 weights point into the mapping */
    pm_gguf *gguf;
    int64_t
        mapped_bytes; /* of weights used where a file is mapped: not in the arena's count, and shared with other processes */
} pm_loaded;

/* path: directory or .gguf file (names are resolved by the harness before). Every frozen weight is bound and hashed; not yet packed. */
pm_status pm_model_load(const char *path, pm_arena *base, pm_loaded *out, pm_err *e);
/* The same; weights that must be converted are taken from the cache when they are there, and left in it: processes beside each other then
 * have them in memory once. The cache outlives the model; NULL: none. */
pm_status pm_model_load_kept(const char *path, pm_arena *base, pm_cache *cache, pm_loaded *out, pm_err *e);
void pm_model_close(pm_loaded *l);
/* Writes the model with the weights it has now to dir, which exists, as a Hugging Face directory that transformers and pm_model_load open:
 * config.json, model.safetensors (type: PM_F32 or PM_BFLOAT16), the tokenizer's files (copied, or built from the GGUF). Every file is whole
 * or not there. A model that nothing was opened for (path "") is saved without a tokenizer. PM_EUNSUPPORTED for what these files cannot say, PM_EIO. */
pm_status pm_model_save(const pm_loaded *l, pm_dtype type, const char *dir, pm_err *e);
bool pm_model_dtype(const char *name, pm_dtype *out); /* "f32", "bf16"; false: another name */
/* Only the dimensions: config.json or GGUF metadata. */
pm_status pm_model_cfg_from_json(const char *json, size_t n_bytes, const char *what, pm_model_cfg *cfg,
                                 pm_err *e);
pm_status pm_model_cfg_from_gguf(const pm_gguf *g, pm_model_cfg *cfg, pm_err *e);
/* From a Hugging Face directory, its config.json or a GGUF file; no weight is read. */
pm_status pm_model_cfg_read(const char *path, pm_model_cfg *cfg, pm_err *e);

/* presets.c: published models by their dimensions alone, for counting. A table; it ends with a row whose name is NULL. */
typedef struct pm_preset {
    const char *name;
    pm_model_cfg cfg; /* what decides counts: no rotation, no norm's epsilon */
    int64_t total;    /* parameters where they are not the LLaMA family's closed form; else 0 */
} pm_preset;
extern const pm_preset pm_presets[];
const pm_preset *pm_preset_find(const char *name); /* NULL when unknown */
#endif
