/* table.c - reports as data: building them, and how one cell reads, the same in every format. */
#include "table.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- filling ------------------------------------------------------------------------------------------------------------- */

/* Texts enter a report here and in printed(): an edited database may hold any bytes, every format is UTF-8. */
static char *copy(const char *s) {
    return s ? pm_utf8_clean(s) : NULL;
}

/* Room for one more of `bytes` in a list of n. */
static void *grown(void *list, int n, size_t bytes) {
    return pm_xrealloc(list, (size_t)(n + 1) * bytes);
}

pm_report *pm_report_new(const char *title) {
    pm_report *r = pm_xalloc(sizeof *r);
    r->title = copy(title);
    return r;
}

void pm_report_rename(pm_report *r, const char *title) {
    free(r->title);
    r->title = copy(title);
}

pm_table *pm_report_add(pm_report *r, const char *key, const char *title) {
    pm_table *t = pm_xalloc(sizeof *t);
    *t = (pm_table){.key = copy(key), .title = copy(title)};
    r->tables = grown(r->tables, r->n_tables, sizeof *r->tables);
    return r->tables[r->n_tables++] = t;
}

void pm_report_add_figure(pm_report *r, const char *key, const char *title, const char *caption,
                          const char *svg) {
    r->figures = grown(r->figures, r->n_figures, sizeof *r->figures);
    r->figures[r->n_figures++] = (pm_figure){copy(key), copy(title), copy(caption), copy(svg)};
}

int pm_table_add_column(pm_table *t, const pm_column *c) {
    PM_ASSERT(!t->n_rows, "%s: a column after the first row", t->key);
    t->columns = grown(t->columns, t->n_columns, sizeof *t->columns);
    pm_column *to = &t->columns[t->n_columns];
    *to = *c;
    to->key = copy(c->key);
    to->title = copy(c->title);
    to->unit = copy(c->unit);
    to->definition = copy(c->definition);
    return t->n_columns++;
}

int pm_add_columns(pm_table *t, const pm_column *c, int n) {
    int first = t->n_columns;
    for (int i = 0; i < n; i++) pm_table_add_column(t, &c[i]);
    return first;
}

int pm_table_add_row(pm_table *t) {
    size_t row = (size_t)t->n_columns * sizeof *t->cells;
    t->cells = pm_xrealloc(t->cells, (size_t)(t->n_rows + 1) * row);
    for (int i = 0; i < t->n_columns; i++)
        t->cells[t->n_rows * t->n_columns + i] =
            (pm_cell){.value = (double)NAN, .low = (double)NAN, .high = (double)NAN};
    return t->n_rows++;
}

pm_cell *pm_table_at(const pm_table *t, int row, int column) {
    PM_ASSERT(row >= 0 && row < t->n_rows && column >= 0 && column < t->n_columns,
              "%s: cell %d, %d of %d, %d", t->key, row, column, t->n_rows, t->n_columns);
    return &t->cells[row * t->n_columns + column];
}

__attribute__((format(printf, 1, 0))) static char *printed(const char *fmt, va_list ap) {
    va_list again;
    va_copy(again, ap);
    size_t n = (size_t)vsnprintf(NULL, 0, fmt, again);
    va_end(again);
    char *s = pm_xalloc(n + 1);
    vsnprintf(s, n + 1, fmt, ap);
    char *clean = pm_utf8_clean(s);
    free(s);
    return clean;
}

void pm_cell_print(pm_cell *c, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    free(c->text);
    c->text = printed(fmt, ap);
    va_end(ap);
}

void pm_cell_note(pm_cell *c, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    free(c->note);
    c->note = printed(fmt, ap);
    va_end(ap);
}

void pm_table_add_note(pm_table *t, const char *fmt, ...) {
    va_list ap;
    va_start(ap, fmt);
    t->notes = grown(t->notes, t->n_notes, sizeof *t->notes);
    t->notes[t->n_notes++] = printed(fmt, ap);
    va_end(ap);
}

static void free_table(pm_table *t) {
    for (int i = 0; i < t->n_columns; i++) {
        free((void *)(uintptr_t)t->columns[i].key);
        free((void *)(uintptr_t)t->columns[i].title);
        free((void *)(uintptr_t)t->columns[i].unit);
        free((void *)(uintptr_t)t->columns[i].definition);
    }
    for (int i = 0; i < t->n_rows * t->n_columns; i++) free(t->cells[i].text), free(t->cells[i].note);
    for (int i = 0; i < t->n_notes; i++) free(t->notes[i]);
    free(t->columns), free(t->cells), free(t->notes), free(t->key), free(t->title), free(t);
}

void pm_report_shorten(pm_report *r, int n) {
    while (r->n_tables > n) free_table(r->tables[--r->n_tables]);
}

void pm_report_free(pm_report *r) {
    if (!r) return;
    for (int i = 0; i < r->n_tables; i++) free_table(r->tables[i]);
    for (int i = 0; i < r->n_figures; i++) {
        pm_figure *f = &r->figures[i];
        free(f->key), free(f->title), free(f->caption), free(f->svg);
    }
    free(r->tables), free(r->figures), free(r->title), free(r);
}

/* ---- numbers ------------------------------------------------------------------------------------------------------------- */

/* 1234567.8 -> 1,234,567.8 */
static void group_thousands(char out[PM_NUMBER]) {
    char from[PM_NUMBER];
    memcpy(from, out, sizeof from);
    size_t sign = from[0] == '-', whole = strspn(from + sign, "0123456789");
    if (strpbrk(from, "eEn") || sign + strlen(from) + whole / 3 >= PM_NUMBER) return;
    char *to = out;
    for (size_t i = 0; from[i]; i++) {
        bool inside = i > sign && i < sign + whole;
        if (inside && (sign + whole - i) % 3 == 0) *to++ = ',';
        *to++ = from[i];
    }
    *to = 0;
}

/* -0.00 is 0.00: a sign that the digits do not show says nothing. */
static void drop_sign_of_zero(char out[PM_NUMBER]) {
    if (out[0] == '-' && !strpbrk(out, "123456789")) memmove(out, out + 1, strlen(out));
}

void pm_column_number(const pm_column *c, double value, bool data, char out[PM_NUMBER]) {
    bool whole = c->kind == PM_COL_INTEGER || (c->kind == PM_COL_BYTES && data);
    if (c->kind == PM_COL_BYTES && !data) value /= 1048576;
    out[0] = 0;
    if (!isfinite(value)) return;
    if (c->digits < 0 && !whole)
        snprintf(out, PM_NUMBER, "%.*g", -c->digits, value);
    else if (fabs(value) < 1e30)
        snprintf(out, PM_NUMBER, "%.*f", whole ? 0 : c->digits, value);
    else
        snprintf(out, PM_NUMBER, "%.3e", value);
    drop_sign_of_zero(out);
    if (!data) group_thousands(out);
}

/* ---- one cell ------------------------------------------------------------------------------------------------------------ */

static const char *unit_of(const pm_column *c) {
    if (c->kind == PM_COL_BYTES) return "MiB";
    if (c->kind == PM_COL_SECONDS) return "s";
    return c->unit ? c->unit : c->kind == PM_COL_PERCENT ? "%" : NULL;
}

static void head_text(const pm_column *c, pm_buf *out) {
    const char *unit = unit_of(c);
    pm_buf_puts(out, c->title);
    if (unit) pm_buf_printf(out, " (%s)", unit);
}

bool pm_cell_has_interval(const pm_cell *c) {
    return isfinite(c->low) && isfinite(c->high);
}

static void cell_text(const pm_column *c, const pm_cell *cell, const char *missing, pm_buf *out) {
    char value[PM_NUMBER], low[PM_NUMBER], high[PM_NUMBER];
    if (c->kind == PM_COL_TEXT) {
        pm_buf_puts(out, cell->text ? cell->text : missing);
        return;
    }
    pm_column_number(c, cell->value, false, value);
    pm_buf_puts(out, value[0] ? value : missing);
    if (value[0] && cell->lacks_interval) pm_buf_printf(out, " [%s]", missing);
    if (!value[0] || !pm_cell_has_interval(cell)) return;
    pm_column_number(c, cell->low, false, low);
    pm_column_number(c, cell->high, false, high);
    pm_buf_printf(out, " [%s, %s]", low, high);
}

void pm_put_text(const pm_markup *m, const char *s, pm_buf *out) {
    for (; *s; s++) {
        size_t k = 0;
        while (m->special[k].c && m->special[k].c != *s) k++;
        if (m->special[k].c)
            pm_buf_puts(out, m->special[k].as);
        else
            pm_buf_put(out, (unsigned char)*s < 32 || *s == 127 ? &m->control : s, 1);
    }
}

static void put_buffer(const pm_markup *m, pm_buf *text, pm_buf *out) {
    if (text->p) pm_put_text(m, text->p, out);
    pm_buf_free(text);
}

void pm_put_head(const pm_markup *m, const pm_column *c, pm_buf *out) {
    pm_buf text = {0};
    head_text(c, &text);
    put_buffer(m, &text, out);
}

void pm_put_cell(const pm_markup *m, const pm_table *t, int row, int column, pm_buf *out) {
    const pm_cell *cell = pm_table_at(t, row, column);
    pm_buf text = {0};
    cell_text(&t->columns[column], cell, m->missing, &text);
    put_buffer(m, &text, out);
    if (!cell->note) return;
    pm_buf_puts(out, m->note_open);
    pm_put_text(m, cell->note, out);
    pm_buf_puts(out, m->note_close);
}

void pm_column_extras(const pm_table *t, int column, bool *interval, bool *note) {
    *interval = *note = false;
    for (int i = 0; i < t->n_rows; i++) {
        const pm_cell *c = pm_table_at(t, i, column);
        *interval |= pm_cell_has_interval(c) || c->lacks_interval;
        *note |= c->note != NULL;
    }
}

const pm_format pm_formats[] = {
    {"text", false, pm_print_text},
    {"md", false, pm_print_md},
    {"latex", false, pm_print_latex},
    {"csv", true, pm_print_csv},
    {"json", false, pm_print_json},
    {"html", false, pm_print_html},
    {NULL, false, NULL},
};
