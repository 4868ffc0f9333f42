/* table_csv.c - the first table as CSV (RFC 4180): one header line of keys, plain numbers, nothing where nothing was measured.
 *
 * Why one table: a file of several would be no CSV. `--table KEY` picks another.
 */
#include "table.h"

#include <string.h>

static void put_field(pm_buf *out, const char *s) {
    bool quote = strpbrk(s, ",\"\r\n") != NULL;
    if (quote) pm_buf_puts(out, "\"");
    for (; *s; s++) pm_buf_puts(out, *s == '"' ? "\"" : ""), pm_buf_put(out, s, 1);
    if (quote) pm_buf_puts(out, "\"");
}

static void put_head(const pm_table *t, pm_buf *out) {
    for (int j = 0; j < t->n_columns; j++) {
        const char *key = t->columns[j].key;
        bool interval, note;
        pm_column_extras(t, j, &interval, &note);
        pm_buf_puts(out, j ? "," : "");
        put_field(out, key);
        static const char *const suffix[] = {"_low", "_high", "_note"};
        for (int k = interval ? 0 : 2; k < (note ? 3 : 2); k++) {
            pm_buf b = {0};
            pm_buf_printf(&b, "%s%s", key, suffix[k]);
            pm_buf_puts(out, ",");
            put_field(out, b.p);
            pm_buf_free(&b);
        }
    }
    pm_buf_puts(out, "\r\n");
}

static void put_number(const pm_column *c, double value, pm_buf *out) {
    char number[PM_NUMBER];
    pm_column_number(c, value, true, number);
    pm_buf_puts(out, number);
}

static void put_row(const pm_table *t, int row, pm_buf *out) {
    for (int j = 0; j < t->n_columns; j++) {
        const pm_cell *c = pm_table_at(t, row, j);
        bool interval, note;
        pm_column_extras(t, j, &interval, &note);
        pm_buf_puts(out, j ? "," : "");
        if (t->columns[j].kind == PM_COL_TEXT)
            put_field(out, c->text ? c->text : "");
        else
            put_number(&t->columns[j], c->value, out);
        if (interval) {
            pm_buf_puts(out, ","), put_number(&t->columns[j], c->low, out);
            pm_buf_puts(out, ","), put_number(&t->columns[j], c->high, out);
        }
        if (note) pm_buf_puts(out, ","), put_field(out, c->note ? c->note : "");
    }
    pm_buf_puts(out, "\r\n");
}

void pm_print_csv(const pm_report *r, pm_buf *out) {
    if (!r->n_tables) return;
    put_head(r->tables[0], out);
    for (int i = 0; i < r->tables[0]->n_rows; i++) put_row(r->tables[0], i, out);
}
