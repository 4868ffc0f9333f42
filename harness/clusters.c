/* clusters.c - see clusters.h. */
#include "clusters.h"
#include "text.h"

#include <stdlib.h>
#include <string.h>

/* The names that there are, each once, in order; returns how many. *named: items that have one. */
static int64_t list_names(const char *const *name, int64_t n, const char **out, int64_t *named) {
    int64_t different = 0;
    *named = 0;
    for (int64_t i = 0; i < n; i++)
        if (name[i]) out[(*named)++] = name[i];
    if (*named) qsort(out, (size_t)*named, sizeof *out, pm_by_text);
    for (int64_t k = 0; k < *named; k++)
        if (!different || strcmp(out[different - 1], out[k]) != 0) out[different++] = out[k];
    return different;
}

int32_t pm_clusters_number(const char *const *name, int64_t n, int32_t *of) {
    const char **list = pm_xalloc(((size_t)n + 1) * sizeof *list);
    int64_t named, different = list_names(name, n, list, &named), alone = different;
    for (int64_t i = 0; different < named && i < n; i++) {
        const char **found =
            name[i] ? bsearch(&name[i], list, (size_t)different, sizeof *list, pm_by_text) : NULL;
        of[i] = (int32_t)(found ? found - list : alone++);
    }
    free(list);
    return different < named ? (int32_t)(different + n - named) : 0;
}
