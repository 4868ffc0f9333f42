/* table_md.c - a report in Markdown: pipe tables as GitHub, pandoc and Jupyter read them. */
#include "table.h"

/* Characters that mean something within a cell or a line of Markdown, and HTML's. */
static const pm_markup markup = {{{'<', "&lt;"},
                                  {'&', "&amp;"},
                                  {'\\', "\\\\"},
                                  {'`', "\\`"},
                                  {'*', "\\*"},
                                  {'_', "\\_"},
                                  {'{', "\\{"},
                                  {'}', "\\}"},
                                  {'[', "\\["},
                                  {']', "\\]"},
                                  {'|', "\\|"},
                                  {'#', "\\#"},
                                  {'$', "\\$"},
                                  {'~', "\\~"},
                                  {'>', "\\>"}},
                                 ' ',
                                 "-",
                                 " <sup>",
                                 "</sup>"};

static void put_table(const pm_table *t, pm_buf *out) {
    pm_buf_puts(out, "### ");
    pm_put_text(&markup, t->title, out);
    pm_buf_puts(out, "\n\n|");
    for (int j = 0; j < t->n_columns; j++) {
        pm_buf_puts(out, " ");
        pm_put_head(&markup, &t->columns[j], out);
        pm_buf_puts(out, " |");
    }
    pm_buf_puts(out, "\n|");
    for (int j = 0; j < t->n_columns; j++)
        pm_buf_puts(out, t->columns[j].kind == PM_COL_TEXT ? " --- |" : " ---: |");
    pm_buf_puts(out, "\n");
    for (int i = 0; i < t->n_rows; i++) {
        pm_buf_puts(out, "|");
        for (int j = 0; j < t->n_columns; j++)
            pm_buf_puts(out, " "), pm_put_cell(&markup, t, i, j, out), pm_buf_puts(out, " |");
        pm_buf_puts(out, "\n");
    }
}

static void put_notes(const pm_table *t, pm_buf *out) {
    pm_buf_puts(out, "\n");
    for (int i = 0; i < t->n_notes; i++)
        pm_buf_puts(out, "- "), pm_put_text(&markup, t->notes[i], out), pm_buf_puts(out, "\n");
    for (int j = 0; j < t->n_columns; j++) {
        if (!t->columns[j].definition) continue;
        pm_buf_puts(out, "- *");
        pm_put_text(&markup, t->columns[j].title, out);
        pm_buf_puts(out, "*: ");
        pm_put_text(&markup, t->columns[j].definition, out);
        pm_buf_puts(out, "\n");
    }
}

void pm_print_md(const pm_report *r, pm_buf *out) {
    pm_buf_puts(out, "## ");
    pm_put_text(&markup, r->title, out);
    pm_buf_puts(out, "\n");
    for (int i = 0; i < r->n_tables; i++) {
        pm_buf_puts(out, "\n");
        put_table(r->tables[i], out);
        put_notes(r->tables[i], out);
    }
}
