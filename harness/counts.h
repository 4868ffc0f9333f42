/* counts.h - how many numbers a method trains in a model of given dimensions: from the methods' closed forms, without a weight. */
#ifndef PM_COUNTS_H
#define PM_COUNTS_H
#include "config.h"

/* A model as far as counting goes. */
typedef struct pm_shape {
    pm_model_cfg cfg;
    int64_t base; /* all its parameters, tied ones once */
} pm_shape;
/* `name`: a preset (models/presets.c), a Hugging Face directory or its config.json, a .gguf file, or a name of the catalogue that is
 * fetched. PM_EUSAGE with the nearest preset. */
pm_status pm_shape_open(const char *name, pm_shape *s, pm_err *e);

/* Papers divide by one or the other: ReFT and WeGeFT by the base, LoRA and DoRA by base + adapter. */
typedef struct pm_counts {
    int64_t trainable, total; /* total: base + adapter; the base alone where base weights are trained */
    double percent_of_base, percent_of_total;
} pm_counts;
/* c's method with c's settings. PM_EUSAGE: targets that are none, or nothing to train in this model. */
pm_status pm_counts_of(const pm_shape *s, const pm_config *c, pm_counts *out, pm_err *e);
/* The same by projection, for a method with method.targets: what each adds. False: the method has none. */
bool pm_counts_by_kind(const pm_shape *s, const pm_config *c, int64_t n[PM_SITE_N_LINEAR]);
#endif
