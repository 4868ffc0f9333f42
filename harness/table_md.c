/* table_md.c - a report in Markdown: pipe tables as GitHub, pandoc and Jupyter read them. */
#include "table.h"

#include <stdlib.h>
#include <string.h>

/* Characters that mean something within a cell or a line of Markdown, and HTML's, are escaped; control characters become spaces. */
static void put_escaped(pm_buf *out, const char *s) {
    for (; *s; s++) {
        if ((unsigned char)*s < 32 || *s == 127)
            pm_buf_puts(out, " ");
        else if (*s == '<')
            pm_buf_puts(out, "&lt;");
        else if (*s == '&')
            pm_buf_puts(out, "&amp;");
        else {
            if (strchr("\\`*_{}[]|#$~>", *s)) pm_buf_puts(out, "\\");
            pm_buf_put(out, s, 1);
        }
    }
}

static void put_taken(pm_buf *out, pm_buf *b) {
    char *s = pm_buf_take(b);
    put_escaped(out, s);
    free(s);
}

static void put_cell(const pm_table *t, int row, int column, pm_buf *out) {
    const pm_cell *cell = pm_table_at(t, row, column);
    pm_buf b = {0};
    pm_cell_show(&t->columns[column], cell, "-", &b);
    put_taken(out, &b);
    if (!cell->note) return;
    pm_buf_puts(out, " <sup>");
    put_escaped(out, cell->note);
    pm_buf_puts(out, "</sup>");
}

static void put_table(const pm_table *t, pm_buf *out) {
    pm_buf_puts(out, "### ");
    put_escaped(out, t->title);
    pm_buf_puts(out, "\n\n|");
    for (int j = 0; j < t->n_columns; j++) {
        pm_buf b = {0};
        pm_column_head(&t->columns[j], &b);
        pm_buf_puts(out, " ");
        put_taken(out, &b);
        pm_buf_puts(out, " |");
    }
    pm_buf_puts(out, "\n|");
    for (int j = 0; j < t->n_columns; j++)
        pm_buf_puts(out, t->columns[j].kind == PM_COL_TEXT ? " --- |" : " ---: |");
    pm_buf_puts(out, "\n");
    for (int i = 0; i < t->n_rows; i++) {
        pm_buf_puts(out, "|");
        for (int j = 0; j < t->n_columns; j++)
            pm_buf_puts(out, " "), put_cell(t, i, j, out), pm_buf_puts(out, " |");
        pm_buf_puts(out, "\n");
    }
}

static void put_notes(const pm_table *t, pm_buf *out) {
    pm_buf_puts(out, "\n");
    for (int i = 0; i < t->n_notes; i++)
        pm_buf_puts(out, "- "), put_escaped(out, t->notes[i]), pm_buf_puts(out, "\n");
    for (int j = 0; j < t->n_columns; j++) {
        if (!t->columns[j].definition) continue;
        pm_buf_puts(out, "- *");
        put_escaped(out, t->columns[j].title);
        pm_buf_puts(out, "*: ");
        put_escaped(out, t->columns[j].definition);
        pm_buf_puts(out, "\n");
    }
}

void pm_print_md(const pm_report *r, pm_buf *out) {
    pm_buf_puts(out, "## ");
    put_escaped(out, r->title);
    pm_buf_puts(out, "\n");
    for (int i = 0; i < r->n_tables; i++) {
        pm_buf_puts(out, "\n");
        put_table(r->tables[i], out);
        put_notes(r->tables[i], out);
    }
}
