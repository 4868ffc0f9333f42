/* report_common.c - what the tables of several kinds share: the columns that say which row it is, and where the runs came from. */
#include "report.h"

#include <string.h>

void pm_add_row_columns(const pm_results *r, pm_table *t) {
    static const pm_column model = {"model", "model", NULL, NULL, PM_COL_TEXT, 0, 0};
    static const pm_column method = {"method", "method", NULL, NULL, PM_COL_TEXT, 0, 0};
    if (r->several_models) pm_table_add_column(t, &model);
    pm_table_add_column(t, &method);
}

int pm_set_row_cells(const pm_results *r, int setup, pm_table *t, int row) {
    int column = 0;
    if (r->several_models) pm_cell_print(pm_table_at(t, row, column++), "%s", r->setup[setup].model);
    pm_cell_print(pm_table_at(t, row, column++), "%s", r->setup[setup].name);
    return column;
}

void pm_add_source_note(const pm_results *r, pm_table *t) {
    if (!r->sweep[0])
        pm_table_add_note(t, "All runs that are ok, tuning trials apart; a row is one configuration, its "
                             "runs differ in their seeds.");
    else if (r->left_out)
        pm_table_add_note(t, "Final runs of the sweep %s; %d other run%s of this database %s not shown.",
                          r->sweep, r->left_out, r->left_out == 1 ? "" : "s",
                          r->left_out == 1 ? "is" : "are");
    else
        pm_table_add_note(t,
                          "Final runs of the sweep %s: settings chosen on validation, the same tuning budget "
                          "for every method.",
                          r->sweep);
}
