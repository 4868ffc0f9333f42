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

/* A number alone, or with its interval and note an object. */
static cJSON *cell_json(const pm_column *c, const pm_cell *cell) {
    cJSON *value = c->kind != PM_COL_TEXT ? number(c, cell->value)
                   : cell->text           ? cJSON_CreateString(cell->text)
                                          : cJSON_CreateNull();
    if (!pm_cell_has_interval(cell) && !cell->note) return value;
    cJSON *o = cJSON_CreateObject();
    cJSON_AddItemToObject(o, "value", value);
    if (pm_cell_has_interval(cell)) {
        cJSON_AddItemToObject(o, "low", number(c, cell->low));
        cJSON_AddItemToObject(o, "high", number(c, cell->high));
    }
    if (cell->note) cJSON_AddStringToObject(o, "note", cell->note);
    return o;
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
        for (int j = 0; j < t->n_columns; j++)
            cJSON_AddItemToObject(row, t->columns[j].key, cell_json(&t->columns[j], pm_table_at(t, i, j)));
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
