/* regress_build.h - the tier `speed` of `regress`: both commits built and timed in turns. */
#ifndef PM_REGRESS_BUILD_H
#define PM_REGRESS_BUILD_H
#include "regress.h"

typedef struct pm_build_words { /* of the command line */
    const char *base, *head, *suite /* NULL: head's results/suite.json */;
} pm_build_words;
/* Adds the table of units and a case for each. PM_EUSAGE: a commit that is not here; PM_EIO: it does not build; PM_EUNSUPPORTED: base is older than
 * this tier; PM_ECANCELLED. */
pm_status pm_regress_build(const pm_build_words *w, pm_regress *g, pm_err *e);
#endif
