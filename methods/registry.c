/* registry.c - the list of methods, in the order tables print them. A new method is one line here and one
 * file beside it. */
#include "method.h"
#include <string.h>

#define PM_METHODS                                                                                           \
    X(full)                                                                                                  \
    X(lora)                                                                                                  \
    X(dora)                                                                                                  \
    X(svf)                                                                                                   \
    X(wegeft)                                                                                                \
    X(loreft)                                                                                                \
    X(direft)                                                                                                \
    X(ia3)

#define X(name) extern const pm_method pm_method_##name;
PM_METHODS
#undef X

#define X(name) &pm_method_##name,
const pm_method *const pm_methods[] = {PM_METHODS NULL};
#undef X

const pm_method *pm_method_find(const char *name) {
    for (const pm_method *const *m = pm_methods; *m; m++)
        if (strcmp((*m)->name, name) == 0) return *m;
    return NULL;
}
