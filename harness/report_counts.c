/* report_counts.c - how many numbers each row trains, of how many, and what it takes to store them. */
#include "report.h"

#include <math.h>
#include <sqlite3.h>

enum { TRAINED, CLOSED, TOTAL, OF_BASE, OF_TOTAL, STORED, N_COLUMNS };

static const pm_column columns[N_COLUMNS] = {
    [TRAINED] = {"trainable_params", "trainable", NULL, "numbers that training changes, counted",
                 PM_COL_INTEGER, 0, -1},
    [CLOSED] = {"closed_form", "closed form", NULL,
                "the same by the method's formula, as the run's certificate compared them", PM_COL_INTEGER, 0,
                0},
    [TOTAL] = {"total_params", "total", NULL, "base and adapter", PM_COL_INTEGER, 0, 0},
    [OF_BASE] = {"percent_of_base", "trainable", "% of base", NULL, PM_COL_PERCENT, 4, 0},
    [OF_TOTAL] = {"percent_of_total", "trainable", "% of base + adapter", NULL, PM_COL_PERCENT, 4, 0},
    [STORED] = {"stored_bytes", "stored", NULL,
                "the trained numbers in fp32, four bytes each, without the file's header", PM_COL_BYTES, 3,
                -1},
};

/* What the certificate's check `count` expected of a run; NAN: no such check. */
static pm_status closed_form(const pm_report_input *in, int64_t run, double *out, pm_err *e) {
    sqlite3 *h = pm_db_handle(in->db);
    sqlite3_stmt *st = NULL;
    *out = (double)NAN;
    int rc = sqlite3_prepare_v2(h,
                                "SELECT bound FROM checks WHERE run_id = ? AND name = 'count' AND "
                                "typeof(bound) IN ('real', 'integer')",
                                -1, &st, NULL);
    if (rc == SQLITE_OK) rc = sqlite3_bind_int64(st, 1, run);
    if (rc == SQLITE_OK) rc = sqlite3_step(st);
    if (rc == SQLITE_ROW) *out = sqlite3_column_double(st, 0);
    sqlite3_finalize(st);
    return rc == SQLITE_ROW || rc == SQLITE_DONE ? PM_OK : pm_db_unreadable(in->db, e);
}

static pm_status add_row(const pm_report_input *in, int setup, int task, pm_table *t, pm_err *e) {
    const pm_result *run = pm_results_at(in->r, setup, task)->run[0];
    int row = pm_table_add_row(t), at = pm_set_row_cells(in->r, NULL, setup, task, t, row);
    double bound;
    pm_status s = closed_form(in, run->id, &bound, e);
    pm_table_at(t, row, at + TRAINED)->value = (double)run->trainable;
    pm_table_at(t, row, at + CLOSED)->value = bound;
    if (run->total > 0) pm_table_at(t, row, at + TOTAL)->value = (double)run->total;
    pm_table_at(t, row, at + OF_BASE)->value = pm_result_percent_of_base(run);
    pm_table_at(t, row, at + OF_TOTAL)->value = pm_result_percent_of_total(run);
    pm_table_at(t, row, at + STORED)->value = 4.0 * (double)run->trainable;
    return s;
}

pm_status pm_report_counts(const pm_report_input *in, pm_report *out, pm_err *e) {
    const pm_results *r = in->r;
    pm_table *t = pm_report_add(out, "counts", "What is trained");
    pm_status s = PM_OK;
    pm_add_row_columns(r, true, t);
    pm_add_columns(t, columns, N_COLUMNS);
    for (int i = 0; i < r->n_setups; i++)
        for (int k = 0; k < r->n_tasks && s == PM_OK; k++) {
            const pm_place_runs *p = pm_results_at(r, i, k);
            if (p->n && p->run[0]->trainable >= 0) s = add_row(in, i, k, t, e);
        }
    if (s == PM_OK && !t->n_rows)
        return pm_nothing_measured(in, "no run counted what it trains",
                                   "`peftmeter params` counts without a run", e);
    pm_add_source_note(r, t);
    return s;
}
