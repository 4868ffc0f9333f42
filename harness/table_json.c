/* table_json.c - a report as one JSON document: columns with unit and definition, rows by key, null where nothing was measured.
 *
 * Numbers are written as the other formats round them, for the last bits of a mean may differ between two machines' math libraries.
 */
#include "table.h"

#include <cjson/cJSON.h>
#include <stdlib.h>

static void add_text(cJSON *o, const char *key, const char *text) {
    if (text)
        cJSON_AddStringToObject(o, key, text);
    else
        cJSON_AddNullToObject(o, key);
}

static cJSON *column_json(const pm_column *c) {
    static const char *const kind[] = {"text", "integer", "real", "percent", "bytes", "seconds"};
    static const char *const unit[] = {NULL, NULL, NULL, "%", "bytes", "s"};
    cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "key", c->key);
    cJSON_AddStringToObject(o, "title", c->title);
    cJSON_AddStringToObject(o, "kind", kind[c->kind]);
    add_text(o, "unit", unit[c->kind] ? unit[c->kind] : c->unit);
    add_text(o, "definition", c->definition);
    if (c->better) cJSON_AddBoolToObject(o, "higher_is_better", c->better > 0);
    return o;
}

static cJSON *number(const pm_column *c, double value) {
    char text[PM_NUMBER];
    pm_column_number(c, value, true, text);
    return text[0] ? cJSON_CreateRaw(text) : cJSON_CreateNull();
}

static void add_beside(cJSON *row, const pm_column *c, const char *suffix, cJSON *value) {
    pm_buf key = {0};
    pm_buf_printf(&key, "%s%s", c->key, suffix);
    cJSON_AddItemToObject(row, key.p, value);
    pm_buf_free(&key);
}

/* The value by its key; where the column has intervals or notes, they stand beside it as in csv. */
static void add_cell(cJSON *row, const pm_table *t, int i, int j) {
    const pm_column *c = &t->columns[j];
    const pm_cell *cell = pm_table_at(t, i, j);
    bool interval, note;
    pm_column_extras(t, j, &interval, &note);
    if (c->kind == PM_COL_TEXT)
        add_text(row, c->key, cell->text);
    else
        cJSON_AddItemToObject(row, c->key, number(c, cell->value));
    if (interval) {
        add_beside(row, c, "_low", number(c, cell->low));
        add_beside(row, c, "_high", number(c, cell->high));
    }
    if (note) add_beside(row, c, "_note", cell->note ? cJSON_CreateString(cell->note) : cJSON_CreateNull());
}

static cJSON *table_json(const pm_table *t) {
    cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "key", t->key);
    cJSON_AddStringToObject(o, "title", t->title);
    cJSON *columns = cJSON_AddArrayToObject(o, "columns"), *rows = cJSON_AddArrayToObject(o, "rows"),
          *notes = cJSON_AddArrayToObject(o, "notes");
    for (int j = 0; j < t->n_columns; j++) cJSON_AddItemToArray(columns, column_json(&t->columns[j]));
    for (int i = 0; i < t->n_rows; i++) {
        cJSON *row = cJSON_CreateObject();
        for (int j = 0; j < t->n_columns; j++) add_cell(row, t, i, j);
        cJSON_AddItemToArray(rows, row);
    }
    for (int i = 0; i < t->n_notes; i++) cJSON_AddItemToArray(notes, cJSON_CreateString(t->notes[i]));
    return o;
}

void pm_print_json(const pm_report *r, pm_buf *out) {
    cJSON *o = cJSON_CreateObject();
    cJSON_AddStringToObject(o, "title", r->title);
    cJSON *tables = cJSON_AddArrayToObject(o, "tables");
    for (int i = 0; i < r->n_tables; i++) cJSON_AddItemToArray(tables, table_json(r->tables[i]));
    char *text = cJSON_Print(o);
    PM_ASSERT(text, "out of memory: printing JSON");
    pm_buf_puts(out, text);
    pm_buf_puts(out, "\n");
    free(text);
    cJSON_Delete(o);
}
