/* table_text.c - a report for a terminal: aligned columns, definitions and notes below. */
#include "table.h"

#include <stdlib.h>
#include <string.h>

/* Columns on a screen: code points, for names are short and mostly ASCII. */
static size_t width_of(const char *s) {
    size_t n = 0;
    for (; *s; s++) n += ((unsigned char)*s & 0xc0) != 0x80;
    return n;
}

/* Whatever a database says, a terminal is not given control characters. */
static const pm_markup markup = {.control = '?', .missing = "-", .note_open = " ", .note_close = ""};

static char *cell_text(const pm_table *t, int row, int column) {
    pm_buf b = {0};
    pm_put_cell(&markup, t, row, column, &b);
    return pm_buf_take(&b);
}

static char *head_text(const pm_table *t, int column) {
    pm_buf b = {0};
    pm_put_head(&markup, &t->columns[column], &b);
    return pm_buf_take(&b);
}

static void put_padded(pm_buf *out, const char *s, size_t width, bool left, bool last) {
    size_t pad = width - width_of(s);
    if (!left) pm_buf_printf(out, "%*s", (int)pad, "");
    pm_buf_puts(out, s);
    if (left && !last) pm_buf_printf(out, "%*s", (int)pad, "");
    pm_buf_puts(out, last ? "\n" : "  ");
}

/* Texts of one table: row 0 is the head. The caller frees each and the list. */
static char **all_texts(const pm_table *t) {
    char **text = pm_xalloc((size_t)(t->n_rows + 1) * (size_t)t->n_columns * sizeof *text);
    for (int j = 0; j < t->n_columns; j++) {
        text[j] = head_text(t, j);
        for (int i = 0; i < t->n_rows; i++) text[(i + 1) * t->n_columns + j] = cell_text(t, i, j);
    }
    return text;
}

static void put_rows(const pm_table *t, pm_buf *out) {
    char **text = all_texts(t);
    size_t *width = pm_xalloc(((size_t)t->n_columns + 1) * sizeof *width), whole = 0;
    for (int j = 0; j < t->n_columns; j++) {
        for (int i = 0; i <= t->n_rows; i++) {
            size_t w = width_of(text[i * t->n_columns + j]);
            if (w > width[j]) width[j] = w;
        }
        whole += width[j] + 2;
    }
    for (int i = 0; i <= t->n_rows; i++) {
        for (int j = 0; j < t->n_columns; j++)
            put_padded(out, text[i * t->n_columns + j], width[j], t->columns[j].kind == PM_COL_TEXT,
                       j + 1 == t->n_columns);
        if (i == 0) {
            for (size_t k = 2; k < whole; k++) pm_buf_puts(out, "-");
            pm_buf_puts(out, "\n");
        }
    }
    for (int i = 0; i < (t->n_rows + 1) * t->n_columns; i++) free(text[i]);
    free(text), free(width);
}

/* "  what: text", wrapped at 100 columns with a hanging indent. */
static void put_wrapped(pm_buf *out, const char *what, const char *text) {
    enum { LINE = 100 };
    pm_buf b = {0};
    if (what) pm_buf_printf(&b, "%s: ", what);
    pm_buf_puts(&b, text);
    char *all = pm_buf_take(&b);
    size_t column = 2;
    pm_buf_puts(out, "  ");
    for (const char *s = all; *s;) {
        size_t n = strcspn(s, " ");
        bool fits = column + n <= LINE;
        if (column > 4 || s != all) pm_buf_puts(out, s == all ? "" : fits ? " " : "\n    ");
        if (!fits) column = 4;
        for (size_t i = 0; i < n; i++)
            pm_buf_put(out, (unsigned char)s[i] < 32 || s[i] == 127 ? "?" : s + i, 1);
        column += n + 1;
        s += n + (s[n] == ' ');
    }
    pm_buf_puts(out, "\n");
    free(all);
}

static void put_table(const pm_table *t, pm_buf *out) {
    pm_put_text(&markup, t->title, out);
    pm_buf_puts(out, "\n\n");
    put_rows(t, out);
    pm_buf_puts(out, "\n");
    for (int i = 0; i < t->n_notes; i++) put_wrapped(out, NULL, t->notes[i]);
    for (int j = 0; j < t->n_columns; j++)
        if (t->columns[j].definition) put_wrapped(out, t->columns[j].title, t->columns[j].definition);
}

void pm_print_text(const pm_report *r, pm_buf *out) {
    for (int i = 0; i < r->n_tables; i++) {
        if (i) pm_buf_puts(out, "\n\n");
        put_table(r->tables[i], out);
    }
}
