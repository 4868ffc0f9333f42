/* cmd_hf.h - the parts of `import` and `export` that take and give result files of method_comparison (hf_results.h). */
#ifndef PM_CMD_HF_H
#define PM_CMD_HF_H
#include "cmd.h"

/* Files, and folders of *.json, into a database that is made when it is not there. A file that cannot be taken is named on stderr, with a hint,
 * and the others are taken; the last failure is returned. */
pm_status pm_cmd_hf_import(const pm_list *given, const char *const *more, int n_more, const char *task,
                           const char *db, pm_err *e);
pm_status pm_cmd_hf_export(const char *dir, const char *db, bool force, pm_err *e);
#endif
