/* report_model.c - see report_model.h. */
#include "report_model.h"

#include <stdlib.h>
#include <string.h>

const char *pm_model_name(pm_arena *keep, const char *path) {
    size_t end = strlen(path);
    while (end > 1 && path[end - 1] == '/') end--;
    size_t start = end;
    while (start > 0 && path[start - 1] != '/') start--;
    return start < end ? pm_arena_printf(keep, "%.*s", (int)(end - start), path + start) : path;
}

static int by_hash_and_name(const void *a, const void *b) {
    const pm_result *x = *(const pm_result *const *)a, *y = *(const pm_result *const *)b;
    int d = strcmp(x->model_hash, y->model_hash);
    return d ? d : strcmp(x->model, y->model);
}

/* Of runs [from, to), which are in order, the longest row of one name. */
static const char *usual_name(pm_result *const *run, int from, int to) {
    const char *best = run[from]->model;
    for (int i = from, same = 0, most = 0; i < to; i++) {
        same = i > from && strcmp(run[i]->model, run[i - 1]->model) == 0 ? same + 1 : 1;
        if (same > most) most = same, best = run[i]->model;
    }
    return best;
}

void pm_models_unite(pm_result **run, int n) {
    if (n) qsort(run, (size_t)n, sizeof *run, by_hash_and_name);
    for (int from = 0, to; from < n; from = to) {
        for (to = from + 1; to < n && strcmp(run[to]->model_hash, run[from]->model_hash) == 0; to++) {
        }
        if (!run[from]->model_hash[0]) continue;
        const char *name = usual_name(run, from, to);
        for (int i = from; i < to; i++) run[i]->model = name;
    }
}
