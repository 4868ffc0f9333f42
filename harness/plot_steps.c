/* plot_steps.c - reads the steps of a run. */
#include "plot_steps.h"

#include "text.h"
#include <math.h>
#include <sqlite3.h>

static double number(sqlite3_stmt *st, int column) {
    int type = sqlite3_column_type(st, column);
    return type == SQLITE_INTEGER || type == SQLITE_FLOAT ? sqlite3_column_double(st, column) : (double)NAN;
}

pm_status pm_steps_read(pm_db *d, const char *path, int64_t run, pm_step **out, int *n, pm_err *e) {
    static const char sql[] = "SELECT step, loss, tokens, wall_s FROM steps WHERE run_id = ? ORDER BY step";
    sqlite3 *h = pm_db_handle(d);
    sqlite3_stmt *st = NULL;
    int cap = 0, rc = sqlite3_prepare_v2(h, sql, -1, &st, NULL);
    *out = NULL, *n = 0;
    if (rc == SQLITE_OK) rc = sqlite3_bind_int64(st, 1, run);
    while (rc == SQLITE_OK || rc == SQLITE_ROW) {
        if ((rc = sqlite3_step(st)) != SQLITE_ROW) break;
        if (*n == cap) *out = pm_xrealloc(*out, (size_t)(cap = cap ? 2 * cap : 256) * sizeof **out);
        (*out)[(*n)++] = (pm_step){sqlite3_column_int64(st, 0), number(st, 1), number(st, 2), number(st, 3)};
    }
    pm_status s = rc == SQLITE_DONE ? PM_OK : pm_fail(e, PM_EDB, "%s: read: %s", path, sqlite3_errmsg(h));
    sqlite3_finalize(st);
    return s == PM_OK ? s : pm_hint(e, "is this a database that peftmeter wrote?");
}
