/* report_steps.c - reads the steps of a run. */
#include "report_steps.h"

#include "text.h"
#include <sqlite3.h>

static pm_step_row take(sqlite3_stmt *st) {
    return (pm_step_row){.step = sqlite3_column_int64(st, 0),
                         .loss = pm_db_real(st, 1),
                         .tokens = pm_db_real(st, 2),
                         .label_tokens = pm_db_real(st, 3),
                         .wall_s = pm_db_real(st, 4)};
}

pm_status pm_steps_read(pm_db *d, int64_t run, pm_step_row **out, int *n, pm_err *e) {
    static const char sql[] =
        "SELECT step, loss, tokens, label_tokens, wall_s FROM steps WHERE run_id = ? ORDER BY step";
    sqlite3_stmt *st = NULL;
    int cap = 0, rc = sqlite3_prepare_v2(pm_db_handle(d), sql, -1, &st, NULL);
    *out = NULL, *n = 0;
    if (rc == SQLITE_OK) rc = sqlite3_bind_int64(st, 1, run);
    while (rc == SQLITE_OK || rc == SQLITE_ROW) {
        if ((rc = sqlite3_step(st)) != SQLITE_ROW) break;
        if (*n == cap) *out = pm_xrealloc(*out, (size_t)(cap = cap ? 2 * cap : 256) * sizeof **out);
        (*out)[(*n)++] = take(st);
    }
    pm_status s = rc == SQLITE_DONE ? PM_OK : pm_db_unreadable(d, e);
    sqlite3_finalize(st);
    return s;
}
