/* table_html.c - a report as one page that stands by itself: its looks and its script are in it (plots/page.css, plots/page.js, built in by
 * make so that the program alone can write it), figures are SVG in the text, and a policy in its head forbids everything else.
 */
#include "table.h"

extern const char pm_page_css[], pm_page_js[]; /* build/.../gen/page.c */

static const pm_markup markup = {{{'&', "&amp;"}, {'<', "&lt;"}, {'>', "&gt;"}, {'"', "&quot;"}},
                                 ' ',
                                 "-",
                                 "<span class=\"note\">",
                                 "</span>"};

/* ---- one table ----------------------------------------------------------------------------------------------------------- */

static void put_head(const pm_table *t, pm_buf *out) {
    pm_buf_puts(out, "<thead><tr>");
    for (int j = 0; j < t->n_columns; j++) {
        const pm_column *c = &t->columns[j];
        pm_buf_printf(out, "<th scope=\"col\"%s%s", c->kind == PM_COL_TEXT ? "" : " class=\"number\"",
                      c->better > 0 ? " data-better=\"1\"" : "");
        if (c->definition)
            pm_buf_puts(out, " title=\""), pm_put_text(&markup, c->definition, out), pm_buf_puts(out, "\"");
        pm_buf_puts(out, ">");
        pm_put_head(&markup, c, out);
        pm_buf_puts(out, "</th>");
    }
    pm_buf_puts(out, "</tr></thead>\n");
}

static void put_number(const pm_column *c, const pm_cell *cell, pm_buf *out) {
    char value[PM_NUMBER], low[PM_NUMBER], high[PM_NUMBER];
    pm_column_number(c, cell->value, false, value);
    if (!value[0]) {
        pm_buf_puts(out, "<span class=\"missing\">-</span>");
        return;
    }
    pm_buf_puts(out, value);
    if (cell->lacks_interval) pm_buf_puts(out, " <span class=\"interval\">[-]</span>");
    if (!pm_cell_has_interval(cell)) return;
    pm_column_number(c, cell->low, false, low);
    pm_column_number(c, cell->high, false, high);
    pm_buf_printf(out, " <span class=\"interval\">[%s, %s]</span>", low, high);
}

/* The value for sorting stands beside the printed one, with all its digits. */
static void put_cell(const pm_table *t, int row, int column, pm_buf *out) {
    const pm_column *c = &t->columns[column];
    const pm_cell *cell = pm_table_at(t, row, column);
    const char *tag = column ? "td" : "th";
    char sorted[PM_NUMBER];
    if (c->kind == PM_COL_TEXT) {
        pm_buf_printf(out, "<%s%s>", tag, column ? "" : " scope=\"row\"");
        pm_put_text(&markup, cell->text ? cell->text : "-", out);
    } else {
        pm_column exact = *c;
        exact.digits = -17;
        pm_column_number(&exact, cell->value, true, sorted);
        pm_buf_printf(out, "<%s class=\"number\" data-v=\"%s\">", tag, sorted);
        put_number(c, cell, out);
    }
    if (cell->note)
        pm_buf_puts(out, "<span class=\"note\">"), pm_put_text(&markup, cell->note, out),
            pm_buf_puts(out, "</span>");
    pm_buf_printf(out, "</%s>", tag);
}

static void put_notes(const pm_table *t, pm_buf *out) {
    int defined = 0;
    if (t->n_notes) pm_buf_puts(out, "<ul class=\"notes\">\n");
    for (int i = 0; i < t->n_notes; i++)
        pm_buf_puts(out, "<li>"), pm_put_text(&markup, t->notes[i], out), pm_buf_puts(out, "</li>\n");
    if (t->n_notes) pm_buf_puts(out, "</ul>\n");
    for (int j = 0; j < t->n_columns; j++) {
        const pm_column *c = &t->columns[j];
        if (!c->definition) continue;
        pm_buf_puts(out, defined++ ? "<dt>" : "<details><summary>What the columns mean</summary><dl>\n<dt>");
        pm_put_text(&markup, c->title, out);
        pm_buf_puts(out, "</dt><dd>");
        pm_put_text(&markup, c->definition, out);
        pm_buf_puts(out, "</dd>\n");
    }
    if (defined) pm_buf_puts(out, "</dl></details>\n");
}

/* Keys are the report kinds' own words. */
static void put_table(const pm_table *t, pm_buf *out) {
    pm_buf_printf(out, "<section aria-labelledby=\"%s-title\">\n<h2 id=\"%s-title\">", t->key, t->key);
    pm_put_text(&markup, t->title, out);
    pm_buf_printf(out, "</h2>\n<div class=\"scroll\"><table id=\"%s\"><caption>", t->key);
    pm_put_text(&markup, t->title, out);
    pm_buf_puts(out, "</caption>\n");
    put_head(t, out);
    pm_buf_puts(out, "<tbody>\n");
    for (int i = 0; i < t->n_rows; i++) {
        pm_buf_puts(out, "<tr>");
        for (int j = 0; j < t->n_columns; j++) put_cell(t, i, j, out);
        pm_buf_puts(out, "</tr>\n");
    }
    pm_buf_puts(out, "</tbody></table></div>\n");
    put_notes(t, out);
    pm_buf_puts(out, "</section>\n");
}

/* ---- the page ------------------------------------------------------------------------------------------------------------ */

static void put_link(const char *key, const char *suffix, const char *title, pm_buf *out) {
    pm_buf_printf(out, "<li><a href=\"#%s%s\">", key, suffix);
    pm_put_text(&markup, title, out);
    pm_buf_puts(out, "</a></li>\n");
}

static void put_contents(const pm_report *r, pm_buf *out) {
    pm_buf_puts(out, "<nav aria-label=\"Contents\"><ul>\n");
    for (int i = 0; i < r->n_tables; i++) {
        put_link(r->tables[i]->key, "-title", r->tables[i]->title, out);
        for (int k = 0; k < r->n_figures && i == 0; k++)
            put_link(r->figures[k].key, "-figure", r->figures[k].title, out);
    }
    pm_buf_puts(out, "</ul></nav>\n");
}

static void put_figure(const pm_figure *f, pm_buf *out) {
    pm_buf_printf(out, "<figure id=\"%s-figure\" role=\"group\" aria-label=\"", f->key);
    pm_put_text(&markup, f->title, out);
    pm_buf_puts(out, "\">\n<h2>");
    pm_put_text(&markup, f->title, out);
    pm_buf_puts(out, "</h2>\n<div class=\"scroll\">");
    pm_buf_puts(out, f->svg);
    pm_buf_puts(out, "</div>\n<figcaption>");
    pm_put_text(&markup, f->caption, out);
    pm_buf_puts(out, "</figcaption>\n</figure>\n");
}

static void put_top(const char *title, pm_buf *out) {
    pm_buf_puts(out, "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n"
                     "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
                     "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src "
                     "'unsafe-inline'; "
                     "script-src 'unsafe-inline'\">\n<title>");
    pm_put_text(&markup, title, out);
    pm_buf_puts(out, "</title>\n<style>\n");
    pm_buf_puts(out, pm_page_css);
    pm_buf_puts(out, "</style>\n</head>\n<body>\n<h1>");
    pm_put_text(&markup, title, out);
    pm_buf_puts(out, "</h1>\n");
}

/* The figures stand behind the first table, whose numbers they show. */
void pm_print_html(const pm_report *r, pm_buf *out) {
    put_top(r->title, out);
    put_contents(r, out);
    pm_buf_puts(out, "<main>\n");
    for (int i = 0; i < r->n_tables; i++) {
        put_table(r->tables[i], out);
        for (int k = 0; k < r->n_figures && i == 0; k++) put_figure(&r->figures[k], out);
    }
    pm_buf_puts(out, "</main>\n<script>\n");
    pm_buf_puts(out, pm_page_js);
    pm_buf_puts(out, "</script>\n</body>\n</html>\n");
}
