/* regress_csv.c - the panel test on any table of values with names and times.
 *
 * Times are compared as text, which is right for ISO 8601 in one time zone; of two equal ones the later line counts. A value that is not a number
 * (empty, nan, na, none, null, inf, in any case) was not measured: its line is left out and counted, the newest of the others is taken. Above 1e100
 * differences and their squares would overflow, and a test of infinities finds nothing.
 */
#include "csv.h"
#include "field.h"
#include "regress.h"
#include "unpack.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

typedef struct reading {
    const char *name, *when; /* in the file's text */
    double value;
    int line; /* records from 1, the head aside */
} reading;

typedef struct readings {
    reading *at;
    int n, cap;
} readings;

typedef struct source {
    const pm_csv_words *w;
    char *value_name; /* without the direction */
    int better;       /* 1 or -1 */
    int n_columns;
    int row, value, when; /* columns */
    int missing;          /* lines of base or head without a value */
    readings base, head;
} source;

static void free_source(source *s) {
    free(s->value_name), free(s->base.at), free(s->head.at);
}

/* ---- columns ------------------------------------------------------------------------------------------------------------- */

static int count_columns(const char *name, const pm_span *head, int n, int *first) {
    int found = 0;
    for (int i = n - 1; i >= 0; i--)
        if (head[i].n == strlen(name) && memcmp(head[i].p, name, head[i].n) == 0) found++, *first = i;
    return found;
}

static pm_status no_column(const char *option, const char *name, const pm_span *head, int n, pm_err *e) {
    char all[200] = "";
    for (int i = 0, used = 0; i < n && used < (int)sizeof all; i++)
        used += snprintf(all + used, sizeof all - (size_t)used, "%s%.*s", i ? ", " : "", (int)head[i].n,
                         head[i].p);
    pm_fail(e, PM_EUSAGE, "%s: there is no column %.80s", option, name);
    return pm_hint(e, "columns: %s", all);
}

static pm_status find_column(const char *option, const char *name, const pm_span *head, int n, int *out,
                             pm_err *e) {
    int found = count_columns(name, head, n, out);
    if (found == 1) return PM_OK;
    if (!found) return no_column(option, name, head, n, e);
    pm_fail(e, PM_EFORMAT, "%s: %d columns are called %.80s", option, found, name);
    return pm_hint(e, "rename all but one of them in the file");
}

/* COLUMN, COLUMN:higher or COLUMN:lower; a column may have a colon in its name. */
static pm_status read_direction(source *s, const pm_span *head, int n, pm_err *e) {
    const char *colon = strrchr(s->w->value, ':'), *word = colon ? colon + 1 : "higher";
    int column;
    s->better = 1;
    if (!colon || count_columns(s->w->value, head, n, &column)) return PM_OK;
    if (strcmp(word, "higher") != 0 && strcmp(word, "lower") != 0) {
        pm_fail(e, PM_EUSAGE, "--value: \"%.40s\" is no direction", word);
        return pm_hint(e, "--value COLUMN:higher or --value COLUMN:lower, whichever is better");
    }
    s->better = strcmp(word, "higher") == 0 ? 1 : -1;
    s->value_name[colon - s->w->value] = 0;
    return PM_OK;
}

static pm_status read_head(source *s, char **at, char *end, pm_err *e) {
    pm_span head[PM_CSV_COLUMNS];
    pm_status st = pm_csv_record(at, end, head, &s->n_columns, e);
    int n = s->n_columns;
    if (st == PM_OK && !n) {
        pm_fail(e, PM_EFORMAT, "the file is empty");
        return pm_hint(e, "its first line names the columns");
    }
    if (st == PM_OK) st = read_direction(s, head, n, e);
    if (st == PM_OK) st = find_column("--row", s->w->row, head, n, &s->row, e);
    if (st == PM_OK) st = find_column("--value", s->value_name, head, n, &s->value, e);
    return st == PM_OK ? find_column("--when", s->w->when, head, n, &s->when, e) : st;
}

/* ---- lines --------------------------------------------------------------------------------------------------------------- */

static bool is_missing(const char *text) {
    static const char *const word[] = {"", "na", "n/a", "null", "none"};
    for (size_t i = 0; i < sizeof word / sizeof *word; i++)
        if (strcasecmp(text, word[i]) == 0) return true;
    return false;
}

/* NAN: not measured. False: no number. */
static bool read_value(const char *text, double *out) {
    char *end;
    text += strspn(text, " \t");
    *out = (double)NAN;
    if (is_missing(text)) return true;
    double v = strtod(text, &end);
    if (isfinite(v)) *out = v;
    if (isfinite(v) && fabs(v) > 1e100) return false;
    return end != text && end[strspn(end, " \t")] == 0;
}

static void add_reading(readings *r, reading x) {
    if (r->n == r->cap) {
        r->cap = r->cap ? 2 * r->cap : 64;
        r->at = pm_xrealloc(r->at, (size_t)r->cap * sizeof *r->at);
    }
    r->at[r->n++] = x;
}

static pm_status take_line(source *s, const pm_span *cell, int line, pm_err *e) {
    const char *when = cell[s->when].p, *text = cell[s->value].p;
    bool base = strncmp(when, s->w->base, strlen(s->w->base)) == 0,
         head = strncmp(when, s->w->head, strlen(s->w->head)) == 0;
    reading x = {.name = cell[s->row].p, .when = when, .line = line};
    if (!base && !head) return PM_OK;
    if (!read_value(text, &x.value)) {
        pm_fail(e, PM_EFORMAT, "row %d: %.80s is \"%.40s\"", line, s->value_name, text);
        return pm_hint(e, "a number of at most 1e100, or nothing where it was not measured");
    }
    if (isnan(x.value)) return s->missing++, PM_OK;
    if (base) add_reading(&s->base, x);
    if (head) add_reading(&s->head, x);
    return PM_OK;
}

static pm_status read_lines(source *s, char **at, char *end, pm_err *e) {
    pm_span cell[PM_CSV_COLUMNS];
    for (int line = 1, n; *at < end; line++) {
        pm_status st = pm_csv_record(at, end, cell, &n, e);
        if (st != PM_OK) return st;
        if (n == 1 && !cell[0].n) continue;
        if (n != s->n_columns)
            return pm_fail(e, PM_EFORMAT, "row %d has %d columns, not %d", line, n, s->n_columns);
        for (int i = 0; i < n; i++) cell[i].p[cell[i].n] = 0; /* the separator's place, or the text's end */
        if ((st = take_line(s, cell, line, e)) != PM_OK) return st;
    }
    return PM_OK;
}

/* ---- pairs --------------------------------------------------------------------------------------------------------------- */

static int by_name_and_time(const void *x, const void *y) {
    const reading *a = x, *b = y;
    int name = strcmp(a->name, b->name), when = strcmp(a->when, b->when);
    return name ? name : when ? when : (a->line > b->line) - (a->line < b->line);
}

/* Leaves the newest of each name, in the order of names. */
static void keep_newest(readings *r) {
    int left = 0;
    if (r->n) qsort(r->at, (size_t)r->n, sizeof *r->at, by_name_and_time);
    for (int i = 0; i < r->n; i++)
        if (i + 1 == r->n || strcmp(r->at[i].name, r->at[i + 1].name) != 0) r->at[left++] = r->at[i];
    r->n = left;
}

typedef struct pairs {
    const char **name;
    double *base, *head;
    int n, only_base, only_head, same_line;
} pairs;

static void add_pair(pairs *p, const reading *base, const reading *head) {
    if (base->line == head->line) {
        p->same_line++;
        return;
    }
    p->name[p->n] = base->name;
    p->base[p->n] = base->value;
    p->head[p->n] = head->value;
    p->n++;
}

static pairs match(const readings *base, const readings *head, pm_arena *keep) {
    size_t most = (size_t)base->n;
    pairs p = {pm_arena_alloc(keep, most * sizeof(char *), PM_MEM_WORKSPACE),
               pm_arena_alloc(keep, most * sizeof(double), PM_MEM_WORKSPACE),
               pm_arena_alloc(keep, most * sizeof(double), PM_MEM_WORKSPACE),
               0,
               0,
               0,
               0};
    int i = 0, j = 0, both = 0;
    while (i < base->n && j < head->n) {
        int order = strcmp(base->at[i].name, head->at[j].name);
        if (!order) add_pair(&p, &base->at[i], &head->at[j]), both++;
        i += order <= 0;
        j += order >= 0;
    }
    p.only_base = base->n - both;
    p.only_head = head->n - both;
    return p;
}

static const char *left_out(const source *s, const pairs *p, pm_arena *keep) {
    const char *same =
        p->same_line ? pm_arena_printf(keep, ", %d whose newest line is the same on both sides", p->same_line)
                     : "";
    return pm_arena_printf(
        keep, "base: %s, head: %s; left out: %d only in base, %d only in head, %d lines without a number%s.",
        s->w->base, s->w->head, p->only_base, p->only_head, s->missing, same);
}

static pm_status nothing(const source *s, const pairs *p, pm_err *e) {
    pm_fail(e, PM_EUSAGE,
            "%s: nothing to compare: no row has a %s of its own in both (%d in base, %d in head)", s->w->file,
            s->value_name, s->base.n, s->head.n);
    const char *empty = !s->base.n ? "base" : !s->head.n ? "head" : NULL;
    (void)p;
    return empty ? pm_hint(e, "no value's --when starts with --%s %s", empty,
                           s->base.n ? s->w->head : s->w->base)
                 : pm_hint(e, "--base %s and --head %s must name different lines of the same rows",
                           s->w->base, s->w->head);
}

static pm_status find_scale(const char *word, const pairs *p, pm_panel_scale *out, pm_err *e) {
    static const char *const name[] = {"points", "percent", "plain"};
    *out = pm_panel_scale_of(p->base, p->head, p->n);
    for (int i = 0; word && i < 3; i++)
        if (strcmp(word, name[i]) == 0) *out = (pm_panel_scale)i, word = NULL;
    if (word) {
        pm_fail(e, PM_EUSAGE, "--scale: there is no scale %.40s", word);
        return pm_hint(e, "points, percent or plain");
    }
    for (int i = 0; *out == PM_PANEL_PERCENT && i < p->n; i++)
        if (!(fmin(p->base[i], p->head[i]) > 0)) {
            pm_fail(e, PM_EUSAGE, "--scale percent: %.80s has a value that is not above 0", p->name[i]);
            return pm_hint(e, "--scale plain takes differences as they are");
        }
    return PM_OK;
}

static pm_status compare(source *s, pm_regress *g, pm_err *e) {
    keep_newest(&s->base);
    keep_newest(&s->head);
    pairs p = match(&s->base, &s->head, g->keep);
    pm_panel_scale scale;
    if (!p.n) return nothing(s, &p, e);
    pm_status st = find_scale(s->w->scale, &p, &scale, e);
    if (st != PM_OK) return st;
    pm_panel_input in = {s->value_name, s->better, scale,  p.n,
                         p.name,        p.base,    p.head, left_out(s, &p, g->keep)};
    pm_regress_panel(g, &in);
    return PM_OK;
}

/* Puts the file's name before a failure of its content. */
static pm_status in_file(const char *file, pm_status s, pm_err *e) {
    pm_err why = *e;
    pm_fail(e, s, "%s: %s", file, why.msg);
    return *why.hint ? pm_hint(e, "%s", why.hint)
                     : pm_hint(e, "a table of comma-separated values, its first line the columns");
}

pm_status pm_regress_csv(const pm_csv_words *w, pm_regress *g, pm_err *e) {
    pm_buf text = {0};
    pm_status st = pm_file_read(w->file, NULL, &text, e);
    if (st != PM_OK) return st;
    pm_span body = pm_skip_bom(text.p, text.n);
    char *at = body.p, *end = body.p + body.n;
    source s = {.w = w, .value_name = pm_xstrndup(w->value, strlen(w->value))};
    st = read_head(&s, &at, end, e);
    if (st == PM_OK) st = read_lines(&s, &at, end, e);
    if (st != PM_OK) st = in_file(w->file, st, e);
    if (st == PM_OK) st = compare(&s, g, e);
    free_source(&s);
    pm_buf_free(&text);
    return st;
}
