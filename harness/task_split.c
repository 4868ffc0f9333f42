/* task_split.c - which row belongs to which split: by file, or by content hash, so that the same data gives the same splits anywhere.
 *
 * A data entry is a file, rows made by a rule (task_generated.c), or {"from": SPLIT, "mod": M, "rem": [r, ...], "after": N}: the rows of SPLIT's file whose content hash modulo
 * M is among rem (and which are not among the file's first N rows) move from there to here.
 * The same question in two splits is leakage. With "duplicates": "drop" it stays in the split of highest priority (test, then
 * validation, then train); in any case the splits are compared afterwards, and a hash found in two of them fails the load.
 */
#include "task_priv.h"
#include <stdlib.h>
#include <string.h>

const char *const pm_split_names[PM_N_SPLITS] = {"train", "validation", "test"};

int pm_split_index(const char *name) {
    for (int i = 0; i < PM_N_SPLITS; i++)
        if (strcmp(pm_split_names[i], name) == 0) return i;
    return -1;
}

static const cJSON *entry_of(const pm_task *t, int split) {
    return cJSON_GetObjectItemCaseSensitive(cJSON_GetObjectItemCaseSensitive(t->json, "data"),
                                            pm_split_names[split]);
}

/* The first 64 bits of the hash, as a number. */
static uint64_t hash_number(const char *hex) {
    char head[17];
    memcpy(head, hex, 16), head[16] = 0;
    return strtoull(head, NULL, 16);
}

/* Whether the rule of `entry` claims this row. */
static bool claims(const cJSON *entry, const pm_row *row) {
    if (row->number <= pm_json_int(entry, "after", 0)) return false;
    uint64_t rest = hash_number(row->hash) % (uint64_t)pm_json_int(entry, "mod", 1);
    const cJSON *rem = cJSON_GetObjectItemCaseSensitive(entry, "rem");
    for (const cJSON *r = rem->child; r; r = r->next)
        if ((uint64_t)r->valuedouble == rest) return true;
    return false;
}

/* The split of a row that lies in `home`'s file. */
static int split_of(const pm_task *t, int home, const pm_row *row) {
    for (int s = 0; s < PM_N_SPLITS; s++) {
        const cJSON *entry = entry_of(t, s);
        if (entry && strcmp(pm_json_str(entry, "from", ""), pm_split_names[home]) == 0 && claims(entry, row))
            return s;
    }
    return home;
}

pm_status pm_task_at(const pm_task *t, int split, int number, pm_err *e) {
    if (!e) return PM_EFORMAT;
    pm_err why = *e;
    pm_fail(e, why.code, "%s: %s row %d: %s", t->name, pm_split_names[split], number, why.msg);
    return *why.hint ? pm_hint(e, "%s", why.hint) : e->code;
}

/* Adds the rows of `home`'s file to out, hashed and assigned. */
static pm_status add_file(const pm_task *t, int home, const char *data_dir, pm_rows *out, pm_err *e) {
    const cJSON *entry = entry_of(t, home);
    if (!entry || pm_json_str(entry, "from", NULL)) return PM_OK;
    pm_rows rows = {0};
    pm_status st = pm_rows_read(t, entry, data_dir, &rows, e);
    for (int i = 0; !st && i < rows.n; i++) {
        pm_row *r = &rows.row[i];
        if ((st = pm_row_hash(t, r, e))) {
            st = pm_task_at(t, home, r->number, e);
            break;
        }
        r->split = split_of(t, home, r);
        pm_rows_add(out, r->fields);
        out->row[out->n - 1] = *r;
        r->fields = NULL; /* out's now */
    }
    pm_rows_free(&rows);
    return st;
}

/* ---- duplicates ---- */

/* By hash, the split of highest priority first. */
static int by_hash(const void *a, const void *b) {
    const pm_row *x = *(pm_row *const *)a, *y = *(pm_row *const *)b;
    int c = strcmp(x->hash, y->hash);
    return c ? c : y->split - x->split;
}

/* Pointers to the rows that are in a split, sorted; the caller frees. */
static pm_row **sorted(pm_rows *r, int *n) {
    pm_row **p = pm_xalloc((size_t)(r->n + 1) * sizeof *p);
    *n = 0;
    for (int i = 0; i < r->n; i++)
        if (r->row[i].split >= 0) p[(*n)++] = &r->row[i];
    qsort(p, (size_t)*n, sizeof *p, by_hash);
    return p;
}

static void drop_duplicates(pm_rows *r, int dropped[PM_N_SPLITS]) {
    int n;
    pm_row **p = sorted(r, &n);
    for (int i = 1, keeper = 0; i < n; i++) {
        if (strcmp(p[i]->hash, p[keeper]->hash) != 0)
            keeper = i;
        else if (p[i]->split != p[keeper]->split)
            dropped[p[i]->split]++, p[i]->split = -1;
    }
    free(p);
}

pm_status pm_rows_disjoint(const pm_task *t, pm_rows *r, pm_err *e) {
    int n, shared = 0;
    pm_row **p = sorted(r, &n), *a = NULL, *b = NULL;
    for (int i = 1; i < n; i++) {
        if (strcmp(p[i]->hash, p[i - 1]->hash) != 0 || p[i]->split == p[i - 1]->split) continue;
        if (!shared++) a = p[i], b = p[i - 1];
    }
    free(p);
    if (!shared) return PM_OK;
    pm_fail(e, PM_EFORMAT, "%s: %d question%s in two splits, the first in %s row %d and %s row %d (id %.16s)",
            t->name, shared, shared == 1 ? " is" : "s are", pm_split_names[a->split], a->number,
            pm_split_names[b->split], b->number, a->hash);
    return pm_hint(e, "\"duplicates\": \"drop\" in the task file takes them out of train, then validation");
}

pm_status pm_rows_assign(pm_task *t, const char *data_dir, pm_err *e) {
    pm_status st = PM_OK;
    if (t->rows) return PM_OK;
    t->rows = pm_xalloc(sizeof *t->rows);
    memset(t->dropped, 0, sizeof t->dropped);
    for (int s = 0; s < PM_N_SPLITS && !st; s++) st = add_file(t, s, data_dir, t->rows, e);
    if (!st && strcmp(pm_json_str(t->json, "duplicates", "refuse"), "drop") == 0)
        drop_duplicates(t->rows, t->dropped);
    if (!st) st = pm_rows_disjoint(t, t->rows, e);
    if (st) pm_task_forget_rows(t);
    return st;
}
