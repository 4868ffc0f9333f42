/* task_rows.c - data files to rows of named fields: json, jsonl, csv, tsv, lines, txt; compressed files and archives by unpack.h.
 *
 * csv follows RFC 4180 (quotes, doubled quotes, line ends inside quotes); tsv has neither quotes nor escapes, as GLUE's files.
 * lines: every `fields` lines make one row. txt: the whole file is one row, field "text".
 */
#include "csv.h"
#include "fetch.h"
#include "task_priv.h"
#include "unpack.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

enum { PATH_CAP = 4096 };

void pm_rows_add(pm_rows *r, cJSON *fields) {
    if (r->n == r->cap) {
        r->cap = r->cap ? 2 * r->cap : 256;
        r->row = pm_xrealloc(r->row, (size_t)r->cap * sizeof *r->row);
    }
    r->row[r->n] = (pm_row){.fields = fields, .number = r->n + 1};
    r->n++;
}

void pm_rows_free(pm_rows *r) {
    for (int i = 0; i < r->n; i++) cJSON_Delete(r->row[i].fields);
    free(r->row);
    *r = (pm_rows){0};
}

/* ---- text to lines ---- */

typedef pm_span line;

/* Takes the next line off the text, without its end (LF or CRLF); false at the end. */
static bool next_line(line *rest, line *out) {
    if (!rest->n) return false;
    char *nl = memchr(rest->p, '\n', rest->n);
    size_t n = nl ? (size_t)(nl - rest->p) : rest->n, step = nl ? n + 1 : n;
    *out = (line){rest->p, n && rest->p[n - 1] == '\r' ? n - 1 : n};
    rest->p += step, rest->n -= step;
    return true;
}

static bool is_blank(const line *l) {
    for (size_t i = 0; i < l->n; i++)
        if (l->p[i] != ' ' && l->p[i] != '\t') return false;
    return true;
}

/* The bytes as a JSON string field. Bytes end at a NUL. */
static void set_field(cJSON *row, const char *name, const char *p, size_t n) {
    char *s = pm_xstrndup(p, n);
    cJSON_AddStringToObject(row, name, s);
    free(s);
}

/* ---- formats ---- */

static pm_status read_json(line text, const cJSON *entry, pm_rows *out, pm_err *e) {
    (void)entry;
    cJSON *all = cJSON_ParseWithLength(text.p, text.n);
    if (!all) return pm_fail(e, PM_EFORMAT, "not valid JSON");
    pm_status st = cJSON_IsArray(all) ? PM_OK : pm_fail(e, PM_EFORMAT, "not a list of rows");
    while (!st && all->child) {
        cJSON *row = cJSON_DetachItemViaPointer(all, all->child);
        if (!cJSON_IsObject(row))
            st = pm_fail(e, PM_EFORMAT, "row %d is not an object", out->n + 1), cJSON_Delete(row);
        else
            pm_rows_add(out, row);
    }
    cJSON_Delete(all);
    return st;
}

static pm_status read_jsonl(line text, const cJSON *entry, pm_rows *out, pm_err *e) {
    (void)entry;
    line l;
    for (int number = 1; next_line(&text, &l); number++) {
        if (is_blank(&l)) continue;
        cJSON *row = cJSON_ParseWithLength(l.p, l.n);
        if (!cJSON_IsObject(row))
            return cJSON_Delete(row), pm_fail(e, PM_EFORMAT, "line %d is not a JSON object", number);
        pm_rows_add(out, row);
    }
    return PM_OK;
}

static pm_status tsv_record(char **at, char *end, line cell[PM_CSV_COLUMNS], int *n, pm_err *e) {
    line rest = {*at, (size_t)(end - *at)}, l;
    *n = 0;
    if (!next_line(&rest, &l)) return PM_OK;
    *at = rest.p;
    for (char *p = l.p, *stop = l.p + l.n;;) {
        char *tab = memchr(p, '\t', (size_t)(stop - p));
        if (*n == PM_CSV_COLUMNS) return pm_fail(e, PM_EFORMAT, "more than %d columns", PM_CSV_COLUMNS);
        cell[(*n)++] = (line){p, (size_t)((tab ? tab : stop) - p)};
        if (!tab) return PM_OK;
        p = tab + 1;
    }
}

typedef pm_status record_fn(char **at, char *end, line cell[PM_CSV_COLUMNS], int *n, pm_err *e);

/* Column names: the entry's "fields", or the first record. */
static pm_status column_names(record_fn *next, char **at, char *end, const cJSON *entry,
                              char *name[PM_CSV_COLUMNS], int *n, pm_err *e) {
    const cJSON *fields = cJSON_GetObjectItemCaseSensitive(entry, "fields");
    line cell[PM_CSV_COLUMNS];
    if (fields) {
        *n = 0;
        for (const cJSON *f = fields->child; f && *n < PM_CSV_COLUMNS; f = f->next)
            name[(*n)++] = pm_xstrndup(f->valuestring, strlen(f->valuestring));
        return PM_OK;
    }
    int found = 0;
    pm_status st = next(at, end, cell, &found, e);
    for (*n = 0; !st && *n < found; (*n)++) name[*n] = pm_xstrndup(cell[*n].p, cell[*n].n);
    return st;
}

static pm_status read_table(record_fn *next, line text, const cJSON *entry, pm_rows *out, pm_err *e) {
    char *at = text.p, *end = text.p + text.n, *name[PM_CSV_COLUMNS];
    line cell[PM_CSV_COLUMNS];
    int columns = 0, n = 0;
    pm_status st = column_names(next, &at, end, entry, name, &columns, e);
    while (!st && at < end) {
        if ((st = next(&at, end, cell, &n, e))) break;
        if (n == 1 && !cell[0].n) continue;
        if (n != columns)
            st = pm_fail(e, PM_EFORMAT, "row %d has %d columns, not %d", out->n + 1, n, columns);
        cJSON *row = st ? NULL : cJSON_CreateObject();
        for (int i = 0; row && i < n; i++) set_field(row, name[i], cell[i].p, cell[i].n);
        if (row) pm_rows_add(out, row);
    }
    for (int i = 0; i < columns; i++) free(name[i]);
    return st;
}

static pm_status read_csv(line text, const cJSON *entry, pm_rows *out, pm_err *e) {
    return read_table(pm_csv_record, text, entry, out, e);
}

static pm_status read_tsv(line text, const cJSON *entry, pm_rows *out, pm_err *e) {
    return read_table(tsv_record, text, entry, out, e);
}

static pm_status read_txt(line text, const cJSON *entry, pm_rows *out, pm_err *e) {
    (void)entry, (void)e;
    cJSON *row = cJSON_CreateObject();
    set_field(row, "text", text.p, text.n);
    pm_rows_add(out, row);
    return PM_OK;
}

static pm_status read_lines(line text, const cJSON *entry, pm_rows *out, pm_err *e) {
    const cJSON *fields = cJSON_GetObjectItemCaseSensitive(entry, "fields");
    line l;
    while (text.n) {
        cJSON *row = cJSON_CreateObject();
        const cJSON *f = fields->child;
        for (; f && next_line(&text, &l); f = f->next) set_field(row, f->valuestring, l.p, l.n);
        if (f)
            return cJSON_Delete(row), pm_fail(e, PM_EFORMAT, "the last row has fewer lines than the others");
        pm_rows_add(out, row);
    }
    return PM_OK;
}

static const struct {
    const char *name;
    pm_status (*read)(line text, const cJSON *entry, pm_rows *out, pm_err *e);
} formats[] = {{"json", read_json}, {"jsonl", read_jsonl}, {"csv", read_csv},
               {"tsv", read_tsv},   {"txt", read_txt},     {"lines", read_lines}};
enum { N_FORMATS = sizeof formats / sizeof *formats };

static int format_index(const char *name) {
    for (int i = 0; i < N_FORMATS; i++)
        if (strcmp(formats[i].name, name) == 0) return i;
    return -1;
}

bool pm_format_known(const char *format) {
    return format_index(format) >= 0;
}

/* ---- files ---- */

static pm_status check_hash(const char *path, const char *want, pm_err *e) {
    char hex[65];
    pm_status st = pm_file_sha256(path, hex, e);
    if (st || strcasecmp(hex, want) == 0) return st;
    pm_fail(e, PM_EFORMAT, "%s: sha256 is %s, want %s", path, hex, want);
    return pm_hint(e,
                   "the file is damaged or another version: `peftmeter data fetch` replaces a fetched one");
}

pm_status pm_task_beside(const pm_task *t, const char *file, char *path, size_t cap, pm_err *e) {
    char dir[sizeof t->path];
    snprintf(dir, sizeof dir, "%s", t->path);
    char *slash = strrchr(dir, '/');
    if (*file == '/') return snprintf(path, cap, "%s", file), PM_OK;
    if (slash) *slash = 0;
    return pm_path_join(path, cap, slash ? dir : ".", file, e);
}

pm_status pm_data_path(const pm_task *t, const cJSON *entry, const char *data_dir, char *path, size_t cap,
                       pm_err *e) {
    const char *file = pm_json_str(entry, "file", ""), *want = pm_json_str(entry, "sha256", NULL);
    pm_status st = PM_OK;
    bool found = false;
    if (data_dir && *file != '/') {
        if ((st = pm_path_join(path, cap, data_dir, file, e))) return st;
        found = access(path, F_OK) == 0;
    }
    if (!found && (st = pm_task_beside(t, file, path, cap, e))) return st;
    if (!found && access(path, F_OK)) {
        pm_fail(e, PM_EIO, "%s: %s is missing", t->name, file);
        return pm_json_str(entry, "url", NULL) ? pm_hint(e, "peftmeter data fetch %s", t->name)
                                               : pm_hint(e, "put it beside %s", t->path);
    }
    return want ? check_hash(path, want, e) : PM_OK;
}

/* Reads the entry's file, or the archive's member, into text; without a UTF-8 byte order mark. */
static pm_status read_text(const pm_task *t, const cJSON *file, const char *member, const char *data_dir,
                           pm_buf *text, line *body, pm_err *e) {
    char path[PATH_CAP];
    pm_status st = pm_data_path(t, file, data_dir, path, sizeof path, e);
    if (!st) st = pm_file_read(path, member, text, e);
    if (st) return st;
    *body = pm_skip_bom(text->p, text->n);
    return PM_OK;
}

/* Line i of the labels file becomes field "label" of row i. */
static pm_status join_labels(const pm_task *t, const cJSON *entry, const char *data_dir, pm_rows *rows,
                             pm_err *e) {
    const cJSON *labels = cJSON_GetObjectItemCaseSensitive(entry, "labels");
    if (!labels) return PM_OK;
    pm_buf text = {0};
    line rest, l;
    const cJSON *file = pm_json_str(labels, "file", NULL)
                            ? labels
                            : entry; /* without a file of its own: another member of the archive */
    pm_status st = read_text(t, file, pm_json_str(labels, "member", NULL), data_dir, &text, &rest, e);
    if (st) return st;
    int n = 0;
    for (; next_line(&rest, &l); n++)
        if (n < rows->n) set_field(rows->row[n].fields, "label", l.p, l.n);
    if (n != rows->n) st = pm_fail(e, PM_EFORMAT, "%d labels for %d rows", n, rows->n);
    pm_buf_free(&text);
    return st;
}

static pm_status shape_all(const char *shape, pm_rows *rows, pm_err *e) {
    pm_status st = PM_OK;
    for (int i = 0; shape && i < rows->n && !st; i++) {
        if (!(st = pm_row_shape(shape, rows->row[i].fields, e)) || !e) continue;
        pm_err why = *e;
        pm_fail(e, st, "row %d: %s", rows->row[i].number, why.msg);
    }
    return st;
}

pm_status pm_rows_read(const pm_task *t, const cJSON *entry, const char *data_dir, pm_rows *out, pm_err *e) {
    pm_buf text = {0};
    line body;
    pm_err why = {0};
    if (pm_json_str(entry, "generator", NULL)) return pm_generated_rows(entry, out, e);
    pm_status st = read_text(t, entry, pm_json_str(entry, "member", NULL), data_dir, &text, &body, e);
    if (st) return st;
    st = formats[format_index(pm_json_str(entry, "format", ""))].read(body, entry, out, &why);
    if (!st) st = join_labels(t, entry, data_dir, out, &why);
    if (!st) st = shape_all(pm_json_str(entry, "rows", NULL), out, &why);
    if (!st && !out->n) st = pm_fail(&why, PM_EFORMAT, "no rows");
    if (st)
        pm_fail(e, st, "%s: %s: %s", t->name, pm_json_str(entry, "file", "?"), why.msg),
            *why.hint ? pm_hint(e, "%s", why.hint) : st;
    pm_buf_free(&text);
    return st;
}
