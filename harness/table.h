/* table.h - a report as data: tables that the report kinds fill and every format prints, so that no format computes or rounds on its own.
 *
 * A report holds tables (and, for the page, figures); a table holds columns, rows of cells and the notes under it. Text given to these
 * functions is copied; everything belongs to the report and goes with pm_report_free. The same report prints the same bytes on any machine.
 */
#ifndef PM_TABLE_H
#define PM_TABLE_H
#include "text.h"

typedef enum pm_column_kind {
    PM_COL_TEXT,
    PM_COL_INTEGER,
    PM_COL_REAL,
    PM_COL_PERCENT, /* value from 0 to 100 */
    PM_COL_BYTES,   /* value in bytes; printed in MiB for people, as it is in csv and json */
    PM_COL_SECONDS
} pm_column_kind;

typedef struct pm_column {
    const char *
        key; /* of csv and json: a word that names the unit where there is one, like wall_s or trainable_percent */
    const char *title; /* as printed */
    const char
        *unit; /* as printed behind the title: %, tokens/s, ...; NULL: none. Bytes and seconds have theirs */
    const char *definition; /* one sentence in the list below the table; NULL: the title says it all */
    pm_column_kind kind;
    int digits; /* behind the point; below 0: so many significant digits */
    int better; /* 1: more is better; -1: less is; 0: neither */
} pm_column;

typedef struct pm_cell {
    char *text;              /* of text columns; NULL: none */
    double value, low, high; /* in the column's unit; NAN: not measured, no interval */
    bool lacks_interval;     /* the value should have one: [-], and in data formats null */
    char *note;              /* what stands behind the value: letters of tie groups, a badge; NULL: nothing */
} pm_cell;

typedef struct pm_table {
    char *key, *title; /* paper, paper_details, ...; what it shows */
    pm_column *columns;
    int n_columns;
    pm_cell *cells; /* [n_rows][n_columns] */
    int n_rows;
    char **notes; /* sentences under the table */
    int n_notes;
} pm_table;

typedef struct pm_figure {
    char *key, *title, *caption, *svg; /* svg: the element, complete */
} pm_figure;

typedef struct pm_report {
    char *title;
    pm_table **tables;
    int n_tables;
    pm_figure *figures; /* printed by html alone */
    int n_figures;
} pm_report;

/* ---- filling ---- */

pm_report *pm_report_new(const char *title);
void pm_report_rename(pm_report *r, const char *title);
void pm_report_free(pm_report *r); /* NULL is fine */
pm_table *pm_report_add(pm_report *r, const char *key, const char *title);
void pm_report_shorten(pm_report *r, int n); /* only the first n tables stay */
void pm_report_add_figure(pm_report *r, const char *key, const char *title, const char *caption,
                          const char *svg);
/* All columns come before the first row. Returns the column's index. */
int pm_table_add_column(pm_table *t, const pm_column *c);
/* The same for n of them; returns the first. */
int pm_add_columns(pm_table *t, const pm_column *c, int n);
int pm_table_add_row(pm_table *t); /* nothing measured yet; returns its index */
pm_cell *pm_table_at(const pm_table *t, int row, int column);
__attribute__((format(printf, 2, 3))) void pm_cell_print(pm_cell *c, const char *fmt, ...); /* sets text */
__attribute__((format(printf, 2, 3))) void pm_cell_note(pm_cell *c, const char *fmt, ...);
__attribute__((format(printf, 2, 3))) void pm_table_add_note(pm_table *t, const char *fmt, ...);

/* ---- printing ---- */

/* A number of that column: grouped by thousands and in MiB for people; plain, in bytes for data. "" for NAN. Never longer than 63 bytes. */
enum { PM_NUMBER = 64 };
void pm_column_number(const pm_column *c, double value, bool data, char out[PM_NUMBER]);
bool pm_cell_has_interval(const pm_cell *c);
/* Whether any cell of the column has an interval, a note: data formats then have key_low and key_high, key_note beside its key. */
void pm_column_extras(const pm_table *t, int column, bool *interval, bool *note);

/* How a format writes what tables say. */
typedef struct pm_markup {
    const struct {
        char c;
        const char *as;
    } special[18];                      /* characters that mean something; ends with 0 */
    char control;                       /* in the place of control characters */
    const char *missing;                /* what was not measured */
    const char *note_open, *note_close; /* around a cell's note */
} pm_markup;
void pm_put_text(const pm_markup *m, const char *s, pm_buf *out); /* any text, as it shall be read */
/* The title with its unit, "throughput (tokens/s)". */
void pm_put_head(const pm_markup *m, const pm_column *c, pm_buf *out);
/* The value and, where there is one, the interval: "71.25 [70.10, 72.40]"; a text as it is; then the note. */
void pm_put_cell(const pm_markup *m, const pm_table *t, int row, int column, pm_buf *out);

typedef struct pm_format {
    const char *name;
    bool one_table; /* prints the first table only */
    void (*print)(const pm_report *r, pm_buf *out);
} pm_format;
extern const pm_format pm_formats[]; /* ends with a row whose name is NULL */

void pm_print_text(const pm_report *r, pm_buf *out);
void pm_print_md(const pm_report *r, pm_buf *out);
void pm_print_latex(const pm_report *r,
                    pm_buf *out); /* compiles alone, and as \input where booktabs is loaded */
void pm_print_csv(const pm_report *r, pm_buf *out); /* an interval is two more columns, a note one more */
void pm_print_json(const pm_report *r, pm_buf *out);
void pm_print_html(const pm_report *r, pm_buf *out); /* one file that needs no other */
#endif
