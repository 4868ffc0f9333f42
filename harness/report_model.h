/* report_model.h - which runs are of one model: models/tiny, ./models/tiny and an absolute path to the same files are. For report_data.c. */
#ifndef PM_REPORT_MODEL_H
#define PM_REPORT_MODEL_H
#include "report_data.h"

/* The last part of a path, without slashes behind it; from `keep`. */
const char *pm_model_name(pm_arena *keep, const char *path);
/* Runs whose model_hash is the same get one name: that which most of them have, of equally frequent ones the first by letters. A run without a hash keeps its own. */
void pm_models_unite(pm_result **run, int n);
#endif
