/* report_imported.c - what another program measured of runs that were imported: a table of its own, since neither its times nor its memory mean
 * what ours do.
 */
#include "report.h"

#include <math.h>
#include <sqlite3.h>

enum { MACHINE, TRAIN, WHOLE, MOST, MEAN, P99, FILE_SIZE, N_COLUMNS };

static const pm_column columns[N_COLUMNS] = {
    [MACHINE] = {"machine", "machine", NULL, "its accelerator, where it has one", PM_COL_TEXT, 0, 0},
    [TRAIN] = {"imported_train_s", "training", NULL,
               "from the loaded model to the end, the test included, evaluations during training left out",
               PM_COL_SECONDS, 1, -1},
    [WHOLE] = {"imported_total_s", "whole run", NULL, NULL, PM_COL_SECONDS, 1, -1},
    [MOST] = {"accelerator_reserved_max_bytes", "accelerator, most", NULL,
              "what torch's caching allocator held, evaluations included", PM_COL_BYTES, 0, -1},
    [MEAN] = {"accelerator_reserved_mean_bytes", "mean", NULL, "the same at the end of a step", PM_COL_BYTES,
              0, -1},
    [P99] = {"accelerator_reserved_p99_bytes", "p99", NULL, NULL, PM_COL_BYTES, 0, -1},
    [FILE_SIZE] = {"checkpoint_bytes", "checkpoint", NULL, NULL, PM_COL_BYTES, 2, -1},
};

/* The numbers in the order of the columns. */
static const char sql[] =
    "SELECT coalesce(h.cpu, '-'), train_s, total_s, accelerator_reserved_max_bytes, "
    "accelerator_reserved_mean_bytes, accelerator_reserved_p99_bytes, file_bytes "
    "FROM imported i JOIN runs r ON r.id = i.run_id LEFT JOIN hosts h ON h.id = r.host_id WHERE i.run_id = ?";

/* Means over the row's runs. */
static int add_row(const pm_report_input *in, const pm_fair *f, int setup, int task, sqlite3_stmt *st,
                   pm_table *t) {
    const pm_place_runs *p = pm_results_at(in->r, setup, task);
    int row = pm_table_add_row(t), at = pm_set_row_cells(in->r, f, setup, task, t, row), rc = SQLITE_OK;
    double sum[N_COLUMNS] = {0}, n[N_COLUMNS] = {0};
    for (int i = 0; i < p->n && rc == SQLITE_OK; i++) {
        rc = sqlite3_bind_int64(st, 1, p->run[i]->id);
        if (rc != SQLITE_OK || (rc = sqlite3_step(st)) != SQLITE_ROW) break;
        if (i == 0)
            pm_cell_print(pm_table_at(t, row, at), "%s", (const char *)sqlite3_column_text(st, MACHINE));
        for (int k = TRAIN; k < N_COLUMNS; k++) {
            double x = pm_db_real(st, k);
            if (isfinite(x)) sum[k] += x, n[k]++;
        }
        rc = sqlite3_reset(st);
    }
    for (int k = TRAIN; k < N_COLUMNS; k++)
        if (n[k] > 0) pm_table_at(t, row, at + k)->value = sum[k] / n[k];
    return rc;
}

pm_status pm_add_imported(const pm_report_input *in, const pm_fair *f, pm_report *out, pm_err *e) {
    const pm_results *r = in->r;
    sqlite3_stmt *st = NULL;
    if (!pm_results_imported(r)) return PM_OK;
    pm_table *t = pm_report_add(out, "efficiency_imported", "Measured by another program");
    pm_add_row_columns(r, true, t);
    pm_add_columns(t, columns, N_COLUMNS);
    int rc = sqlite3_prepare_v2(pm_db_handle(in->db), sql, -1, &st, NULL);
    for (int k = 0; k < r->n_tasks; k++)
        for (int i = 0; i < r->n_setups && rc == SQLITE_OK; i++)
            if (r->setup[i].origin[0] && pm_results_at(r, i, k)->n) rc = add_row(in, f, i, k, st, t);
    sqlite3_finalize(st);
    pm_table_add_note(
        t, "On another machine, by other definitions than the tables of this program's own runs: not to "
           "be compared with them.");
    pm_add_badge_notes(r, f, t);
    return rc == SQLITE_OK ? PM_OK : pm_db_unreadable(in->db, e);
}
