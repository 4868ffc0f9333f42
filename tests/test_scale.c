/* test_scale.c - what storage and reports cost as databases grow, counted and not timed: bytes an outcome, rows that a report reads.
 *
 * `test_scale FILE RUNS ITEMS` makes a database of that size for measuring by hand (docs/database.md has such figures); 10,000 runs of 2,000
 * items are written in one to two minutes.
 */
#include "cmd.h"
#include "outcomes.h"
#include "stats.h"

#include "check.h"
#include <sqlite3.h>
#include <stdlib.h>
#include <unistd.h>

static char dir[64], db_path[128], out_path[128];

/* ---- a database ---------------------------------------------------------------------------------------------------------- */

enum {
    TASKS = 5,
    LABELS = 20,
    CELLS = TASKS * LABELS,
    STEPS = 20,
    RUNS_MAX = 1000000,
    ITEMS_MAX = 100000,
    CHOICES = 4
};

/* The same numbers on every machine (splitmix64). */
static uint64_t draw(uint64_t *state) {
    uint64_t z = *state += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static double unit(uint64_t *state) {
    return (double)(draw(state) >> 11) * 0x1p-53;
}

typedef struct shape {
    int n;
    char (*id)[20], (*choice)[32]; /* [n] of a task; [n][CHOICES] */
    pm_outcome *item;
} shape;

static shape shape_new(int n) {
    shape s = {.n = n,
               .id = calloc((size_t)n, sizeof *s.id),
               .choice = calloc((size_t)n * CHOICES, sizeof *s.choice),
               .item = calloc((size_t)n, sizeof *s.item)};
    if (!s.id || !s.choice || !s.item) abort();
    return s;
}

static void shape_free(shape *s) {
    free(s->id), free(s->choice), free(s->item);
}

/* Items of hard and easy kinds, each with its four options; labels differ a little in how often they are right. */
static int answer(shape *s, int task, int label, int seed) {
    uint64_t state = (uint64_t)task << 40 | (uint64_t)label << 20 | (uint64_t)seed;
    int right = 0;
    for (int i = 0; i < s->n; i++) {
        uint64_t kind = (uint64_t)task << 32 | (uint64_t)i;
        double easy = 0.3 + 0.5 * unit(&kind);
        int correct = unit(&state) < easy + 0.005 * label, given = correct ? 0 : 1 + (int)(draw(&state) % 3);
        s->item[i] = (pm_outcome){
            s->id[i], correct, -10 * unit(&state), s->choice[i * CHOICES + given], s->choice[i * CHOICES],
            NULL};
        right += correct;
    }
    return right;
}

static void name_items(shape *s, int task) {
    for (int i = 0; i < s->n; i++) {
        uint64_t state = (uint64_t)task << 32 | (uint64_t)i;
        snprintf(s->id[i], sizeof s->id[i], "%016llx", (unsigned long long)draw(&state));
        for (int k = 0; k < CHOICES; k++)
            snprintf(s->choice[i * CHOICES + k], sizeof *s->choice, "option %d of %08llx", k,
                     (unsigned long long)(draw(&state) & 0xffffffffu));
    }
}

static pm_status add_cost(pm_db *d, int64_t id, pm_err *e) {
    static const char *const flops[] = {"flops_forward", "flops_input_grad", "flops_weight_grad",
                                        "flops_optimizer"};
    static const char *const phase[] = {"load", "data", "train", "certificate", "test"};
    static const char *const memory[] = {"weights",   "adapter",     "gradients",
                                         "optimizer", "activations", "workspace"};
    pm_status rc = PM_OK;
    for (int i = 0; i < STEPS && !rc; i++)
        rc = pm_db_step(d, id, i, 2.0 / (i + 1), 1e-3, 1, 1000, 100, 0.01 + 0.0001 * i, e);
    for (int i = 0; i < 4 && !rc; i++) rc = pm_db_counter(d, id, flops[i], 1000000000, e);
    for (int i = 0; i < 5 && !rc; i++) rc = pm_db_phase(d, id, phase[i], 1.5, 1.4, 200 << 20, 150 << 20, e);
    for (int i = 0; i < 6 && !rc; i++) rc = pm_db_memory(d, id, memory[i], 10 << 20, e);
    return rc;
}

static pm_status add_run(pm_db *d, shape *s, int cell, int seed, pm_err *e) {
    static const char *const method[] = {"full", "lora", "dora", "svf", "wegeft", "loreft", "direft"};
    int task = cell / LABELS, label = cell % LABELS;
    char config[256], task_name[16], data[16];
    int64_t id, reads;
    snprintf(task_name, sizeof task_name, "task%d", task);
    snprintf(data, sizeof data, "data%d", task);
    snprintf(config, sizeof config,
             "{\"method\":\"%s\",\"optim.lr\":%g,\"seed\":%d,\"train.batch\":8,\"train.steps\":20}",
             method[label % 7], 1e-4 * (1 + label / 7), seed);
    const pm_db_run r = {.model = "tiny",
                         .task = task_name,
                         .method = method[label % 7],
                         .config = config,
                         .model_hash = "m",
                         .data_hash = data,
                         .train_hash = "t",
                         .seed = seed,
                         .trainable_params = 1000 + label,
                         .total_params = 1000000,
                         .dirty = 0};
    pm_status rc = pm_db_run_begin(d, &r, &id, e);
    double right = answer(s, task, label, seed), mean = right / s->n;
    if (!rc) rc = pm_outcomes_write(d, id, "test", s->item, s->n, e);
    if (!rc) rc = pm_db_metric(d, id, "test", "acc", 1, mean, sqrt(mean * (1 - mean) / s->n), s->n, e);
    if (!rc) rc = add_cost(d, id, e);
    if (!rc) rc = pm_db_test_read(d, task_name, r.method, true, &reads, e);
    return rc ? rc : pm_db_run_end(d, id, "ok", NULL, e);
}

/* `runs` runs, as many a task and label; a transaction a task. */
static pm_status make(const char *path, int runs, int items, pm_err *e) {
    pm_db *d;
    shape s = shape_new(items);
    pm_status rc = pm_db_open(path, &d, e);
    if (!rc)
        sqlite3_exec(pm_db_handle(d), "PRAGMA foreign_keys = OFF; PRAGMA synchronous = OFF", NULL, NULL,
                     NULL);
    for (int task = 0; task < TASKS && !rc; task++) {
        name_items(&s, task);
        rc = pm_db_begin(d, e);
        for (int i = 0; i < runs / TASKS && !rc; i++)
            rc = add_run(d, &s, task * LABELS + i % LABELS, i / LABELS, e);
        if (!rc) rc = pm_db_commit(d, e);
    }
    pm_db_close(d);
    shape_free(&s);
    return rc;
}

/* ---- what it costs ------------------------------------------------------------------------------------------------------- */

/* A reader that closes last leaves the files of the WAL behind. */
static void remove_db(void) {
    static const char *const suffix[] = {"", "-wal", "-shm"};
    char name[160];
    for (size_t i = 0; i < sizeof suffix / sizeof *suffix; i++) {
        snprintf(name, sizeof name, "%s%s", db_path, suffix[i]);
        unlink(name);
    }
}

static int64_t bytes_of(int runs, int items) {
    pm_err e = {0};
    pm_db *d;
    sqlite3_stmt *st = NULL;
    int64_t bytes = 0;
    remove_db();
    CHECK_OK(make(db_path, runs, items, &e));
    CHECK_OK(pm_db_open_readonly(db_path, &d, &e));
    sqlite3_prepare_v2(pm_db_handle(d),
                       "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size", -1, &st,
                       NULL);
    if (sqlite3_step(st) == SQLITE_ROW) bytes = sqlite3_column_int64(st, 0);
    sqlite3_finalize(st);
    pm_db_close(d);
    return bytes;
}

/* What a further item of a further run takes, everything that is not an item's being the same. */
static void an_outcome_takes_few_bytes(void) {
    enum { RUNS = 200, FEW = 200, MANY = 1200 };
    double grown = (double)(bytes_of(RUNS, MANY) - bytes_of(RUNS, FEW));
    double once = (double)(bytes_of(CELLS, MANY) - bytes_of(CELLS, FEW)); /* half the runs, the same items */
    double each = (grown - once) / ((RUNS - CELLS) * (MANY - FEW));
    printf("  %.1f bytes an outcome\n", each);
    CHECK(each > 10 && each < 28);
}

static int64_t rows_read;

static int on_row(unsigned what, void *ctx, void *statement, void *x) {
    (void)what, (void)ctx, (void)statement, (void)x;
    rows_read++;
    return 0;
}

static int count_rows(sqlite3 *h, char **message, const struct sqlite3_api_routines *api) {
    (void)message, (void)api;
    return sqlite3_trace_v2(h, SQLITE_TRACE_ROW, on_row, NULL);
}

static int64_t rows_of_report(int runs, int items, const char *kind) {
    pm_err e = {0};
    char words[512], *argv[16], *save = NULL;
    int n = 0;
    remove_db();
    CHECK_OK(make(db_path, runs, items, &e));
    snprintf(words, sizeof words, "report --db %s --out %s --kind %s", db_path, out_path, kind);
    for (char *w = strtok_r(words, " ", &save); w; w = strtok_r(NULL, " ", &save)) argv[n++] = w;
    argv[n] = NULL;
    rows_read = 0;
    CHECK_OK(pm_cmd_report.run(n, argv, &e));
    return rows_read;
}

/* A report reads a run's outcomes in one row, and each item's id once for all runs. */
static void a_report_reads_no_row_per_outcome(void) {
    static const char *const kind[] = {"paper", "leaderboard"};
    for (size_t k = 0; k < sizeof kind / sizeof *kind; k++) {
        int64_t few = rows_of_report(200, 50, kind[k]), more = rows_of_report(200, 150, kind[k]);
        CHECK(few > 200);
        CHECK_EQ_INT(more - few, 100 * TASKS);
        CHECK(rows_of_report(400, 50, kind[k]) < 2 * few);
    }
}

static int make_by_hand(char **argv) {
    pm_err e = {0};
    long runs = strtol(argv[2], NULL, 10), items = strtol(argv[3], NULL, 10);
    if (runs < CELLS || runs > RUNS_MAX || items < 1 || items > ITEMS_MAX) {
        fprintf(stderr, "usage: test_scale FILE RUNS ITEMS, with at least %d runs and at most %d items\n",
                CELLS, ITEMS_MAX);
        return 2;
    }
    if (make(argv[1], (int)runs, (int)items, &e) == PM_OK) return 0;
    fprintf(stderr, "%s\n", e.msg);
    return 1;
}

int main(int argc, char **argv) {
    if (argc == 4) return make_by_hand(argv);
    snprintf(dir, sizeof dir, "%s/peftmeter-scale-XXXXXX",
             access("/dev/shm", W_OK) == 0 ? "/dev/shm" : P_tmpdir);
    if (!mkdtemp(dir)) return perror(dir), 1;
    snprintf(db_path, sizeof db_path, "%s/runs.db", dir);
    snprintf(out_path, sizeof out_path, "%s/report", dir);
    sqlite3_auto_extension((void (*)(void))count_rows);
    RUN(an_outcome_takes_few_bytes);
    RUN(a_report_reads_no_row_per_outcome);
    remove_db();
    unlink(out_path);
    rmdir(dir);
    return check_done();
}
