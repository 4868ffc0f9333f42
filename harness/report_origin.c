/* report_origin.c - what makes the numbers repeatable: every setting of every row side by side, and the builds and machines that they were
 * measured with.
 */
#include "report.h"

#include <cjson/cJSON.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>

/* ---- settings ------------------------------------------------------------------------------------------------------------ */

/* The first run of the row on any task; NULL: none. */
static const pm_result *first_run(const pm_results *r, int setup) {
    for (int k = 0; k < r->n_tasks; k++)
        if (pm_results_at(r, setup, k)->n) return pm_results_at(r, setup, k)->run[0];
    return NULL;
}

/* What says which row, task or run it is, and not how it is set. */
static bool names_the_run(const char *key) {
    static const char *const names[] = {"model", "task", "method", "seed", "eval.split"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(names[i], key) == 0) return true;
    return false;
}

static bool has_row(const pm_table *t, const char *key) {
    for (int i = 0; i < t->n_rows; i++)
        if (strcmp(pm_table_at(t, i, 0)->text, key) == 0) return true;
    return false;
}

static void add_keys(const cJSON *settings, pm_table *t) {
    for (const cJSON *v = settings ? settings->child : NULL; v; v = v->next)
        if (v->string && !names_the_run(v->string) && !has_row(t, v->string))
            pm_cell_print(pm_table_at(t, pm_table_add_row(t), 0), "%s", v->string);
}

static void set_value(const cJSON *settings, pm_table *t, int row, int column) {
    const cJSON *v = cJSON_GetObjectItemCaseSensitive(settings, pm_table_at(t, row, 0)->text);
    pm_cell *cell = pm_table_at(t, row, column);
    char *text = v && !cJSON_IsString(v) ? cJSON_PrintUnformatted(v) : NULL;
    if (v) pm_cell_print(cell, "%s", text ? text : v->valuestring ? v->valuestring : "");
    free(text);
}

static void add_settings(const pm_results *r, pm_report *out) {
    pm_table *t = pm_report_add(out, "settings", "Settings");
    cJSON **settings = pm_xalloc(((size_t)r->n_setups + 1) * sizeof(cJSON *));
    pm_table_add_column(t, &(pm_column){"setting", "setting", NULL, NULL, PM_COL_TEXT, 0, 0});
    for (int i = 0; i < r->n_setups; i++) {
        const pm_result *run = first_run(r, i);
        settings[i] = run ? cJSON_Parse(run->config) : NULL;
        const char *name = r->setup[i].name;
        pm_table_add_column(t, &(pm_column){name, name, NULL, NULL, PM_COL_TEXT, 0, 0});
    }
    for (int i = 0; i < r->n_setups; i++) add_keys(settings[i], t);
    for (int i = 0; i < r->n_setups; i++)
        for (int row = 0; row < t->n_rows; row++) set_value(settings[i], t, row, i + 1);
    for (int i = 0; i < r->n_setups; i++) cJSON_Delete(settings[i]);
    free(settings);
    pm_table_add_note(t, "`peftmeter run --help` and `peftmeter methods NAME` say what each of them means.");
}

/* ---- builds and machines ------------------------------------------------------------------------------------------------- */

enum { RUNS = 0, N_FACTS = 12 };
static const pm_column facts[] = {
    {"runs", "runs", NULL, "how many of those shown", PM_COL_INTEGER, 0, 0},
    {"version", "version", NULL, NULL, PM_COL_TEXT, 0, 0},
    {"commit", "commit", NULL, "+: with local changes", PM_COL_TEXT, 0, 0},
    {"cpu", "CPU", NULL, NULL, PM_COL_TEXT, 0, 0},
    {"cores", "cores", NULL, NULL, PM_COL_TEXT, 0, 0},
    {"isa", "instruction sets", NULL, NULL, PM_COL_TEXT, 0, 0},
    {"memory", "memory", NULL, "MiB", PM_COL_TEXT, 0, 0},
    {"os", "system", NULL, NULL, PM_COL_TEXT, 0, 0},
    {"compiler", "compiler", NULL, NULL, PM_COL_TEXT, 0, 0},
    {"blas", "products", NULL, "backend of matrix products, and the kernels it chose", PM_COL_TEXT, 0, 0},
    {"threads", "threads", NULL, "of a run", PM_COL_TEXT, 0, 0},
    {"flags", "flags", NULL, "of the compiler", PM_COL_TEXT, 0, 0},
};
_Static_assert(sizeof facts / sizeof *facts == N_FACTS, "a column for every fact");

/* The text columns, in that order, of one run. */
static const char origin_sql[] =
    "SELECT coalesce(r.peftmeter_version, '-'), coalesce(substr(r.commit_id, 1, 12), '-') || CASE WHEN "
    "r.dirty = 1 "
    "THEN '+' ELSE '' END, coalesce(h.cpu, '-'), coalesce(nullif(h.cores, 0), '-'), coalesce(h.isa, '-'), "
    "coalesce(nullif(h.memory_bytes >> 20, 0), '-'), coalesce(h.os, '-'), coalesce(h.compiler, '-'), "
    "coalesce(h.blas || "
    "', ' || "
    "h.blas_core, '-'), coalesce(nullif(h.threads, 0), '-'), coalesce(h.flags, '-') FROM runs r LEFT JOIN "
    "hosts h ON "
    "h.id = r.host_id "
    "WHERE r.id = ?";

static bool same_origin(const pm_table *t, int row, sqlite3_stmt *st) {
    for (int j = 1; j < N_FACTS; j++)
        if (strcmp(pm_table_at(t, row, j)->text, (const char *)sqlite3_column_text(st, j - 1)) != 0)
            return false;
    return true;
}

static void count_origin(pm_table *t, sqlite3_stmt *st) {
    int row = 0;
    while (row < t->n_rows && !same_origin(t, row, st)) row++;
    if (row < t->n_rows) {
        pm_table_at(t, row, RUNS)->value += 1;
        return;
    }
    pm_table_add_row(t);
    pm_table_at(t, row, RUNS)->value = 1;
    for (int j = 1; j < N_FACTS; j++)
        pm_cell_print(pm_table_at(t, row, j), "%s", (const char *)sqlite3_column_text(st, j - 1));
}

static int add_place(const pm_place_runs *p, sqlite3_stmt *st, pm_table *t) {
    int rc = SQLITE_OK;
    for (int i = 0; i < p->n && rc == SQLITE_OK; i++) {
        rc = sqlite3_bind_int64(st, 1, p->run[i]->id);
        if (rc == SQLITE_OK && sqlite3_step(st) == SQLITE_ROW) count_origin(t, st);
        rc = rc == SQLITE_OK ? sqlite3_reset(st) : rc;
    }
    return rc;
}

static pm_status add_origins(const pm_report_input *in, pm_report *out, pm_err *e) {
    pm_table *t = pm_report_add(out, "origins", "Builds and machines");
    sqlite3_stmt *st = NULL;
    pm_add_columns(t, facts, N_FACTS);
    int rc = sqlite3_prepare_v2(pm_db_handle(in->db), origin_sql, -1, &st, NULL);
    for (int i = 0; i < in->r->n_setups * in->r->n_tasks && rc == SQLITE_OK; i++)
        rc = add_place(&in->r->place[i], st, t);
    sqlite3_finalize(st);
    return rc == SQLITE_OK ? PM_OK : pm_db_unreadable(in->db, e);
}

pm_status pm_report_origin(const pm_report_input *in, pm_report *out, pm_err *e) {
    add_settings(in->r, out);
    return add_origins(in, out, e);
}
