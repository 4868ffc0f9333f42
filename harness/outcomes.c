/* outcomes.c - writing and reading every item's outcome (outcomes.h). */
#include "outcomes.h"

#include "clusters.h"
#include "sha256.h"
#include "text.h"
#include <math.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char writing[] = "write items", reading[] = "read items";

/* ---- items that wait ------------------------------------------------------------------------------------------------------ */

enum { TEXTS = 4 }; /* of an item */

void pm_outcomes_add(pm_outcome_list *l, const pm_outcome *x) {
    if (l->n == l->cap) {
        l->cap = 2 * l->cap + 64;
        l->item = pm_xrealloc(l->item, (size_t)l->cap * sizeof *l->item);
        l->text = pm_xrealloc(l->text, TEXTS * (size_t)l->cap * sizeof *l->text);
    }
    const char *const from[TEXTS] = {x->example_id, x->answer, x->gold, x->cluster};
    char **to = l->text + TEXTS * l->n;
    for (int i = 0; i < TEXTS; i++) to[i] = from[i] ? pm_xstrndup(from[i], strlen(from[i])) : NULL;
    l->item[l->n++] = (pm_outcome){to[0], x->correct, x->score, to[1], to[2], to[3]};
}

void pm_outcomes_clear(pm_outcome_list *l) {
    for (int64_t i = 0; i < TEXTS * l->n; i++) free(l->text[i]);
    free(l->item), free(l->text);
    *l = (pm_outcome_list){0};
}

/* ---- writing ------------------------------------------------------------------------------------------------------------- */

typedef enum statement {
    ADD_SET,
    FIND_SET,
    ADD_ITEM,
    ADD_OUTCOMES,
    FIND_ANSWER,
    ADD_ANSWER,
    ADD_DETAIL,
    N_STATEMENTS
} statement;

static const char *const sql[N_STATEMENTS] = {
    [ADD_SET] = "INSERT OR IGNORE INTO item_sets (hash, n) VALUES (?,?)",
    [FIND_SET] = "SELECT id FROM item_sets WHERE hash = ?",
    [ADD_ITEM] = "INSERT INTO items VALUES (?,?,?,?,?)",
    [ADD_OUTCOMES] = "INSERT INTO outcomes (run_id, split, set_id, correct) VALUES (?,?,?,?)",
    [FIND_ANSWER] = "SELECT id FROM answers WHERE text = ?",
    [ADD_ANSWER] = "INSERT INTO answers (text) VALUES (?)",
    [ADD_DETAIL] = "INSERT INTO details VALUES (?,?,?,?)",
};

typedef struct writer {
    pm_db *d;
    sqlite3_stmt *st[N_STATEMENTS];
} writer;

static pm_status writer_open(writer *w, pm_db *d, pm_err *e) {
    *w = (writer){.d = d};
    for (int i = 0; i < N_STATEMENTS; i++)
        if (sqlite3_prepare_v2(pm_db_handle(d), sql[i], -1, &w->st[i], NULL) != SQLITE_OK)
            return pm_db_fail(d, writing, e);
    return PM_OK;
}

static void writer_close(writer *w) {
    for (int i = 0; i < N_STATEMENTS; i++) sqlite3_finalize(w->st[i]);
}

/* Runs a statement whose parameters are bound; *id (or NULL): the first column of its row, 0 without one. */
static pm_status step(writer *w, statement s, int64_t *id, pm_err *e) {
    int rc = sqlite3_step(w->st[s]);
    if (id) *id = rc == SQLITE_ROW ? sqlite3_column_int64(w->st[s], 0) : 0;
    pm_status status = rc == SQLITE_ROW || rc == SQLITE_DONE ? PM_OK : pm_db_fail(w->d, writing, e);
    sqlite3_reset(w->st[s]);
    sqlite3_clear_bindings(w->st[s]);
    return status;
}

static void bind_text(sqlite3_stmt *st, int i, const char *s) {
    if (s) sqlite3_bind_text(st, i, pm_utf8_clean(s), -1, free); /* what fails here fails the step */
}

/* Lengths first, so that no two lists of texts run together. */
static void hash_text(pm_sha256 *h, const char *s) {
    int64_t n = s ? (int64_t)strlen(s) : -1;
    pm_sha256_update(h, &n, sizeof n);
    if (s) pm_sha256_update(h, s, (size_t)n);
}

static pm_status add_items(writer *w, int64_t set, const pm_outcome *item, int64_t n, pm_err *e) {
    pm_status rc = PM_OK;
    for (int64_t i = 0; i < n && !rc; i++) {
        sqlite3_bind_int64(w->st[ADD_ITEM], 1, set);
        sqlite3_bind_int64(w->st[ADD_ITEM], 2, i);
        bind_text(w->st[ADD_ITEM], 3, item[i].example_id);
        bind_text(w->st[ADD_ITEM], 4, item[i].gold);
        bind_text(w->st[ADD_ITEM], 5, item[i].cluster);
        rc = step(w, ADD_ITEM, NULL, e);
    }
    return rc;
}

/* An item without a cluster is hashed as before version 6, so that its sets are found again. */
static void hash_item(pm_sha256 *h, const pm_outcome *x) {
    static const int64_t cluster_follows = -2;
    hash_text(h, x->example_id);
    hash_text(h, x->gold);
    if (!x->cluster) return;
    pm_sha256_update(h, &cluster_follows, sizeof cluster_follows);
    hash_text(h, x->cluster);
}

/* The set of these items; the first who has them stores them. */
static pm_status find_set(writer *w, const pm_outcome *item, int64_t n, int64_t *set, pm_err *e) {
    pm_sha256 h;
    char hex[65];
    pm_sha256_init(&h);
    for (int64_t i = 0; i < n; i++) hash_item(&h, &item[i]);
    pm_sha256_hex(&h, hex);
    bind_text(w->st[ADD_SET], 1, hex);
    sqlite3_bind_int64(w->st[ADD_SET], 2, n);
    pm_status rc = step(w, ADD_SET, NULL, e);
    bool fresh = sqlite3_changes(pm_db_handle(w->d)) == 1;
    if (rc) return rc;
    bind_text(w->st[FIND_SET], 1, hex);
    rc = step(w, FIND_SET, set, e);
    return rc || !fresh ? rc : add_items(w, *set, item, n, e);
}

static pm_status add_outcomes(writer *w, int64_t run_id, const char *split, int64_t set,
                              const pm_outcome *item, int64_t n, int64_t *id, pm_err *e) {
    char *correct = pm_xalloc((size_t)n);
    for (int64_t i = 0; i < n; i++) correct[i] = item[i].correct < 0 ? '-' : item[i].correct ? '1' : '0';
    sqlite3_bind_int64(w->st[ADD_OUTCOMES], 1, run_id);
    bind_text(w->st[ADD_OUTCOMES], 2, split);
    sqlite3_bind_int64(w->st[ADD_OUTCOMES], 3, set);
    sqlite3_bind_blob64(w->st[ADD_OUTCOMES], 4, correct, (sqlite3_uint64)n, free);
    pm_status rc = step(w, ADD_OUTCOMES, NULL, e);
    *id = sqlite3_last_insert_rowid(pm_db_handle(w->d));
    return rc;
}

static pm_status find_answer(writer *w, const char *text, int64_t *id, pm_err *e) {
    bind_text(w->st[FIND_ANSWER], 1, text);
    pm_status rc = step(w, FIND_ANSWER, id, e);
    if (rc || *id) return rc;
    bind_text(w->st[ADD_ANSWER], 1, text);
    rc = step(w, ADD_ANSWER, NULL, e);
    *id = sqlite3_last_insert_rowid(pm_db_handle(w->d));
    return rc;
}

static pm_status add_detail(writer *w, int64_t outcomes, int64_t position, const pm_outcome *x, pm_err *e) {
    int64_t answer = 0;
    if (isnan(x->score) && !x->answer) return PM_OK;
    pm_status rc = x->answer ? find_answer(w, x->answer, &answer, e) : PM_OK;
    if (rc) return rc;
    sqlite3_bind_int64(w->st[ADD_DETAIL], 1, outcomes);
    sqlite3_bind_int64(w->st[ADD_DETAIL], 2, position);
    sqlite3_bind_double(w->st[ADD_DETAIL], 3, x->score); /* SQLite makes NAN NULL */
    if (x->answer) sqlite3_bind_int64(w->st[ADD_DETAIL], 4, answer);
    return step(w, ADD_DETAIL, NULL, e);
}

static pm_status write_split(writer *w, int64_t run_id, const char *split, const pm_outcome *item, int64_t n,
                             pm_err *e) {
    int64_t set, id = 0;
    pm_status rc = find_set(w, item, n, &set, e);
    if (!rc) rc = add_outcomes(w, run_id, split, set, item, n, &id, e);
    for (int64_t i = 0; i < n && !rc; i++) rc = add_detail(w, id, i, &item[i], e);
    return rc;
}

static pm_status exec(pm_db *d, const char *text, pm_err *e) {
    return sqlite3_exec(pm_db_handle(d), text, NULL, NULL, NULL) == SQLITE_OK ? PM_OK
                                                                              : pm_db_fail(d, writing, e);
}

pm_status pm_outcomes_write(pm_db *d, int64_t run_id, const char *split, const pm_outcome *item, int64_t n,
                            pm_err *e) {
    writer w;
    pm_status rc = exec(d, "SAVEPOINT items", e);
    if (rc) return rc;
    rc = writer_open(&w, d, e);
    if (!rc) rc = write_split(&w, run_id, split, item, n, e);
    writer_close(&w);
    if (!rc) rc = exec(d, "RELEASE items", e);
    if (rc) sqlite3_exec(pm_db_handle(d), "ROLLBACK TO items; RELEASE items", NULL, NULL, NULL);
    return rc;
}

/* ---- copying ------------------------------------------------------------------------------------------------------------- */

enum { SPLIT, ID, CORRECT, SCORE, ANSWER, GOLD, CLUSTER };
#define COLUMNS "split, example_id, correct, score, answer, gold, "

/* What to ask for where clusters are wanted: before version 6 there are none. */
static const char *cluster_column(pm_db *d) {
    bool has = sqlite3_table_column_metadata(pm_db_handle(d), "main", "items", "cluster", NULL, NULL, NULL,
                                             NULL, NULL) == SQLITE_OK;
    return has ? "cluster" : "NULL";
}

static void add_row(pm_outcome_list *l, sqlite3_stmt *st) {
    bool scored = sqlite3_column_type(st, CORRECT) != SQLITE_NULL;
    bool known = sqlite3_column_type(st, SCORE) != SQLITE_NULL;
    pm_outcomes_add(l, &(pm_outcome){.example_id = (const char *)sqlite3_column_text(st, ID),
                                     .correct = scored ? sqlite3_column_int(st, CORRECT) : -1,
                                     .score = known ? sqlite3_column_double(st, SCORE) : (double)NAN,
                                     .answer = (const char *)sqlite3_column_text(st, ANSWER),
                                     .gold = (const char *)sqlite3_column_text(st, GOLD),
                                     .cluster = (const char *)sqlite3_column_text(st, CLUSTER)});
}

/* Every split that `st` lists, whole. */
static pm_status copy_splits(pm_db *from, sqlite3_stmt *st, pm_db *to, int64_t to_run, pm_err *e) {
    pm_outcome_list l = {0};
    pm_buf split = {0};
    pm_status s = PM_OK;
    int rc;
    do {
        rc = sqlite3_step(st);
        const char *next = rc == SQLITE_ROW ? (const char *)sqlite3_column_text(st, SPLIT) : NULL;
        if (l.n && (!next || strcmp(next, split.p) != 0)) {
            s = pm_outcomes_write(to, to_run, split.p, l.item, l.n, e);
            pm_outcomes_clear(&l);
        }
        if (!next) break;
        split.n = 0;
        pm_buf_puts(&split, next);
        add_row(&l, st);
    } while (s == PM_OK);
    if (s == PM_OK && rc != SQLITE_DONE) s = pm_db_fail(from, reading, e);
    pm_outcomes_clear(&l);
    pm_buf_free(&split);
    return s;
}

/* query: COLUMNS and the cluster of run ?1, split by split. */
static pm_status copy_run(pm_db *from, const char *query, int64_t from_run, pm_db *to, int64_t to_run,
                          pm_err *e) {
    sqlite3_stmt *st = NULL;
    bool ok = sqlite3_prepare_v2(pm_db_handle(from), query, -1, &st, NULL) == SQLITE_OK &&
              sqlite3_bind_int64(st, 1, from_run) == SQLITE_OK;
    pm_status s = ok ? copy_splits(from, st, to, to_run, e) : pm_db_fail(from, reading, e);
    sqlite3_finalize(st);
    return s;
}

pm_status pm_outcomes_copy(pm_db *from, int64_t from_run, pm_db *to, int64_t to_run, pm_err *e) {
    char query[160];
    snprintf(query, sizeof query,
             "SELECT " COLUMNS "%s FROM examples WHERE run_id = ?1 ORDER BY split, position",
             cluster_column(from));
    return copy_run(from, query, from_run, to, to_run, e);
}

pm_status pm_outcomes_upgrade(pm_db *d, const char *old_table, pm_err *e) {
    char query[160];
    sqlite3_stmt *run = NULL;
    snprintf(query, sizeof query, "SELECT " COLUMNS "NULL FROM %.40s WHERE run_id = ?1 ORDER BY split, rowid",
             old_table);
    int rc = sqlite3_prepare_v2(pm_db_handle(d), "SELECT id FROM runs ORDER BY id", -1, &run, NULL);
    pm_status s = rc == SQLITE_OK ? PM_OK : pm_db_fail(d, reading, e);
    while (s == PM_OK && (rc = sqlite3_step(run)) == SQLITE_ROW) {
        int64_t id = sqlite3_column_int64(run, 0);
        s = copy_run(d, query, id, d, id, e);
    }
    if (s == PM_OK && rc != SQLITE_DONE) s = pm_db_fail(d, reading, e);
    sqlite3_finalize(run);
    return s;
}

/* ---- reading ------------------------------------------------------------------------------------------------------------- */

/* Items that some run answered, kept: all runs of a task share one. */
typedef struct item_set {
    struct item_set *next;
    int64_t set_id; /* 0: of a database before version 5, told by its hash */
    int64_t n;
    int64_t *position; /* [n] in the stored order */
    char **id;         /* [n] ordered */
    int32_t *cluster;  /* [n] ordered, where there are any */
    int32_t n_clusters;
    char hash[65];
} item_set;

struct pm_outcome_reader {
    pm_db *d;
    bool by_row; /* before version 5 */
    sqlite3_stmt *run, *items;
    item_set *sets;
    signed char *correct, *stored; /* [cap] ordered; as stored */
    int64_t cap;
};

static void free_set(item_set *s) {
    for (int64_t i = 0; i < s->n; i++) free(s->id[i]);
    free(s->id), free(s->position), free(s->cluster), free(s);
}

typedef struct keyed {
    char *id, *cluster; /* cluster: NULL, none */
    int64_t position;
} keyed;

static int by_id(const void *a, const void *b) {
    const keyed *x = a, *y = b;
    int order = strcmp(x->id, y->id);
    return order ? order : (x->position > y->position) - (x->position < y->position);
}

static void number_clusters(item_set *s, const keyed *list) {
    const char **name = pm_xalloc(((size_t)s->n + 1) * sizeof *name);
    for (int64_t i = 0; i < s->n; i++) name[i] = list[i].cluster;
    s->cluster = pm_xalloc(((size_t)s->n + 1) * sizeof *s->cluster);
    s->n_clusters = pm_clusters_number(name, s->n, s->cluster);
    free(name);
}

/* Takes the ids, in the stored order; not the list. */
static item_set *make_set(int64_t set_id, keyed *list, int64_t n) {
    item_set *s = pm_xalloc(sizeof *s);
    pm_sha256 h;
    pm_sha256_init(&h);
    *s = (item_set){.set_id = set_id,
                    .n = n,
                    .position = pm_xalloc((size_t)n * sizeof *s->position),
                    .id = pm_xalloc((size_t)n * sizeof *s->id)};
    if (n) qsort(list, (size_t)n, sizeof *list, by_id);
    for (int64_t i = 0; i < n; i++) {
        s->id[i] = list[i].id;
        s->position[i] = list[i].position;
        hash_text(&h, s->id[i]);
    }
    pm_sha256_hex(&h, s->hash);
    number_clusters(s, list);
    for (int64_t i = 0; i < n; i++) free(list[i].cluster);
    return s;
}

static void make_room(pm_outcome_reader *r, int64_t n) {
    if (n <= r->cap) return;
    r->cap = 2 * n;
    r->correct = pm_xrealloc(r->correct, (size_t)r->cap);
    r->stored = pm_xrealloc(r->stored, (size_t)r->cap);
}

static char *copy_text(sqlite3_stmt *st, int column) {
    const char *s = (const char *)sqlite3_column_text(st, column);
    return s ? pm_xstrndup(s, strlen(s)) : NULL;
}

/* The rows of a statement: id, cluster, and before version 5 what is stored as correct. */
static pm_status read_rows(pm_outcome_reader *r, sqlite3_stmt *st, int64_t set_id, item_set **out,
                           pm_err *e) {
    keyed *list = NULL;
    int64_t n = 0, cap = 0;
    int rc;
    while ((rc = sqlite3_step(st)) == SQLITE_ROW) {
        if (n == cap) list = pm_xrealloc(list, (size_t)(cap = 2 * cap + 64) * sizeof *list);
        char *id = copy_text(st, 0);
        list[n] = (keyed){id ? id : pm_xstrndup("", 0), copy_text(st, 1), n};
        make_room(r, n + 1);
        if (r->by_row)
            r->stored[n] =
                sqlite3_column_type(st, 2) == SQLITE_NULL ? -1 : (signed char)sqlite3_column_int(st, 2);
        n++;
    }
    sqlite3_reset(st);
    *out = make_set(set_id, list, n);
    free(list);
    if (rc == SQLITE_DONE) return PM_OK;
    free_set(*out);
    return pm_db_fail(r->d, reading, e);
}

static item_set *known_set(const pm_outcome_reader *r, int64_t set_id, const item_set *like) {
    item_set *s = r->sets;
    while (s && (like ? strcmp(s->hash, like->hash) ||
                            memcmp(s->position, like->position, (size_t)s->n * sizeof *s->position)
                      : s->set_id != set_id))
        s = s->next;
    return s;
}

static item_set *keep(pm_outcome_reader *r, item_set *s) {
    s->next = r->sets;
    return r->sets = s;
}

static pm_status find_by_id(pm_outcome_reader *r, int64_t set_id, item_set **out, pm_err *e) {
    *out = known_set(r, set_id, NULL);
    if (*out) return PM_OK;
    sqlite3_bind_int64(r->items, 1, set_id);
    pm_status s = read_rows(r, r->items, set_id, out, e);
    if (s == PM_OK) *out = keep(r, *out);
    return s;
}

/* Before version 5: the rows themselves. */
static pm_status read_old(pm_outcome_reader *r, item_set **out, pm_err *e) {
    item_set *fresh;
    pm_status s = read_rows(r, r->run, 0, &fresh, e);
    if (s != PM_OK) return s;
    *out = known_set(r, 0, fresh);
    if (*out)
        free_set(fresh);
    else
        *out = keep(r, fresh);
    return PM_OK;
}

static pm_status damaged(const pm_outcome_reader *r, int64_t has, int64_t wants, pm_err *e) {
    pm_fail(e, PM_EDB, "%s: %s: a run has %lld outcomes of %lld items",
            sqlite3_db_filename(pm_db_handle(r->d), "main"), reading, (long long)has, (long long)wants);
    return pm_hint(e, "the file was changed by something else: restore a copy");
}

static pm_status read_new(pm_outcome_reader *r, item_set **out, pm_err *e) {
    int rc = sqlite3_step(r->run);
    *out = NULL;
    if (rc != SQLITE_ROW) return rc == SQLITE_DONE ? PM_OK : pm_db_fail(r->d, reading, e);
    pm_status s = find_by_id(r, sqlite3_column_int64(r->run, 0), out, e);
    int64_t n = sqlite3_column_bytes(r->run, 1);
    const char *byte = sqlite3_column_blob(r->run, 1);
    if (s == PM_OK && n != (*out)->n) s = damaged(r, n, (*out)->n, e);
    if (s != PM_OK) return s;
    make_room(r, n);
    for (int64_t i = 0; i < n; i++) r->stored[i] = byte[i] == '1' ? 1 : byte[i] == '0' ? 0 : -1;
    return PM_OK;
}

pm_status pm_outcome_reader_open(pm_db *d, pm_outcome_reader **out, pm_err *e) {
    static const char *const run_sql[] = {
        "SELECT set_id, correct FROM outcomes WHERE run_id = ?1 AND split = ?2",
        "SELECT example_id, NULL, correct FROM examples WHERE run_id = ?1 AND split = ?2 ORDER BY rowid"};
    sqlite3 *h = pm_db_handle(d);
    pm_outcome_reader *r = *out = pm_xalloc(sizeof *r);
    r->d = d;
    r->by_row = sqlite3_table_column_metadata(h, "main", "outcomes", "correct", NULL, NULL, NULL, NULL,
                                              NULL) != SQLITE_OK;
    char items_sql[96];
    snprintf(items_sql, sizeof items_sql,
             "SELECT example_id, %s FROM items WHERE set_id = ?1 ORDER BY position", cluster_column(d));
    bool ok = sqlite3_prepare_v2(h, run_sql[r->by_row], -1, &r->run, NULL) == SQLITE_OK;
    if (ok && !r->by_row) ok = sqlite3_prepare_v2(h, items_sql, -1, &r->items, NULL) == SQLITE_OK;
    if (ok) return PM_OK;
    pm_status s = pm_db_fail(d, reading, e);
    pm_outcome_reader_close(r);
    *out = NULL;
    return s;
}

pm_status pm_outcomes_read(pm_outcome_reader *r, int64_t run_id, const char *split, pm_outcomes *out,
                           pm_err *e) {
    item_set *set = NULL;
    sqlite3_bind_int64(r->run, 1, run_id);
    sqlite3_bind_text(r->run, 2, split, -1, SQLITE_STATIC);
    pm_status s = r->by_row ? read_old(r, &set, e) : read_new(r, &set, e);
    sqlite3_reset(r->run);
    sqlite3_clear_bindings(r->run);
    *out = (pm_outcomes){.items = ""};
    if (s != PM_OK || !set) return s;
    for (int64_t i = 0; i < set->n; i++) r->correct[i] = r->stored[set->position[i]];
    *out = (pm_outcomes){set->n,
                         r->correct,
                         (const char *const *)set->id,
                         set->hash,
                         set->n_clusters ? set->cluster : NULL,
                         set->n_clusters};
    return PM_OK;
}

void pm_outcome_reader_close(pm_outcome_reader *r) {
    if (!r) return;
    sqlite3_finalize(r->run);
    sqlite3_finalize(r->items);
    for (item_set *next; r->sets; r->sets = next) {
        next = r->sets->next;
        free_set(r->sets);
    }
    free(r->correct), free(r->stored), free(r);
}
