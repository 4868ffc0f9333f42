/* table_latex.c - a report in LaTeX with booktabs: compiled alone it is a page, \input into a document it is its tables. */
#include "table.h"

/* What is not ASCII goes through as UTF-8. */
static const pm_markup markup = {{{'\\', "\\textbackslash{}"},
                                  {'~', "\\textasciitilde{}"},
                                  {'^', "\\textasciicircum{}"},
                                  {'<', "\\textless{}"},
                                  {'>', "\\textgreater{}"},
                                  {'|', "\\textbar{}"},
                                  {'{', "\\{"},
                                  {'}', "\\}"},
                                  {'_', "\\_"},
                                  {'%', "\\%"},
                                  {'&', "\\&"},
                                  {'#', "\\#"},
                                  {'$', "\\$"},
                                  {'"', "\\textquotedbl{}"},
                                  {'[', "{[}"},
                                  {']', "{]}"}},
                                 ' ',
                                 "--",
                                 "\\,\\textsuperscript{",
                                 "}"};

static void put_rows(const pm_table *t, pm_buf *out) {
    pm_buf_puts(out, "\\begin{tabular}{@{}");
    for (int j = 0; j < t->n_columns; j++) pm_buf_puts(out, t->columns[j].kind == PM_COL_TEXT ? "l" : "r");
    pm_buf_puts(out, "@{}}\n\\toprule\n");
    for (int j = 0; j < t->n_columns; j++) {
        pm_buf_puts(out, j ? " & " : "");
        pm_put_head(&markup, &t->columns[j], out);
    }
    pm_buf_puts(out, " \\\\\n\\midrule\n");
    for (int i = 0; i < t->n_rows; i++) {
        for (int j = 0; j < t->n_columns; j++)
            pm_buf_puts(out, j ? " & " : ""), pm_put_cell(&markup, t, i, j, out);
        pm_buf_puts(out, " \\\\\n");
    }
    pm_buf_puts(out, "\\bottomrule\n\\end{tabular}");
}

static void put_notes(const pm_table *t, pm_buf *out) {
    pm_buf_puts(out, "\\par\\smallskip\n\\begin{minipage}{\\linewidth}\\footnotesize\n");
    for (int i = 0; i < t->n_notes; i++) pm_put_text(&markup, t->notes[i], out), pm_buf_puts(out, "\\par\n");
    for (int j = 0; j < t->n_columns; j++) {
        if (!t->columns[j].definition) continue;
        pm_buf_puts(out, "\\emph{");
        pm_put_text(&markup, t->columns[j].title, out);
        pm_buf_puts(out, "}: ");
        pm_put_text(&markup, t->columns[j].definition, out);
        pm_buf_puts(out, "\\par\n");
    }
    pm_buf_puts(out, "\\end{minipage}\n");
}

/* A table wider than the line is set narrower, one that fits as it is. */
static void put_table(const pm_table *t, pm_buf *out) {
    pm_buf_puts(out, "\\begin{table}\n\\centering\\small\n\\caption{");
    pm_put_text(&markup, t->title, out);
    pm_buf_printf(out, "}\n\\label{tab:%s}\n\\setbox0=\\hbox{%%\n", t->key);
    put_rows(t, out);
    pm_buf_puts(out, "}\n\\ifdim\\wd0>\\linewidth \\resizebox{\\linewidth}{!}{\\box0}\\else \\box0\\fi\n");
    put_notes(t, out);
    pm_buf_puts(out, "\\end{table}\n");
}

static const char head[] =
    "% Needs \\usepackage{booktabs,graphicx} where it is \\input; compiled alone it brings its own page.\n"
    "\\def\\peftmeterend{}\n"
    "\\expandafter\\ifx\\csname @nodocument\\endcsname\\relax\\else\n"
    "\\documentclass{article}\n"
    "\\usepackage[utf8]{inputenc}\n"
    "\\usepackage[T1]{fontenc}\n"
    "\\usepackage[a4paper,landscape,margin=15mm]{geometry}\n"
    "\\usepackage{booktabs,graphicx}\n"
    "\\begin{document}\n"
    "\\def\\peftmeterend{\\end{document}}\n"
    "\\fi\n";

void pm_print_latex(const pm_report *r, pm_buf *out) {
    pm_buf_puts(out, head);
    for (int i = 0; i < r->n_tables; i++) put_table(r->tables[i], out);
    pm_buf_puts(out, "\\peftmeterend\n");
}
