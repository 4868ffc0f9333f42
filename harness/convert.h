/* convert.h - an adapter written as that of another method which computes the same. */
#ifndef PM_CONVERT_H
#define PM_CONVERT_H
#include "session.h"

/* Whether an adapter of method m can be written as method `as`. PM_EUSAGE for an unknown name, PM_EUNSUPPORTED when it is another
 * function. */
pm_status pm_convert_check(const pm_method *m, const char *as, pm_err *e);
/* Whether there is such a method besides m itself: its name, or NULL. */
const char *pm_convert_target(const pm_method *m);
/* Writes the session's adapter (of c's method) to dir as method `as`, which pm_convert_check has passed. base_model_name may be NULL. */
pm_status pm_convert_save(const pm_session *s, const pm_config *c, const char *as, const char *dir,
                          const char *base_model_name, pm_err *e);
#endif
