/* db.h - the only file that speaks SQL on behalf of runs. Schema: schema.sql; columns as in the contract. A
 * value not measured is NULL (NAN here). Every failure is PM_EDB with the file's name and a hint; text that
 * is not UTF-8 is stored with U+FFFD in the place of each bad byte. */
#ifndef PM_DB_H
#define PM_DB_H
#include "base.h"

typedef struct pm_db pm_db;
/* Opens or creates; WAL, foreign keys on, user_version checked (PM_EDB when newer than this program).
 * Creation is atomic: a full disk leaves no half-written file. */
pm_status pm_db_open(const char *path, pm_db **out, pm_err *e);
pm_status pm_db_open_readonly(const char *path, pm_db **out, pm_err *e);
void pm_db_close(pm_db *d);        /* rolls back what was not committed; NULL is fine */
extern const char pm_schema_sql[]; /* schema.sql, built in by make */
struct sqlite3;
struct sqlite3 *pm_db_handle(pm_db *d); /* for the read-only commands */
/* PM_EDB: the file, what was being done, what SQLite said last, and a hint. */
pm_status pm_db_fail(const pm_db *d, const char *doing, pm_err *e);
/* The same for commands that read: any file may have been named. */
pm_status pm_db_unreadable(const pm_db *d, pm_err *e);
struct sqlite3_stmt;
/* Ends a statement of such a command: s where that is a failure already, else what its last step's rc says. */
pm_status pm_db_done(const pm_db *d, struct sqlite3_stmt *st, int rc, pm_status s, pm_err *e);
double pm_db_real(struct sqlite3_stmt *row, int column); /* NAN: no number stands there */

typedef struct pm_db_run {
    const char *run_key /* or NULL, like the hashes: not known yet */, *model, *task, *method, *config,
        *model_hash, *data_hash, *train_hash, *adapter_hash, *commit_id, *peftmeter_version;
    int64_t seed, trainable_params, total_params, host_id; /* counts and host below 1: NULL */
    int dirty;                                             /* 0, 1; -1: unknown */
} pm_db_run;
pm_status pm_db_run_begin(pm_db *d, const pm_db_run *r, int64_t *run_id, pm_err *e); /* status running */
pm_status pm_db_run_update(pm_db *d, int64_t run_id, const pm_db_run *r,
                           pm_err *e); /* what became known after the model and the data were read */
pm_status pm_db_run_end(pm_db *d, int64_t run_id, const char *status, const char *error /* or NULL */,
                        pm_err *e);

pm_status pm_db_begin(pm_db *d, pm_err *e); /* rows between begin and commit are written in one transaction */
pm_status pm_db_commit(pm_db *d, pm_err *e);
void pm_db_rollback(pm_db *d); /* nothing happens when no transaction is open */
pm_status pm_db_step(pm_db *d, int64_t run_id, int step, double loss, double lr, double grad_norm,
                     int64_t tokens, int64_t label_tokens, double wall_s, pm_err *e);
/* n, of a metric and a curve: items or tokens; below 0: NULL. */
pm_status pm_db_metric(pm_db *d, int64_t run_id, const char *split, const char *name, int version,
                       double value, double stderr_, int64_t n, pm_err *e);
pm_status pm_db_curve(pm_db *d, int64_t run_id, int step, const char *split, const char *name, double value,
                      double stderr_, int64_t n, pm_err *e); /* a metric measured after `step` steps */
pm_status pm_db_phase(pm_db *d, int64_t run_id, const char *phase, double wall_s, double cpu_s,
                      int64_t peak_rss_bytes, int64_t peak_live_bytes, pm_err *e);
/* Categories that are not exact but measured, or lie in memory in different ways, as SQL lists them. */
#define PM_MEMORY_MEASURED "'slack', 'data', 'heap', 'program'"
pm_status pm_db_memory(pm_db *d, int64_t run_id, const char *category, int64_t bytes, pm_err *e);
pm_status pm_db_counter(pm_db *d, int64_t run_id, const char *name, int64_t value, pm_err *e);
pm_status pm_db_roofline(pm_db *d, int64_t run_id, double gflops, pm_err *e); /* a number */
pm_status pm_db_noise(pm_db *d, int64_t run_id, const char *measured_at, int pairs, double floor,
                      double found, pm_err *e); /* the machine's certificate (noise.h) */
pm_status pm_db_check(pm_db *d, int64_t run_id, const char *name, int ok, double value, double bound,
                      pm_err *e);
/* This machine and build from stable facts (host.h); the same facts give the same row. */
pm_status pm_db_host(pm_db *d, const char *blas, const char *blas_core, int threads, int64_t *host_id,
                     pm_err *e);
/* Any machine and build. */
struct pm_host;
pm_status pm_db_host_add(pm_db *d, const struct pm_host *h, const char *compiler, const char *flags,
                         const char *blas, const char *blas_core, int threads, int64_t *host_id, pm_err *e);
/* What another program measured of a run (the table `imported`); NAN: not known. */
typedef struct pm_db_imported {
    const char *origin, *experiment, *document;
    double train_s, total_s, file_bytes, reserved_max_bytes, reserved_mean_bytes, reserved_p99_bytes;
} pm_db_imported;
/* Turns a run that was begun into one that was imported: it is over, began when that program says, and its end is not known. */
pm_status pm_db_import(pm_db *d, int64_t run_id, const char *status, const char *error /* or NULL */,
                       const char *started_at, const pm_db_imported *x, pm_err *e);
/* The first run of that key; 0: none. */
pm_status pm_db_find_key(pm_db *d, const char *run_key, int64_t *run_id, pm_err *e);
/* Readers take databases of older versions as they are. */
bool pm_db_has_table(const pm_db *d, const char *name);
/* How often the test split of a task was read for a method in this database; increments when `read`. */
pm_status pm_db_test_read(pm_db *d, const char *task, const char *method, bool read, int64_t *count,
                          pm_err *e);
#endif
