/* fresh.h - a new model, before its first step: random weights and a tokenizer of whole words, as a Hugging Face directory. */
#ifndef PM_FRESH_H
#define PM_FRESH_H
#include "model.h"

/* Writes to dir, which exists, a model of these dimensions (cfg->V is set here) for these words. Weights are uniform and depend on the
 * seed and each tensor's name alone, without a function whose last bit a C library may choose: the same bits on every machine. */
pm_status pm_fresh_model(pm_model_cfg *cfg, char *const *word, int n_words, uint64_t seed, const char *dir,
                         pm_err *e);
#endif
